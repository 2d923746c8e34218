"""Promise 1, stopped: ctrl-C and SIGTERM end a run in one line, and what was landed stays."""

import signal
import time
from pathlib import Path

import pytest

from pipelines.simulator.server import Simulator
from tests.houses import DAYS, assert_holds_truth, settings_for
from tests.promises.attack import start_livehouse, strays
from tests.promises.worlds import tiny_world


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_promise_1_stopped_by_hand_is_one_line_and_goes_on(stop: signal.Signals, tmp_path: Path) -> None:
    world = tiny_world(broken=False)
    command = "backfill", f"{DAYS[0]}", f"{DAYS[1]}"
    with Simulator(world, latency=0.1) as simulator:
        settings = settings_for(simulator, tmp_path / "home")
        with start_livehouse(simulator, settings.home, *command) as process:
            while simulator.count("get-livestream") < 3 and process.poll() is None:
                time.sleep(0.001)
            process.send_signal(stop)
            _, said = process.communicate()
        assert process.returncode == 130, said
        [line] = [line for line in said.splitlines() if line.startswith("livehouse:")]
        assert "the same command again goes on" in line
        assert "Traceback" not in said
        simulator.service.latency = 0.0
        with start_livehouse(simulator, settings.home, *command) as process:
            _, said = process.communicate()
        assert process.returncode == 0, said
        assert_holds_truth(settings, world)
        assert strays(settings.home) == set()


@pytest.mark.parametrize("waits_for", ["many pages", "replies that do not come"])
def test_promise_1_who_stops_a_run_waits_for_no_reply(waits_for: str, tmp_path: Path) -> None:
    """Seen: ctrl-C ended a run when all pages of the livestream that was being read had come, or six tries had failed."""
    world = tiny_world(apps=("aula",), livestreams=1, sessions=2_000, broken=False)
    with Simulator(world, latency=0.2) as simulator:
        if waits_for == "replies that do not come":
            simulator.faults.order("server_error", operation="get-livestream", times=100)
        slow = {"LIVEHOUSE_CONCURRENCY": "2", "LIVEHOUSE_RETRY_PAUSE_SECONDS": "60"}
        command = "backfill", f"{DAYS[0]}", f"{DAYS[1]}"
        with start_livehouse(simulator, tmp_path / "home", *command, **slow) as process:
            while simulator.count("get-livestream") < 1 and process.poll() is None:
                time.sleep(0.001)
            asked = simulator.count()
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=30)
        assert process.returncode == 130, said
        assert simulator.count() - asked <= 4
