"""A home as it was yesterday, and the world as it is now: what attacks start from."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.settings import Settings
from pipelines.simulator.server import Simulator
from tests.houses import DAYS, load, settings_for, variables
from tests.promises.attack import Standing, another_process, doomed_run, ended, standing
from tests.promises.worlds import EARLIER, everything_changes, start_of_minute, tiny_world

WHOLE = (EARLIER[0], DAYS[1])


Serve = Callable[[Simulator], Simulator]


@dataclass(frozen=True)
class Change:
    """A home loaded before its world changed, and what a run that is not killed makes of it."""

    simulator: Simulator
    template: Path
    before: Standing
    after: Standing
    writes: list[str]

    def copy(self, home: Path) -> Settings:
        """A home as it was before the change."""
        shutil.copytree(self.template, home)
        return settings_for(self.simulator, home)


@pytest.fixture(scope="session")
def change(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Change]:
    template, finished = tmp_path_factory.mktemp("before") / "home", tmp_path_factory.mktemp("after") / "home"
    now = start_of_minute()
    world = tiny_world(now=now - timedelta(minutes=10), broken=False)
    with Simulator(world) as simulator:
        load(settings_for(simulator, template), WHOLE)
        everything_changes(world, world.now + timedelta(minutes=10))
        shutil.copytree(template, finished)
        environment = variables(simulator, finished)
        with another_process(doomed_run, environment, DAYS, {"run_id": "next"}, None) as (process, told):
            writes = told.recv()
            assert ended(process) == 0
        before, after = standing(template / "warehouse.duckdb"), standing(finished / "warehouse.duckdb")
        yield Change(simulator, template, before, after, writes)


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Simulator] = []

    def begin(simulator: Simulator) -> Simulator:
        started.append(simulator)
        return simulator.__enter__()

    yield begin
    for simulator in started:
        simulator.__exit__(None, None, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Attacks take minutes on two shared cores: they are run by `make test-long`."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.long)
