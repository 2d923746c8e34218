"""Promise 1, killed: at every write and at any moment, each day stays as it was or is as it was to be."""

import os
import random
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.steps import landing, sessions
from tests.pipeline_runner import DAYS, assert_matches_world, environment_for, run_pipeline, settings_for
from tests.promises.conftest import WHOLE, Change
from tests.promises.fault_runner import (
    DayRows,
    changed_days,
    child_process,
    run_killed_at_write,
    run_once,
    start_cli_process,
    stored_days,
    unexpected_files,
    wait_for_exit,
)
from tests.promises.world_factory import change_everything, tiny_world

pytestmark = pytest.mark.file_only
"""A lakehouse: tests/lake/test_kill.py, and workers killed in tests/lake/test_workers.py."""

KILLED = -9


def assert_old_or_new(found: DayRows, change: Change) -> None:
    for at in found.keys() | change.before.keys() | change.after.keys():
        assert found.get(at) in {change.before.get(at), change.after.get(at)}, f"{at} is torn"


def assert_survived(settings: Settings, change: Change, *, backfill: bool) -> None:
    """Old or new, day by day; and the next run completes it."""
    readers = stored_days(settings.warehouse)
    assert readers in (change.before, change.after), "the readers' copy is swapped in whole"
    assert_old_or_new(stored_days(settings.home / "pipeline.duckdb"), change)
    run_pipeline(settings, run_id="after", backfill=backfill)
    assert_matches_world(settings, change.simulator.world)
    assert stored_days(settings.warehouse) == change.after
    assert unexpected_files(settings.home) == set()


def test_uninterrupted_run_changes_every_day(change: Change) -> None:
    changed = changed_days(change.before, change.after)
    assert {day for _, _, day in changed} > {DAYS[0], DAYS[1]}
    assert any(day < DAYS[0] for _, _, day in changed), "news of a day before the range arrive too"
    assert len(change.writes) > 60
    assert {"COMMIT", "CHECKPOINT", "close()", "commit()", "fsync", "half of the copy is written"} <= set(change.writes)


def kill_at_write(change: Change, home: Path, share: float, *, backfill: bool) -> Settings:
    settings = change.copy(home)
    at = 1 + round(share * (len(change.writes) - 1))
    environment = environment_for(change.simulator, home)
    flags = {"run_id": "killed", "backfill": backfill}
    with child_process(run_killed_at_write, environment, DAYS, flags, at) as (process, _):
        assert wait_for_exit(process) == KILLED
    return settings


@pytest.mark.promise(1)
@pytest.mark.parametrize("share", [0.12, 0.3, 0.42, 0.55, 0.68, 0.8, 0.97, 1.0])
def test_kill_at_a_write_leaves_each_day_old_or_new(share: float, change: Change, tmp_path: Path) -> None:
    backfill = share in {0.3, 0.68}
    settings = kill_at_write(change, tmp_path / "home", share, backfill=backfill)
    assert_survived(settings, change, backfill=backfill)


@pytest.mark.promise(1)
@pytest.mark.long
@pytest.mark.parametrize(("first", "backfill"), [(0, False), (1, True), (2, False)])
def test_kill_at_every_write_leaves_each_day_old_or_new(
    first: int, change: Change, tmp_path: Path, *, backfill: bool
) -> None:
    for at in range(first, len(change.writes), 4):
        home = tmp_path / f"home{at}"
        settings = kill_at_write(change, home, at / (len(change.writes) - 1), backfill=backfill)
        assert_survived(settings, change, backfill=backfill)


def kill_at_any_moment(change: Change, home: Path, rng: random.Random) -> Settings:
    settings = change.copy(home)
    arguments = (environment_for(change.simulator, home), DAYS, {"run_id": "killed"})
    with child_process(run_once, *arguments) as (process, told):
        before = change.simulator.request_count()
        while change.simulator.request_count() == before and process.is_alive():
            time.sleep(0.001)  # it is on its way from here on
        told.poll(rng.uniform(0, 2.5))
        process.kill()
        assert wait_for_exit(process) in {KILLED, 0}
    return settings


@pytest.mark.promise(1)
@pytest.mark.parametrize("seed", [1, 2])
def test_kill_at_a_random_moment_leaves_each_day_old_or_new(seed: int, change: Change, tmp_path: Path) -> None:
    settings = kill_at_any_moment(change, tmp_path / "home", random.Random(seed))
    assert_survived(settings, change, backfill=False)


@pytest.mark.promise(1)
@pytest.mark.long
def test_kill_at_many_moments_leaves_each_day_old_or_new(change: Change, tmp_path: Path) -> None:
    rng = random.Random(3)
    for number in range(25):
        settings = kill_at_any_moment(change, tmp_path / f"home{number}", rng)
        assert_survived(settings, change, backfill=False)


@pytest.mark.promise(1)
@pytest.mark.long
def test_run_completes_after_repeated_kills(change: Change, tmp_path: Path) -> None:
    settings = change.copy(tmp_path / "home")
    for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        at = round(share * len(change.writes))
        with child_process(
            run_killed_at_write, environment_for(change.simulator, settings.home), DAYS, {"run_id": f"{at}"}, at
        ) as (
            process,
            _,
        ):
            assert wait_for_exit(process) == KILLED
        assert_old_or_new(stored_days(settings.home / "pipeline.duckdb"), change)
    assert_survived(settings, change, backfill=False)


@pytest.mark.promise(1)
def test_next_run_deletes_spill_files_of_a_killed_run(change: Change, tmp_path: Path) -> None:
    settings = change.copy(tmp_path / "home")
    for name in ("pipeline.duckdb.tmp", "pipeline_raw.duckdb.tmp"):
        (settings.home / name).mkdir()
        (settings.home / name / "duckdb_temp_storage_DEFAULT-0.tmp").write_bytes(b"spilled")
    (settings.home / "warehouse.duckdb.publishing").write_bytes(b"half a copy")
    assert_survived(settings, change, backfill=False)


@pytest.mark.promise(1)
@pytest.mark.long
@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0, 3.0, 6.0])
@pytest.mark.parametrize("command", ["nightly", "backfill"])
def test_killed_command_completes_when_run_again(command: str, moment: float, tmp_path: Path) -> None:
    world = tiny_world(broken=False)
    arguments = [command] if command == "nightly" else [command, f"{DAYS[0]}", f"{DAYS[1]}"]
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path / "home")
        run_pipeline(settings, WHOLE)
        change_everything(world)
        before, asked = stored_days(settings.warehouse), simulator.request_count()
        others = {"LIVEHOUSE_LOOKBACK_DAYS": "10"}
        with start_cli_process(simulator, settings.home, *arguments, **others) as process:
            while simulator.request_count() == asked and process.poll() is None:
                time.sleep(0.001)
            try:
                process.wait(moment)
            except TimeoutError:
                pass
            except Exception:  # noqa: BLE001 - it still runs, as it should
                pass
        seen = stored_days(settings.warehouse)
        with start_cli_process(simulator, settings.home, *arguments, **others) as process:
            _, said = process.communicate()
            assert process.returncode == 0, said
        assert seen in (before, stored_days(settings.warehouse))
        assert_matches_world(settings, world)
        assert unexpected_files(settings.home) == set()


def backfill_killed_when_known(told: Connection, environment: dict[str, str], livestreams: int) -> None:
    """A backfill that lands each answer at once, and dies as soon as the sessions of so many livestreams are landed."""
    landed: list[str] = []

    def land(*given: Any) -> None:
        landing.land(*given)
        landed.extend(given[-1]["livestream_id"])
        if len(landed) == livestreams:
            told.send(landed)
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landing, "_EVERY_SECONDS", 0.0)
        patch.setattr(landing, "_SHARE", float("inf"))
        patch.setattr(sessions, "land", land)
        run_once(told, environment, WHOLE, {"run_id": "killed", "backfill": True})


@pytest.mark.promise(1)
def test_resumed_backfill_fetches_only_the_remaining_tenth(tmp_path: Path) -> None:
    world = tiny_world(apps=("aula",), livestreams=40, sessions=120, on_air=0, broken=False)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path / "home", LIVEHOUSE_CONCURRENCY="2")
        environment = environment_for(simulator, settings.home, LIVEHOUSE_CONCURRENCY="2")
        with child_process(backfill_killed_when_known, environment, 36) as (process, told):
            known = told.recv()
            assert wait_for_exit(process) == KILLED
        assert len(set(known)) == 36
        simulator.requests.clear()
        run_pipeline(settings, WHOLE, backfill=True)
        assert_matches_world(settings, world, WHOLE)
        rest = {livestream.id for livestream in world.apps["aula"].livestreams} - set(known)
        assert simulator.request_count("get-livestream") == len(rest) == 4, "the last tenth, and nothing of the rest"
        assert simulator.request_count("get-overall-analytics") == 0
        run_pipeline(settings, WHOLE, backfill=True)
        assert simulator.request_count("get-overall-analytics") > 0, "once it is whole, the next one asks anew"
