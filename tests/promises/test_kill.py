"""Promise 1 under SIGKILL: at every write and at any moment, each day is in its old or its new state."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.steps import landing, sessions
from tests.parameters import long_except
from tests.pipeline_runner import DAYS, assert_matches_world, environment_for, run_pipeline, settings_for
from tests.promises.conftest import WHOLE, ChangedWorld
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
"""For a lakehouse: tests/lake/test_kill.py, and tests/lake/test_workers.py for killed workers."""

KILLED = -9


def assert_old_or_new(found: DayRows, changed_world: ChangedWorld) -> None:
    for at in found.keys() | changed_world.before.keys() | changed_world.after.keys():
        assert found.get(at) in {changed_world.before.get(at), changed_world.after.get(at)}, (
            f"{at} is neither old nor new"
        )


def assert_recovers(settings: Settings, changed_world: ChangedWorld, *, backfill: bool) -> None:
    """Every day is old or new, and the next run completes the change."""
    readers = stored_days(settings.warehouse)
    assert readers in (changed_world.before, changed_world.after), "the published file is swapped as a whole"
    assert_old_or_new(stored_days(settings.home / "pipeline.duckdb"), changed_world)
    run_pipeline(settings, run_id="after", backfill=backfill)
    assert_matches_world(settings, changed_world.simulator.world)
    assert stored_days(settings.warehouse) == changed_world.after
    assert unexpected_files(settings.home) == set()


def test_uninterrupted_run_changes_every_day(changed_world: ChangedWorld) -> None:
    changed = changed_days(changed_world.before, changed_world.after)
    assert {day for _, _, day in changed} > {DAYS[0], DAYS[1]}
    assert any(day < DAYS[0] for _, _, day in changed), "changes of a day before the range arrive too"
    assert len(changed_world.writes) > 60
    assert {"COMMIT", "CHECKPOINT", "close()", "commit()", "fsync", "half of the copy is written"} <= set(
        changed_world.writes
    )


def kill_at_write(changed_world: ChangedWorld, home: Path, share: float, *, backfill: bool) -> Settings:
    settings = changed_world.copy_home(home)
    at = 1 + round(share * (len(changed_world.writes) - 1))
    environment = environment_for(changed_world.simulator, home)
    flags = {"run_id": "killed", "backfill": backfill}
    with child_process(run_killed_at_write, environment, DAYS, flags, at) as (process, _):
        assert wait_for_exit(process) == KILLED
    return settings


@pytest.mark.promise(1)
@pytest.mark.parametrize("share", long_except([0.12, 0.3, 0.42, 0.55, 0.68, 0.8, 0.97, 1.0], 0.68))
def test_kill_at_a_write_leaves_each_day_old_or_new(share: float, changed_world: ChangedWorld, tmp_path: Path) -> None:
    backfill = share in {0.3, 0.68}
    settings = kill_at_write(changed_world, tmp_path / "home", share, backfill=backfill)
    assert_recovers(settings, changed_world, backfill=backfill)


@pytest.mark.promise(1)
@pytest.mark.long
@pytest.mark.parametrize(("first", "backfill"), [(0, False), (1, True), (2, False)])
def test_kill_at_every_write_leaves_each_day_old_or_new(
    first: int, changed_world: ChangedWorld, tmp_path: Path, *, backfill: bool
) -> None:
    for at in range(first, len(changed_world.writes), 4):
        home = tmp_path / f"home{at}"
        settings = kill_at_write(changed_world, home, at / (len(changed_world.writes) - 1), backfill=backfill)
        assert_recovers(settings, changed_world, backfill=backfill)


def kill_at_random_moment(changed_world: ChangedWorld, home: Path, rng: random.Random) -> Settings:
    settings = changed_world.copy_home(home)
    arguments = (environment_for(changed_world.simulator, home), DAYS, {"run_id": "killed"})
    with child_process(run_once, *arguments) as (process, channel):
        before = changed_world.simulator.request_count()
        while changed_world.simulator.request_count() == before and process.is_alive():
            time.sleep(0.001)  # it runs from here on
        channel.poll(rng.uniform(0, 2.5))
        process.kill()
        assert wait_for_exit(process) in {KILLED, 0}
    return settings


@pytest.mark.long
@pytest.mark.promise(1)
@pytest.mark.parametrize("seed", [1, 2])
def test_kill_at_a_random_moment_leaves_each_day_old_or_new(
    seed: int, changed_world: ChangedWorld, tmp_path: Path
) -> None:
    settings = kill_at_random_moment(changed_world, tmp_path / "home", random.Random(seed))
    assert_recovers(settings, changed_world, backfill=False)


@pytest.mark.promise(1)
@pytest.mark.long
def test_kill_at_many_moments_leaves_each_day_old_or_new(changed_world: ChangedWorld, tmp_path: Path) -> None:
    rng = random.Random(3)
    for number in range(25):
        settings = kill_at_random_moment(changed_world, tmp_path / f"home{number}", rng)
        assert_recovers(settings, changed_world, backfill=False)


@pytest.mark.promise(1)
@pytest.mark.long
def test_run_completes_after_repeated_kills(changed_world: ChangedWorld, tmp_path: Path) -> None:
    settings = changed_world.copy_home(tmp_path / "home")
    for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        at = round(share * len(changed_world.writes))
        with child_process(
            run_killed_at_write, environment_for(changed_world.simulator, settings.home), DAYS, {"run_id": f"{at}"}, at
        ) as (
            process,
            _,
        ):
            assert wait_for_exit(process) == KILLED
        assert_old_or_new(stored_days(settings.home / "pipeline.duckdb"), changed_world)
    assert_recovers(settings, changed_world, backfill=False)


@pytest.mark.long
@pytest.mark.promise(1)
def test_next_run_deletes_spill_files_of_a_killed_run(changed_world: ChangedWorld, tmp_path: Path) -> None:
    settings = changed_world.copy_home(tmp_path / "home")
    for name in ("pipeline.duckdb.tmp", "pipeline_raw.duckdb.tmp"):
        (settings.home / name).mkdir()
        (settings.home / name / "duckdb_temp_storage_DEFAULT-0.tmp").write_bytes(b"spilled")
    (settings.home / "warehouse.duckdb.publishing").write_bytes(b"half a copy")
    assert_recovers(settings, changed_world, backfill=False)


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
        before, requests = stored_days(settings.warehouse), simulator.request_count()
        others = {"LIVEHOUSE_LOOKBACK_DAYS": "10"}
        with start_cli_process(simulator, settings.home, *arguments, **others) as process:
            while simulator.request_count() == requests and process.poll() is None:
                time.sleep(0.001)
            with suppress(subprocess.TimeoutExpired):  # it still runs, as it should
                process.wait(moment)
        seen = stored_days(settings.warehouse)
        with start_cli_process(simulator, settings.home, *arguments, **others) as process:
            _, err = process.communicate()
            assert process.returncode == 0, err
        assert seen in (before, stored_days(settings.warehouse))
        assert_matches_world(settings, world)
        assert unexpected_files(settings.home) == set()


def backfill_killed_after(channel: Connection, environment: dict[str, str], livestreams: int) -> None:
    """Run a backfill that lands each response at once; kill it when the sessions of so many livestreams are landed."""
    landed: list[str] = []

    def land(*given: Any) -> None:
        landing.land(*given)
        landed.extend(given[-1]["livestream_id"])
        if len(landed) == livestreams:
            channel.send(landed)
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landing, "_EVERY_SECONDS", 0.0)
        patch.setattr(landing, "_SHARE", float("inf"))
        patch.setattr(sessions, "land", land)
        run_once(channel, environment, WHOLE, {"run_id": "killed", "backfill": True})


@pytest.mark.long
@pytest.mark.promise(1)
def test_resumed_backfill_fetches_only_the_remaining_tenth(tmp_path: Path) -> None:
    world = tiny_world(apps=("aula",), livestreams=40, sessions=120, on_air=0, broken=False)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path / "home", LIVEHOUSE_CONCURRENCY="2")
        environment = environment_for(simulator, settings.home, LIVEHOUSE_CONCURRENCY="2")
        with child_process(backfill_killed_after, environment, 36) as (process, channel):
            landed = channel.recv()
            assert wait_for_exit(process) == KILLED
        assert len(set(landed)) == 36
        simulator.requests.clear()
        run_pipeline(settings, WHOLE, backfill=True)
        assert_matches_world(settings, world, WHOLE)
        rest = {livestream.id for livestream in world.apps["aula"].livestreams} - set(landed)
        assert simulator.request_count("get-livestream") == len(rest) == 4, "the remaining tenth and nothing else"
        assert simulator.request_count("get-overall-analytics") == 0
        run_pipeline(settings, WHOLE, backfill=True)
        assert simulator.request_count("get-overall-analytics") > 0, (
            "after a complete backfill the next one fetches everything"
        )
