"""`livehouse on-air`: its table, its JSON, its messages, and how it ends."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.cli.on_air_table import on_air_table, sparkline
from pipelines.clock import utc_now
from pipelines.live.view import OnAirStream, average_viewers
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.lock import exclusive_lock
from tests.live_helpers import APP, MIDNIGHT, new_world
from tests.pipeline_runner import environment_for
from tests.promises.fault_runner import run_cli

LIVEHOUSE = Path(sys.executable).with_name("livehouse")


def on_air(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [LIVEHOUSE, "on-air", *arguments]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[tuple[World, dict[str, str]]]:
    """A stream with an ugly name that has been live for an hour, and the environment that points to it. No warehouse."""
    world = new_world(utc_now() - timedelta(hours=1))
    livestream = world.add_livestream(APP, name="\x1b[31mred\x1b[0m [bold]alert")
    world.go_live(APP, livestream.id, audience=100)
    world.advance(timedelta(hours=1))
    world.start_clock()
    with Simulator(world) as simulator:
        yield world, environment_for(simulator, tmp_path / "home")


@pytest.mark.long
def test_two_polls_give_an_average(shown: tuple[World, dict[str, str]]) -> None:
    _, environment = shown
    first = on_air(**environment)
    assert first.returncode == 0, first.stderr
    assert "\x1b[31m" not in first.stdout
    assert "\\x1b[31mred\\x1b[0m [bold]alert" in first.stdout
    assert "an average takes two polls" in first.stderr
    time.sleep(0.5)
    second = on_air("--json", **environment)
    [stream] = json.loads(second.stdout)["streams"]
    assert stream["status"] == "LIVE"
    assert 0 < stream["over_seconds"] < 60
    assert 50 < stream["average_viewers"] < 150, "the audience swells and ebbs around 100"
    assert stream["trend"] == [None, stream["average_viewers"]]


@pytest.mark.long
def test_the_reason_why_nothing_was_polled_is_printed(shown: tuple[World, dict[str, str]]) -> None:
    _, environment = shown
    assert on_air(**environment).returncode == 0
    refused = on_air(**environment | {"CLOUDFLARE_API_TOKEN": "wrong"})
    assert refused.returncode == 1
    assert "401" in refused.stderr
    assert "red" in refused.stdout, "the last poll is still shown"
    warehouse = FileWarehouse(Path(environment["LIVEHOUSE_HOME"]) / "warehouse.duckdb")
    with exclusive_lock(warehouse.lock, wait_seconds=0, log=print):
        busy = on_air(**environment)
    assert busy.returncode == 0
    assert f"polling is suspended: a run (PID {os.getpid()}) needs the request budget" in busy.stderr
    assert "red" in busy.stdout
    assert on_air().returncode == 2
    assert on_air("--every", "1").returncode == 2


def test_nothing_on_air_is_success(tmp_path: Path) -> None:
    with Simulator(new_world(utc_now(), streams=2)) as simulator:
        assert run_cli(environment_for(simulator, tmp_path / "home"), "on-air") == (0, "Nothing is on air.\n", "")


@pytest.mark.long
def test_figures_that_do_not_change_are_reported_as_lag(shown: tuple[World, dict[str, str]]) -> None:
    world, environment = shown
    world.start_clock(0)
    assert "lags" not in on_air(**environment).stderr
    assert "the API lags" in on_air(**environment).stderr


@pytest.mark.long
@pytest.mark.parametrize("stuck", [False, pytest.param(True, marks=pytest.mark.long)])
def test_ctrl_c_ends_watch_cleanly(shown: tuple[World, dict[str, str]], stuck: bool, tmp_path: Path) -> None:  # noqa: FBT001 - a parameter of the test
    _, environment = shown
    if stuck:  # nothing listens there: the poll keeps trying for minutes
        environment |= {"CLOUDFLARE_BASE_URL": "http://127.0.0.1:9/v4", "LIVEHOUSE_RETRY_PAUSE_SECONDS": "30"}
    command: list[str | Path] = [LIVEHOUSE, "on-air", "--watch", "--json", "--every", "5"]
    with (tmp_path / "messages").open("w") as messages:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=messages, text=True
        )
        assert process.stdout
        if stuck:
            time.sleep(1.5)
        else:
            assert json.loads(process.stdout.readline())["streams"]
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        assert process.wait(timeout=30) == 0
        assert time.monotonic() - begun < 5
        process.stdout.close()
    assert (tmp_path / "messages").read_text() == ""


def test_averages_are_never_negative() -> None:
    def at(seconds: float) -> datetime:
        return MIDNIGHT + timedelta(seconds=seconds)

    seen = [(at(0), 600.0, 1000.0), (at(60), 660.0, 1600.0), (at(120), 660.0, 1500.0), (at(180), 780.0, 2800.0)]
    # the third reply is an outdated one: the fourth average covers two minutes
    assert average_viewers(seen) == [(None, None), (10.0, 60.0), (None, None), (10.0, 120.0)]
    # the feed was restarted 30 s before the second reply
    assert average_viewers([(at(0), 600.0, 1000.0), (at(60), 30.0, 90.0), (at(120), 90.0, 90.0)])[1:] == [
        (3.0, 30.0),
        (0.0, 60.0),
    ]
    # first observed soon after its start; then without a figure
    assert average_viewers([(at(0), 40.0, 80.0), (at(60), 100.0, None), (at(120), 160.0, 200.0)]) == [
        (2.0, 40.0),
        (None, None),
        (1.0, 120.0),
    ]


@pytest.mark.parametrize("width", [46, 50, 59, 60, 80, 200])
def test_no_figure_is_truncated_in_a_narrow_terminal(width: int) -> None:
    begun, observed = MIDNIGHT - timedelta(days=3), MIDNIGHT
    stream = OnAirStream(
        APP,
        "l" * 36,
        "A long name " * 5,
        "LIVE",
        "s",
        begun,
        observed,
        9.0,
        1_234_567.0,
        12_345.6,
        60.0,
        [1.0] * 90,
        stands_still=False,
    )
    console = Console(width=width, file=io.StringIO(), force_terminal=True, no_color=True)
    with console.capture() as shown:
        console.print(on_air_table([stream], 5, width))
    lines = shown.get().splitlines()
    assert len(lines) == 2
    for figure in (f"{begun:%m-%d %H:%M}", "1,234,567", "12,346"):
        assert figure in lines[1]


def test_a_sparkline_marks_unknown_averages() -> None:
    assert sparkline([None, 0.0, 5.0, 10.0]) == "·▁▅█"
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline([]) == ""
