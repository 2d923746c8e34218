"""Promise 1 on ctrl-C and SIGTERM: a run ends with one line, and landed data is kept."""

import json
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest

from pipelines.cli.history import open_history
from pipelines.orchestration.run_liveness import ALERTED_BY, RUN_LOCKS, mark_dead_runs
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from tests.parameters import long_except
from tests.pipeline_runner import DAYS, assert_matches_world, environment_for, settings_for
from tests.promises.fault_runner import run_cli, start_cli_process, unexpected_files
from tests.promises.world_factory import tiny_world


def run_statuses(settings: Settings) -> list[str]:
    """Return the status of each run in Dagster's history, the oldest first."""
    with open_history(settings) as instance:
        return [run.status.value for run in reversed(instance.get_runs())]


@pytest.mark.long
@pytest.mark.promise(1)
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_backfill_prints_one_line_and_resumes(stop: signal.Signals, tmp_path: Path) -> None:
    world = tiny_world(broken=False)
    command = "backfill", f"{DAYS[0]}", f"{DAYS[1]}"
    with Simulator(world, latency=0.1) as simulator:
        settings = settings_for(simulator, tmp_path / "home")
        with start_cli_process(simulator, settings.home, *command) as process:
            while simulator.request_count("get-livestream") < 3 and process.poll() is None:
                time.sleep(0.001)
            process.send_signal(stop)
            _, err = process.communicate()
        assert process.returncode == 130, err
        [line] = [line for line in err.splitlines() if line.startswith("livehouse:")]
        assert "run the same command again to resume" in line
        assert "Traceback" not in err
        assert run_statuses(settings) == ["CANCELED"]
        simulator.service.latency = 0.0
        with start_cli_process(simulator, settings.home, *command) as process:
            _, err = process.communicate()
        assert process.returncode == 0, err
        assert_matches_world(settings, world)
        assert unexpected_files(settings.home) == set()


def kill_backfill(simulator: Simulator, settings: Settings) -> dg.DagsterRun:
    """Kill a backfill after its first requests; return its run, which the history shows as started."""
    with start_cli_process(simulator, settings.home, "backfill", f"{DAYS[0]}", f"{DAYS[1]}") as process:
        while simulator.request_count() < 3 and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGSTOP)  # alive, and without further work
        with open_history(settings) as instance:
            [run] = instance.get_runs()
            mark_dead_runs(instance, settings.dagster_home / RUN_LOCKS, "another", pytest.fail)
            assert run_statuses(settings) == ["STARTED"], "its process is alive"
        process.kill()
    assert run_statuses(settings) == ["STARTED"]
    return run


@pytest.mark.long
def test_killed_run_is_marked_as_failed(tmp_path: Path) -> None:
    """Seen: after a kill or a reboot, a run stayed "Started" in the history for ever."""
    with Simulator(tiny_world(apps=("aula",), livestreams=3, sessions=6), latency=0.1) as simulator:
        settings = settings_for(simulator, tmp_path / "home")
        run = kill_backfill(simulator, settings)
    lines: list[str] = []
    with open_history(settings) as instance:
        mark_dead_runs(instance, settings.dagster_home / RUN_LOCKS, "another", lines.append)
    [line] = lines
    assert f"backfill {run.run_id[:8]}: its process was killed, or the machine restarted" in line
    assert run_statuses(settings) == ["FAILURE"]
    assert not list((settings.dagster_home / RUN_LOCKS).iterdir())


@pytest.mark.long
@pytest.mark.parametrize("kind", ["killed", "of an earlier version", "of a dead daemon"])
def test_next_run_marks_a_dead_run_as_failed(kind: str, tmp_path: Path) -> None:
    world = tiny_world(apps=("aula",), livestreams=3, sessions=6, broken=False)
    with Simulator(world, latency=0.1) as simulator:
        settings = settings_for(simulator, tmp_path / "home")
        run = kill_backfill(simulator, settings)
        if kind != "killed":
            (settings.dagster_home / RUN_LOCKS / f"{run.run_id}.lock").unlink()
        if kind == "of a dead daemon":
            with closing(sqlite3.connect(settings.dagster_home / "history" / "runs.db")) as connection, connection:
                grpc = (".dagster/grpc_info", json.dumps({"host": "localhost", "socket": f"{tmp_path / 'gone'}"}))
                connection.execute("UPDATE run_tags SET key = ?, value = ? WHERE key = ?", [*grpc, ALERTED_BY])
                connection.execute(
                    "UPDATE runs SET run_body = replace(run_body, ?, ?)", [ALERTED_BY, ".dagster/grpc_info"]
                )
                connection.execute(
                    "UPDATE runs SET run_body = replace(run_body, ?, ?)", ['"the command line"', json.dumps(grpc[1])]
                )
        simulator.service.latency = 0.0
        status, _, err = run_cli(environment_for(simulator, settings.home), "nightly", "--quiet")
        assert status == 0, err
        assert f"backfill {run.run_id[:8]}: its process was killed, or the machine restarted" in err
        assert run_statuses(settings) == ["FAILURE", "SUCCESS"]
        assert not list((settings.dagster_home / RUN_LOCKS).iterdir())


@pytest.mark.promise(1)
@pytest.mark.parametrize("waits_for", long_except(["many pages", "retries"], "retries"))
def test_ctrl_c_does_not_wait_for_in_flight_requests(waits_for: str, tmp_path: Path) -> None:
    """Seen: ctrl-C took effect only after all pages of the current livestream had arrived, or after six failed attempts."""
    world = tiny_world(apps=("aula",), livestreams=1, sessions=20 if waits_for == "retries" else 2_000, broken=False)
    with Simulator(world, latency=0.2) as simulator:
        if waits_for == "retries":
            simulator.faults.schedule("server_error", operation="get-livestream", times=100)
        slow = {"LIVEHOUSE_CONCURRENCY": "2", "LIVEHOUSE_RETRY_PAUSE_SECONDS": "60"}
        command = "backfill", f"{DAYS[0]}", f"{DAYS[1]}"
        with start_cli_process(simulator, tmp_path / "home", *command, **slow) as process:
            while simulator.request_count("get-livestream") < 1 and process.poll() is None:
                time.sleep(0.001)
            requests = simulator.request_count()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        assert process.returncode == 130, err
        assert simulator.request_count() - requests <= 4
