"""Concurrent runs: the second waits for the first, reports it, and then runs; a killed run leaves no lock."""

import os
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from pipelines.errors import AlreadyRunningError
from pipelines.simulator.server import Simulator
from pipelines.storage.lock import exclusive_lock
from tests.pipeline_runner import DAYS, assert_matches_world, environment_for, query, run_pipeline, settings_for
from tests.promises.conftest import Serve
from tests.promises.fault_runner import (
    child_process,
    run_cli,
    run_once,
    start_cli_process,
    stored_days,
    unexpected_files,
    wait_for_exit,
)
from tests.promises.world_factory import change_everything, tiny_world

pytestmark = pytest.mark.file_only
"""Runs on a lakehouse are concurrent: tests/lake/test_lakehouse.py, tests/lake/test_workers.py."""


def hold_lock(channel: Connection, lock: str) -> None:
    """Hold the lock of a home until a message arrives."""
    with exclusive_lock(Path(lock), wait_seconds=0, log=lambda _: None):
        channel.send(os.getpid())
        channel.recv()


@pytest.mark.long
def test_concurrent_commands_wait_for_the_lock_and_both_finish(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(broken=False)
    simulator = serve(Simulator(world))
    settings = settings_for(simulator, tmp_path / "home")
    (tmp_path / "home").mkdir()
    first, last = f"{DAYS[0]}", f"{DAYS[1]}"
    with child_process(hold_lock, f"{settings.home / 'pipeline.lock'}") as (holder, channel):
        holder_pid = channel.recv()
        with (
            start_cli_process(simulator, settings.home, "backfill", first, last) as one,
            start_cli_process(simulator, settings.home, "backfill", first, last, "--full") as two,
        ):
            assert one.stderr
            assert two.stderr
            for waiting in (one, two):
                line = waiting.stderr.readline() if waiting.stderr else ""
                assert line == f"waiting for PID {holder_pid}, which is writing to {settings.home}\n"
            assert simulator.request_count() == 0, "a waiting run sends no request"
            channel.send("release")
            assert wait_for_exit(holder) == 0
            for waiting in (one, two):
                _, err = waiting.communicate()
                assert waiting.returncode == 0, err
    assert_matches_world(settings, world)
    runs = query(settings, "SELECT run_id, min(started_at), max(finished_at) FROM ops.loads GROUP BY 1 ORDER BY 2")
    assert len(runs) == 2
    assert runs[0][2] <= runs[1][1], "one after the other"
    assert unexpected_files(settings.home) == set()


@pytest.mark.long
def test_busy_home_is_a_one_line_error_without_lock_wait(serve: Serve, tmp_path: Path) -> None:
    simulator = serve(Simulator(tiny_world()))
    home = tmp_path / "home"
    home.mkdir()
    with child_process(hold_lock, f"{home / 'pipeline.lock'}") as (_, channel):
        pid = channel.recv()
        status, out, err = run_cli(environment_for(simulator, home, LIVEHOUSE_LOCK_WAIT_SECONDS="0"), "nightly")
    assert (status, out) == (1, "")
    last = err.splitlines()[-1]
    assert last.startswith(f"livehouse: PID {pid} is still writing to {home} after 0 s")
    assert "LIVEHOUSE_LOCK_WAIT_SECONDS" in last
    assert len([line for line in err.splitlines() if line.startswith("livehouse: ")]) == 1
    assert "Traceback" not in err
    assert simulator.request_count() == 0


@pytest.mark.long
def test_killed_process_releases_its_lock(serve: Serve, tmp_path: Path) -> None:
    simulator = serve(Simulator(tiny_world()))
    settings = settings_for(simulator, tmp_path / "home", LIVEHOUSE_LOCK_WAIT_SECONDS="0")
    settings.home.mkdir()
    lock = settings.home / "pipeline.lock"
    with child_process(hold_lock, f"{lock}") as (holder, channel):
        channel.recv()
        with pytest.raises(AlreadyRunningError):
            run_pipeline(settings)
        holder.kill()
        assert wait_for_exit(holder) == -9
        assert lock.read_text().startswith("PID ")
        run_pipeline(settings)
    assert_matches_world(settings, simulator.world)


@pytest.mark.long
def test_concurrent_runs_leave_each_row_once(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(broken=False)
    simulator = serve(Simulator(world))
    settings = settings_for(simulator, tmp_path / "home")
    run_pipeline(settings, run_id="before")
    change_everything(world)
    environment = simulator.settings() | {
        "LIVEHOUSE_HOME": str(settings.home),
        "LIVEHOUSE_REQUESTS_PER_SECOND": "0",
    }
    with (
        child_process(run_once, environment, DAYS, {"run_id": "one"}) as (one, _),
        child_process(run_once, environment, DAYS, {"run_id": "two", "backfill": True}) as (two, _),
    ):
        assert (wait_for_exit(one), wait_for_exit(two)) == (0, 0)
    assert_matches_world(settings, world)
    before = stored_days(settings.warehouse)
    run_pipeline(settings, run_id="after")
    assert stored_days(settings.warehouse) == before


@pytest.mark.long
def test_run_waits_for_a_dagster_run(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(broken=False)
    simulator = serve(Simulator(world, latency=0.02))
    settings = settings_for(simulator, tmp_path / "home")
    with start_cli_process(simulator, settings.home, "backfill", f"{DAYS[0]}", f"{DAYS[1]}") as program:
        while simulator.request_count() == 0 and program.poll() is None:
            threading.Event().wait(0.01)
        run_pipeline(settings, run_id="beside")
        _, err = program.communicate()
        assert program.returncode == 0, err
    assert_matches_world(settings, world)
    order = query(settings, "SELECT run_id FROM ops.loads GROUP BY run_id ORDER BY min(started_at)")
    assert len(order) == 2
    assert order[1] == ("beside",)
