"""No test sees the settings of whoever runs it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.simulator.server import Simulator
from tests.houses import small_world


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("CLOUDFLARE_", "LIVEHOUSE_", "REALTIMEKIT_", "DAGSTER_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LIVEHOUSE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(small_world()) as served:
        yield served
