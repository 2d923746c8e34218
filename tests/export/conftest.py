"""A loaded home, and functions that export it and read the export."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.simulator.server import Simulator
from tests.night_runner import APP, WEEK, NightRunner, world_of
from tests.pipeline_runner import environment_for
from tests.promises.fault_runner import run_cli

SESSIONS = "core.livestream_sessions"


@pytest.fixture(scope="session")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NightRunner]:
    """A home with a week of two livestreams, one with a name that a spreadsheet would evaluate."""
    world = world_of(2)
    world.apps[APP].livestreams[0].name = '=1+1,"quoted"\nline'
    with Simulator(world) as simulator:
        made = NightRunner(simulator, tmp_path_factory.mktemp("export") / "home")
        made.load(WEEK)
        yield made


def export(nights: NightRunner, *arguments: str) -> tuple[int, str, str]:
    return run_cli(environment_for(nights.simulator, nights.settings.home), "export", *arguments)


def rows_of(connection: duckdb.DuckDBPyConnection, source: str, columns: str) -> list[tuple[Any, ...]]:
    return sorted(connection.execute(f"SELECT {columns} FROM {source}").fetchall(), key=repr)


def scan(directory: Path, table: str, style: str = "parquet") -> str:
    """Return SQL that reads a table of an export."""
    path = directory / table.replace(".", "/")
    if path.is_dir():
        hive = "hive_partitioning = true, hive_types = {'app_id': VARCHAR, 'day': DATE}"
        return f"read_{style}('{path}/*/*/*.{style}', {hive})"
    return f"read_{style}('{path}.{style}')"


def inodes(directory: Path, table: str) -> dict[str, int]:
    root = directory / table.replace(".", "/")
    return {f"{file.relative_to(root)}": file.stat().st_ino for file in root.rglob("*.parquet")}
