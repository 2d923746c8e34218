"""A loaded home that tests copy, and the same home after its world changed."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path

import pytest

from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests import pipeline_runner
from tests.fixed_clock import NOW, clock_set_to
from tests.pipeline_runner import DAYS, environment_for, run_pipeline, settings_for
from tests.promises.fault_runner import DayRows, child_process, run_killed_at_write, stored_days, wait_for_exit
from tests.promises.world_factory import EARLIER, change_everything, tiny_world

WHOLE = (EARLIER[0], DAYS[1])
APP = "aula"

Serve = Callable[[Simulator], Simulator]
LoadHome = Callable[[Simulator, Path], Settings]


def template_world() -> World:
    """Return the world of the template: one app, no broken records, and no session without ingest seconds."""
    midnight = datetime.combine(NOW, time.min)  # before it, the last of DAYS would not be over by the API's clock
    world = tiny_world(apps=(APP,), now=max(NOW - timedelta(minutes=10), midnight), broken=False)
    for session in world.apps[APP].timeline:
        session.ingest_seconds = session.ingest_seconds or 1.0  # null that becomes zero is a change, and no shrink
    return world


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of one run over WHOLE. A run costs two CPU seconds, a copy of its home none."""
    home = tmp_path_factory.mktemp("template") / "home"
    with Simulator(template_world()) as simulator, clock_set_to(NOW):
        run_pipeline(settings_for(simulator, home), WHOLE, run_id="before")
    return home


@pytest.fixture
def load_home(request: pytest.FixtureRequest) -> LoadHome:
    """Return a function that gives a home the rows of `template_world()`: a copy of the template, or with a lake a run."""

    def load(simulator: Simulator, home: Path) -> Settings:
        settings = settings_for(simulator, home)
        if pipeline_runner.lakehouse_of:
            run_pipeline(settings, WHOLE, run_id="before")
        else:
            shutil.copytree(request.getfixturevalue("template"), home)
        return settings

    return load


@dataclass(frozen=True)
class ChangedWorld:
    """A home that was loaded before its world changed, its rows, and the rows and writes of a run that is not killed."""

    simulator: Simulator
    template: Path
    before: DayRows
    after: DayRows
    writes: list[str]

    def copy_home(self, home: Path) -> Settings:
        """Return the settings of a copy of the home as it was before the change."""
        shutil.copytree(self.template, home)
        return settings_for(self.simulator, home)


@pytest.fixture(scope="session")
def changed_world(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChangedWorld]:
    finished = tmp_path_factory.mktemp("after") / "home"
    world = template_world()
    with Simulator(world) as simulator, clock_set_to(NOW):
        change_everything(world, world.now + timedelta(minutes=10))
        shutil.copytree(template, finished)
        environment = environment_for(simulator, finished)
        with child_process(run_killed_at_write, environment, DAYS, {"run_id": "next"}, None) as (process, channel):
            writes = channel.recv()
            assert wait_for_exit(process) == 0
        before, after = stored_days(template / "warehouse.duckdb"), stored_days(finished / "warehouse.duckdb")
        yield ChangedWorld(simulator, template, before, after, writes)


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Simulator] = []

    def start(simulator: Simulator) -> Simulator:
        started.append(simulator)
        return simulator.__enter__()

    yield start
    for simulator in started:
        simulator.__exit__(None, None, None)
