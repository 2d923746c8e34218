"""A new history of Dagster: created by packaged statements, it is the one that Dagster creates."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.history import history_files, open_history
from pipelines.files import PACKAGE_DATA
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
    monkeypatch.setattr(packaged_history, "_FILE", tmp_path / "none")
    assert packaged == read_new_history(tmp_path / "original")
    assert len(packaged["runs.db"][1]) > 20


def test_the_history_of_another_version_of_dagster_is_not_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads((PACKAGE_DATA / "history.json").read_text())
    (tmp_path / "history.json").write_text(json.dumps(content | {"dagster": "1.0.0"}))
    monkeypatch.setattr(packaged_history, "_FILE", tmp_path / "history.json")
    create_history(tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_file_of_an_existing_history_is_left_as_it_is(tmp_path: Path) -> None:
    first, *others = history_files(tmp_path)
    first.parent.mkdir()
    first.write_bytes(b"no database")
    create_history(tmp_path)
    assert first.read_bytes() == b"no database"
    assert all(file.exists() for file in others)
