"""A small world and a simulator that serves it, for the tests of this folder."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.simulator.dialects import TODAY
from pipelines.simulator.faults import FaultInjector
from pipelines.simulator.response_shapes import ResponseShapes
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World

NOW = datetime(2025, 11, 20, 15, 30, tzinfo=UTC)
APP = "aula"


@dataclass(frozen=True)
class Client:
    """An HTTP client for one app of a simulator."""

    simulator: Simulator
    http: httpx.Client

    @property
    def world(self) -> World:
        return self.simulator.world

    @property
    def faults(self) -> FaultInjector:
        return self.simulator.faults

    def get(self, path: str, **query: str | int) -> httpx.Response:
        return self.http.get(path, params=query)

    def json(self, path: str, **query: str | int) -> Any:
        return self.get(path, **query).raise_for_status().json()

    def post(self, path: str, body: object = None) -> httpx.Response:
        return self.http.post(path, json=body)


Serve = Callable[..., Client]


def small_world(seed: int = 7, **options: Any) -> World:
    return World.seeded(seed, apps=[APP, "stage"], livestreams=45, days=60, now=NOW, **options)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that serves a world (a small one by default) with any option of the simulator."""
    with ExitStack() as open_ones:

        def start(world: World | None = None, shapes: ResponseShapes | None = None, **options: Any) -> Client:
            options.setdefault("dialect", replace(TODAY, times="both"))
            simulator = open_ones.enter_context(Simulator(world or small_world(), shapes=shapes, **options))
            root = f"{simulator.base_url}/accounts/{simulator.account_id}/realtime/kit/{APP}"
            headers = {"Authorization": f"Bearer {simulator.token}"}
            http = open_ones.enter_context(httpx.Client(base_url=root, headers=headers, timeout=10))
            return Client(simulator, http)

        yield start


@pytest.fixture
def client(serve: Serve) -> Client:
    return serve()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Exempt these tests from request validation: they send invalid requests on purpose, and livehouse sends none."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.undescribed_requests)
