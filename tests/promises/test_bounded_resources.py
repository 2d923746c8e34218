"""Promise 6: neither requests nor memory grow with the data already loaded or the size of a response."""

import resource
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.simulator.transport_faults import FaultOptions
from pipelines.simulator.world import World
from pipelines.steps import fetch
from pipelines.steps.context import open_run
from tests.parameters import long_except
from tests.pipeline_runner import DAYS, LAST, assert_matches_world, environment_for, run_pipeline, settings_for
from tests.promises.conftest import WHOLE, Serve
from tests.promises.fault_runner import child_process, run_cli, wait_for_exit
from tests.promises.world_factory import tiny_world

MIB = 2**20
NIGHT = (LAST - timedelta(days=2), LAST)


def run_whole(channel: Connection, environment: dict[str, str]) -> None:
    """Run the pipeline, then send the peak memory of the process in bytes."""
    run_pipeline(Settings(**environment))  # type: ignore[arg-type]  # read by alias
    channel.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def fetch_overall(channel: Connection, environment: dict[str, str]) -> None:
    """Fetch *overall* of one day, then send the peak memory of the process in bytes."""
    settings = Settings(**environment)  # type: ignore[arg-type]  # read by alias
    with open_run(settings, run_id="fetch", full=False, allow_shrink=False, backfill=None) as run:
        fetch.extract_overall(run, (LAST, LAST))
        assert run.failures == []
    channel.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def peak_memory(body: Callable[[Connection, dict[str, str]], None], simulator: Simulator, home: Path) -> int:
    with child_process(body, environment_for(simulator, home)) as (process, channel):
        peak: int = channel.recv()
        assert wait_for_exit(process) == 0
    return peak


@pytest.mark.long
@pytest.mark.promise(6)
def test_nightly_requests_do_not_grow_with_the_days_loaded(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(livestreams=12, sessions=150, broken=False)
    simulator = serve(Simulator(world))
    requests = []
    for name, landed in (("young", NIGHT), ("old", WHOLE)):
        settings = settings_for(simulator, tmp_path / name)
        run_pipeline(settings, landed, run_id="before", full=True)
        before = simulator.request_count()
        run_pipeline(settings, NIGHT, run_id="night")
        requests.append(simulator.request_count() - before)
        assert_matches_world(settings, world, NIGHT)
    assert requests[0] == requests[1]


@pytest.mark.promise(6)
@pytest.mark.parametrize("kind", long_except(["huge_body", "gzip_bomb"], "gzip_bomb"))
def test_huge_body_is_refused_without_being_buffered(kind: str, serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(apps=("aula",))
    simulator = serve(Simulator(world))
    light = peak_memory(fetch_overall, simulator, tmp_path / "light")
    options = FaultOptions(huge_bytes=400 * MIB if kind == "gzip_bomb" else 200 * MIB)
    simulator.faults.schedule(kind, operation="get-overall-analytics", times=1, options=options)
    heavy = peak_memory(fetch_overall, simulator, tmp_path / "heavy")
    # At most 64 MiB are read before the response is refused, once in chunks and once joined.
    assert heavy - light < 160 * MIB
    assert simulator.request_count("get-overall-analytics") == 1 + 2, "the refused response is requested again"


@pytest.mark.long
@pytest.mark.promise(6)
def test_endpoint_that_always_sends_huge_bodies_is_an_error(serve: Serve, tmp_path: Path) -> None:
    simulator = serve(Simulator(tiny_world(apps=("aula",))))
    simulator.faults.schedule(
        "gzip_bomb", operation="list-livestreams", times=10**9, options=FaultOptions(huge_bytes=80 * MIB)
    )
    environment = environment_for(simulator, tmp_path / "home")
    status, _, err = run_cli(environment, "backfill", f"{DAYS[0]}", f"{DAYS[1]}", "--quiet")
    assert (status, "Traceback" in err) == (1, False)
    assert "a body above 8 MiB is not read" in err


@pytest.mark.promise(6)
@pytest.mark.long
def test_memory_does_not_grow_with_the_number_of_livestreams(serve: Serve, tmp_path: Path) -> None:
    peaks = []
    for livestreams in (1_000, 8_000):
        world = World.seeded(1, apps=("aula",), livestreams=livestreams, days=30, now=tiny_world().now)
        simulator = serve(Simulator(world))
        peaks.append(peak_memory(run_whole, simulator, tmp_path / f"{livestreams}"))
    assert peaks[1] - peaks[0] < 200 * MIB
