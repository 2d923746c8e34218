"""Promise 6: neither requests nor memory grow with what is already there, or with what a reply weighs."""

import resource
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from pipelines.errors import TransientApiError
from pipelines.simulator.server import Simulator
from pipelines.simulator.transport_faults import FaultOptions
from pipelines.simulator.world import World
from tests.pipeline_runner import DAYS, LAST, assert_matches_world, environment_for, run_pipeline, settings_for
from tests.promises.conftest import WHOLE, Serve
from tests.promises.fault_runner import child_process, run_once, wait_for_exit
from tests.promises.world_factory import tiny_world

MIB = 2**20
NIGHT = (LAST - timedelta(days=2), LAST)


def heaviest(told: Connection, environment: dict[str, str], flags: dict[str, bool]) -> None:
    """A run, and what it held at its heaviest, in bytes."""
    run_once(told, environment, DAYS, {"run_id": "heavy", **flags})
    told.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


def weight(simulator: Simulator, home: Path) -> int:
    with child_process(heaviest, environment_for(simulator, home), {}) as (process, told):
        assert told.recv() == "done"
        found: int = told.recv()
        assert wait_for_exit(process) == 0
    return found


@pytest.mark.promise(6)
def test_nightly_requests_do_not_grow_with_the_days_loaded(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(livestreams=12, sessions=150, broken=False)
    simulator = serve(Simulator(world))
    asked = []
    for name, landed in (("young", NIGHT), ("old", WHOLE)):
        settings = settings_for(simulator, tmp_path / name)
        run_pipeline(settings, landed, run_id="before", full=True)
        before = simulator.request_count()
        run_pipeline(settings, NIGHT, run_id="night")
        asked.append(simulator.request_count() - before)
        assert_matches_world(settings, world, NIGHT)
    assert asked[0] == asked[1]


@pytest.mark.promise(6)
@pytest.mark.parametrize("kind", ["huge_body", "gzip_bomb"])
def test_huge_body_is_refused_without_being_buffered(kind: str, serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(apps=("aula",))
    simulator = serve(Simulator(world))
    light = weight(simulator, tmp_path / "light")
    options = FaultOptions(huge_bytes=400 * MIB if kind == "gzip_bomb" else 200 * MIB)
    simulator.faults.schedule(kind, operation="get-overall-analytics", times=1, options=options)
    heavy = weight(simulator, tmp_path / "heavy")
    # 64 MiB are read before it is refused, once as pieces and once as a whole at most.
    assert heavy - light < 160 * MIB
    assert_matches_world(settings_for(simulator, tmp_path / "heavy"), world)


@pytest.mark.promise(6)
def test_endpoint_that_always_sends_huge_bodies_is_an_error(serve: Serve, tmp_path: Path) -> None:
    simulator = serve(Simulator(tiny_world(apps=("aula",))))
    simulator.faults.schedule(
        "gzip_bomb", operation="list-livestreams", times=10**9, options=FaultOptions(huge_bytes=80 * MIB)
    )
    with pytest.raises(TransientApiError, match="a body above 8 MiB is not read"):
        run_pipeline(settings_for(simulator, tmp_path / "home"))


@pytest.mark.promise(6)
@pytest.mark.long
def test_memory_does_not_grow_with_the_number_of_livestreams(serve: Serve, tmp_path: Path) -> None:
    weights = []
    for livestreams in (1_000, 8_000):
        world = World.seeded(1, apps=("aula",), livestreams=livestreams, days=30, now=tiny_world().now)
        simulator = serve(Simulator(world))
        weights.append(weight(simulator, tmp_path / f"{livestreams}"))
    assert weights[1] - weights[0] < 200 * MIB
