"""A new history of Dagster: created by packaged statements, it is the one that Dagster creates."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster
import pytest

from pipelines.cli.history import history_files, open_history
from pipelines.orchestration import packaged_history
from pipelines.orchestration.packaged_history import create_history
from pipelines.settings.demo_settings import load_demo_settings

QUERIES = (
    "PRAGMA journal_mode",
    "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name",
    "SELECT version_num FROM alembic_version",
    "SELECT id, name, create_timestamp > '2026', migration_completed > '2026' FROM secondary_indexes ORDER BY id",
)


def read_new_history(home: Path) -> dict[str, list[Any]]:
    settings = load_demo_settings(LIVEHOUSE_HOME=str(home))
    open_history(settings).dispose()
    found = {}
    for file in history_files(settings.dagster_home):
        with closing(sqlite3.connect(file)) as connection:
            found[file.name] = [connection.execute(query).fetchall() for query in QUERIES]
    return found


def test_a_packaged_history_is_the_one_that_dagster_creates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_history(tmp_path / "created")
    assert all(file.exists() for file in history_files(tmp_path / "created"))
    packaged = read_new_history(tmp_path / "packaged")
    # The name has the version of Dagster: the statements of another one are not found.
    assert packaged_history.PACKAGED_HISTORY.name == f"history-{dagster.__version__}.json"
    monkeypatch.setattr(packaged_history, "PACKAGED_HISTORY", tmp_path / "none")
    assert packaged == read_new_history(tmp_path / "original")
    assert len(packaged["runs.db"][1]) > 20


def test_a_file_of_an_existing_history_is_left_as_it_is(tmp_path: Path) -> None:
    first, *others = history_files(tmp_path)
    others[0].parent.mkdir(parents=True)
    others[0].with_name(".index.db.new").write_bytes(b"cut off")
    first.write_bytes(b"no database")
    create_history(tmp_path)
    assert first.read_bytes() == b"no database"
    assert all(file.exists() for file in others)
    assert not list(tmp_path.rglob("*.new"))
