"""Polling beside runs: a run suspends polling, and merges what was polled; the graph has an asset for each."""

import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from pipelines.clock import today, yesterday
from pipelines.definitions import build_definitions
from pipelines.errors import AlreadyRunningError
from pipelines.live.file_staging import FileStaging
from pipelines.live.steps import merge_observations
from pipelines.orchestration.schedules import live_poll_schedule
from pipelines.simulator.server import Simulator
from pipelines.steps.context import open_run
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.lock import exclusive_lock
from tests.fixed_clock import clock_set_to
from tests.live_helpers import (
    APP,
    MIDNIGHT,
    assert_audience_is_true,
    merge,
    new_world,
    simulate_minutes,
    staged_rows,
    start_polling,
)
from tests.pipeline_runner import environment_for, query, run_pipeline, settings_for

DEFINITIONS = build_definitions()


@pytest.mark.long
def test_polling_is_suspended_while_a_run_holds_the_lock(simulator: Simulator, tmp_path: Path) -> None:
    settings = settings_for(simulator, tmp_path)
    warehouse = FileWarehouse(settings.warehouse)
    warehouse.prepare()
    with start_polling(simulator, settings) as poll:
        with (
            exclusive_lock(warehouse.lock, wait_seconds=0, log=print),
            pytest.raises(AlreadyRunningError, match=f"{os.getpid()}"),
        ):
            poll()
        assert simulator.requests == []
        poll()
        warehouse.lock.write_text(
            "PID 999999999\n"
        )  # as after a killed run: the lock is free, the file still names its holder
        poll()
    assert warehouse.lock.read_text() == ""


@pytest.mark.long
@pytest.mark.file_only
def test_a_run_aborts_a_poll_and_never_waits_for_it(tmp_path: Path) -> None:
    world = new_world(streams=30)
    for livestream in world.apps[APP].livestreams:
        world.go_live(APP, livestream.id)
    with Simulator(world, latency=0.05) as simulator:
        settings = settings_for(simulator, tmp_path, LIVEHOUSE_CONCURRENCY="1", LIVEHOUSE_LOCK_WAIT_SECONDS="0")
        messages: list[str] = []

        def poll_until_suspended() -> None:
            with start_polling(simulator, settings) as poll, pytest.raises(AlreadyRunningError) as busy:
                poll()
            messages.append(str(busy.value))

        thread = threading.Thread(target=poll_until_suspended)
        thread.start()
        while simulator.request_count("get-active-session") < 3:
            time.sleep(0.005)
        with (
            start_polling(simulator, settings) as second,
            pytest.raises(AlreadyRunningError, match="another livehouse process is polling"),
        ):
            second()
        with open_run(settings, run_id="night", full=False, allow_shrink=False, backfill=None) as run:
            merge_observations(run)
            before = simulator.request_count()
            thread.join()
            assert simulator.request_count() <= before + 2
    assert "polling is suspended" in messages[0]
    assert staged_rows(settings) == [], "an aborted poll commits nothing"


@pytest.mark.long
@pytest.mark.parametrize("killed", ["before it is committed", "before it is marked"])
def test_a_merge_killed_at_any_moment_neither_loses_nor_duplicates_rows(
    killed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world(streams=5)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with start_polling(simulator, settings) as poll:
            simulate_minutes(world, poll, 12)
    seen = len(staged_rows(settings))
    name = "mark_merged" if killed == "before it is marked" else "read_unmerged"

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(FileStaging, name, die)
        with pytest.raises(KeyboardInterrupt):
            merge(settings, "killed")
    for run in ("second", "third"):
        merge(settings, run)
        keys = "count(DISTINCT (app_id, livestream_id, observed_at))"
        [(rows, distinct)] = query(settings, f"SELECT count(*), {keys} FROM core.live_observations")
        assert rows == distinct == seen
    assert_audience_is_true(settings, world)
    assert staged_rows(settings) == [], "all older than two hours"


@pytest.mark.long
def test_a_session_that_ended_between_two_nights_is_settled_by_the_second(tmp_path: Path) -> None:
    world = new_world(MIDNIGHT - timedelta(hours=30), streams=3)
    short, long, over = (one.id for one in world.apps[APP].livestreams)
    for livestream_id in (short, long, over):
        world.go_live(APP, livestream_id)
    world.advance(timedelta(hours=1))
    world.end_session(APP, over)
    day = (MIDNIGHT - timedelta(days=2)).date()
    flagged = "SELECT unfinished, unfinished_over_24h FROM marts.session_reliability WHERE day = ?"
    unfinished = "SELECT livestream_id FROM core.livestream_sessions WHERE stopped_at IS NULL ORDER BY ALL"
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with clock_set_to(world.now.replace(tzinfo=None)):
            run_pipeline(settings, (day, day), run_id="first")
        assert query(settings, unfinished) == [(one,) for one in sorted((short, long))]
        world.advance(timedelta(hours=40))
        world.end_session(APP, short)
        # Another night, of other days: the session's own day is long past.
        with clock_set_to(world.now.replace(tzinfo=None)):
            run_pipeline(settings, (today(), today()), run_id="second")
        assert query(settings, unfinished) == [(long,)]
        assert query(settings, flagged, day) == [(1, 1)]


@pytest.mark.long
def test_dagster_polls_in_one_job_and_merges_in_the_others(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment_for(simulator, tmp_path).items():
        monkeypatch.setenv(name, value)
    settings = settings_for(simulator, tmp_path)
    run_pipeline(settings, (yesterday(), today()))  # a rebuild needs raw records of its days
    simulator.requests.clear()
    with dg.instance_for_test() as instance:
        assert DEFINITIONS.resolve_job_def("observe").execute_in_process(instance=instance).success
        polled = simulator.request_count()
        assert {request.operation for request in simulator.requests} == {
            "list-livestreams",
            "get-meeting-livestream",
            "get-active-session",
        }
        on_air = len(staged_rows(settings))
        tags = {
            "dagster/asset_partition_range_start": f"{yesterday()}",
            "dagster/asset_partition_range_end": f"{today()}",
        }
        assert DEFINITIONS.resolve_job_def("rebuild").execute_in_process(instance=instance, tags=tags).success
    assert simulator.request_count() == polled, "a rebuild merges, and sends no request"
    [(merged,)] = query(settings, "SELECT count(*) FROM core.live_observations")
    assert merged == on_air > 0
    for job in ("nightly", "backfill", "rebuild"):
        nodes = {key.to_user_string() for key in DEFINITIONS.resolve_job_def(job).asset_layer.selected_asset_keys}
        assert "core/live_observations" in nodes
        assert "raw/live_observations" not in nodes


@dg.job(name="observe")
def observe_only() -> None:
    """A job for runs that are only recorded."""


@pytest.mark.long
def test_the_polling_schedule_is_every_minute_and_off() -> None:
    assert live_poll_schedule.cron_schedule == "* * * * *"
    assert live_poll_schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    now = datetime.now(UTC)
    with dg.instance_for_test() as instance:

        def request(moment: datetime) -> object:
            return live_poll_schedule(dg.build_schedule_context(instance, scheduled_execution_time=moment))

        first = request(now)
        assert isinstance(first, dg.RunRequest)
        assert first.run_key == f"observe {now:%Y-%m-%d %H:%M}"
        instance.create_run_for_job(observe_only, status=dg.DagsterRunStatus.STARTED)
        assert isinstance(request(now), dg.SkipReason), "polls do not queue up behind a busy worker"
        assert isinstance(request(now + timedelta(minutes=11)), dg.RunRequest), (
            "a killed poll stops polling for minutes"
        )
