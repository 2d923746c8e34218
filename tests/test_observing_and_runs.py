"""Observing and runs: it steps back for them, they merge what was seen and settle what ended; the graph has both."""

import os
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from pipelines.clock import today, yesterday
from pipelines.definitions import build_definitions
from pipelines.errors import AlreadyRunningError
from pipelines.live import staging as live
from pipelines.live.steps import merge_observations
from pipelines.orchestration.schedules import every_minute
from pipelines.simulator.server import Simulator
from pipelines.steps.context import open_run
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.lock import exclusive
from tests.houses import load, query, settings_for, variables
from tests.watching import (
    APP,
    MIDNIGHT,
    assert_audience_is_true,
    live_through,
    merge,
    new_world,
    stored,
    watching,
)

DEFINITIONS = build_definitions()


def test_looking_steps_back_at_once_while_a_run_has_the_house(simulator: Simulator, tmp_path: Path) -> None:
    settings = settings_for(simulator, tmp_path)
    warehouse = FileWarehouse(settings.warehouse)
    warehouse.prepare()
    with watching(simulator, settings) as watch:
        with (
            exclusive(warehouse.lock, wait_seconds=0, log=print),
            pytest.raises(AlreadyRunningError, match=f"{os.getpid()}"),
        ):
            watch()
        assert simulator.requests == []
        watch()
        warehouse.lock.write_text("PID 999999999\n")  # a run that was killed: the lock is free, its name stands
        watch()
    assert warehouse.lock.read_text() == ""


@pytest.mark.file_only
def test_looking_steps_back_in_the_middle_of_a_look_and_never_keeps_a_run_waiting(tmp_path: Path) -> None:
    world = new_world(streams=30)
    for livestream in world.apps[APP].livestreams:
        world.go_live(APP, livestream.id)
    with Simulator(world, latency=0.05) as simulator:
        settings = settings_for(simulator, tmp_path, LIVEHOUSE_CONCURRENCY="1", LIVEHOUSE_LOCK_WAIT_SECONDS="0")
        said: list[str] = []

        def look() -> None:
            with watching(simulator, settings) as watch, pytest.raises(AlreadyRunningError) as busy:
                watch()
            said.append(str(busy.value))

        thread = threading.Thread(target=look)
        thread.start()
        while simulator.count("get-active-session") < 3:
            time.sleep(0.005)
        with (
            watching(simulator, settings) as second,
            pytest.raises(AlreadyRunningError, match="another livehouse process"),
        ):
            second()
        with open_run(settings, run_id="night", full=False, allow_shrink=False, backfill=None) as run:
            merge_observations(run)
            before = simulator.count()
            thread.join()
            assert simulator.count() <= before + 2
    assert "stepped back" in said[0]
    assert stored(settings) == [], "half a look is none"


@pytest.mark.long
@pytest.mark.parametrize("killed", ["before it is committed", "before it is forgotten"])
def test_a_merge_killed_at_any_moment_loses_and_doubles_nothing(
    killed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world(streams=5)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with watching(simulator, settings) as watch:
            live_through(world, watch, 12)
    seen = len(stored(settings))
    name = "forget_merged" if killed == "before it is forgotten" else "read_seen"

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(live, name, die)
        with pytest.raises(KeyboardInterrupt):
            merge(settings, "killed")
    for run in ("second", "third"):
        merge(settings, run)
        keys = "count(DISTINCT (app_id, livestream_id, observed_at))"
        [(rows, distinct)] = query(settings, f"SELECT count(*), {keys} FROM core.live_observations")
        assert rows == distinct == seen
    assert_audience_is_true(settings, world)
    assert stored(settings) == [], "all older than two hours"


@pytest.mark.long
def test_a_session_that_ended_between_two_nights_is_settled_by_the_second(tmp_path: Path) -> None:
    world = new_world(MIDNIGHT - timedelta(hours=30), streams=3)
    short, long, over = (one.id for one in world.apps[APP].livestreams)
    for livestream_id in (short, long, over):
        world.go_live(APP, livestream_id)
    world.advance(timedelta(hours=1))
    world.end(APP, over)
    day = (MIDNIGHT - timedelta(days=2)).date()
    flagged = "SELECT unfinished, unfinished_over_24h FROM marts.session_reliability WHERE day = ?"
    unfinished = "SELECT livestream_id FROM core.livestream_sessions WHERE stopped_at IS NULL ORDER BY ALL"
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        load(settings, (day, day), run_id="first")
        assert query(settings, unfinished) == [(one,) for one in sorted((short, long))]
        world.advance(timedelta(hours=40))
        world.end(APP, short)
        # Another night, of other days: the session's own day is long past.
        load(settings, (today(), today()), run_id="second")
        assert query(settings, unfinished) == [(long,)]
        assert query(settings, flagged, day) == [(1, 1)]


@pytest.mark.long
def test_dagster_looks_in_one_job_and_merges_in_the_others(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables(simulator, tmp_path).items():
        monkeypatch.setenv(name, value)
    settings = settings_for(simulator, tmp_path)
    with dg.instance_for_test() as instance:
        assert DEFINITIONS.resolve_job_def("observe").execute_in_process(instance=instance).success
        looked = simulator.count()
        assert {asked.operation for asked in simulator.requests} == {
            "list-livestreams",
            "get-meeting-livestream",
            "get-active-session",
        }
        on_air = len(stored(settings))
        tags = {
            "dagster/asset_partition_range_start": f"{yesterday()}",
            "dagster/asset_partition_range_end": f"{today()}",
        }
        assert DEFINITIONS.resolve_job_def("rebuild").execute_in_process(instance=instance, tags=tags).success
    assert simulator.count() == looked, "a rebuild merges, and asks nothing"
    [(merged,)] = query(settings, "SELECT count(*) FROM core.live_observations")
    assert merged == on_air > 0
    for job in ("nightly", "backfill", "rebuild"):
        nodes = {key.to_user_string() for key in DEFINITIONS.resolve_job_def(job).asset_layer.selected_asset_keys}
        assert "core/live_observations" in nodes
        assert "raw/live_observations" not in nodes


def test_the_schedule_is_every_minute_and_off() -> None:
    assert every_minute.cron_schedule == "* * * * *"
    assert every_minute.default_status == dg.DefaultScheduleStatus.STOPPED
    moment = datetime(2026, 3, 10, 2, 30)
    request = every_minute(dg.build_schedule_context(scheduled_execution_time=moment))
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "observe 2026-03-10 02:30"
