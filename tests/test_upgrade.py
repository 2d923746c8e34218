"""Homes that earlier releases wrote keep working: `tests/homes` has one per release, a demo of three days with its history.

To add one: check out the release, run `livehouse demo --days 3`, and pack `pipeline.duckdb`, `pipeline_raw.duckdb`,
`warehouse.duckdb` and `dagster` of `data/demo` as tests/homes/VERSION.tar.xz.
"""

import re
import tarfile
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.catalog.files import RAW_FILE, WAREHOUSE_FILE
from pipelines.cli.history import DAGSTER_YAML, prepare_dagster_home
from pipelines.marts.build import find_marts
from pipelines.settings.settings import load_settings
from pipelines.storage.migrations import SCHEMA_VERSION
from tests.fixed_clock import clock_set_to
from tests.promises.fault_runner import run_cli

ROOT = Path(__file__).parents[1]
HOMES = sorted((ROOT / "tests/homes").glob("*.tar.xz"))
VERSIONS = [path.name.removesuffix(".tar.xz") for path in HOMES]

FACTS = {
    "core.livestreams": "SELECT app_id, livestream_id, name, status, created_at FROM core.livestreams",
    "core.livestream_sessions": (
        "SELECT app_id, session_id, day, livestream_id, started_at, stopped_at, ingest_seconds, viewer_seconds, err_message"
        " FROM core.livestream_sessions"
    ),
    "core.livestream_analytics_daily": (
        "SELECT app_id, day, livestream_count, ingest_seconds, viewer_seconds FROM core.livestream_analytics_daily"
    ),
    "core.meeting_sessions_daily": "SELECT app_id, day, session_count, session_minutes FROM core.meeting_sessions_daily",
    "core.recordings_daily": "SELECT app_id, day, recording_count, recording_minutes FROM core.recordings_daily",
}
"""Columns that every release had."""


def read_facts(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    with duckdb.connect(path, read_only=True) as connection:
        return {name: connection.execute(f"{query} ORDER BY ALL").fetchall() for name, query in FACTS.items()}


@pytest.fixture(params=HOMES, ids=VERSIONS)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def test_every_earlier_release_has_a_home() -> None:
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert sorted(released) == VERSIONS, "pack a home of each release: see the head of this file"


def test_readers_find_what_an_earlier_release_published(home: Path) -> None:
    environment = {"LIVEHOUSE_HOME": str(home)}
    query = "select count(*) as sessions, sum(viewer_seconds) as seconds from core.livestream_sessions"
    status, out, err = run_cli(environment, "sql", "--format", "csv", query)
    facts = read_facts(home / "warehouse.duckdb")["core.livestream_sessions"]
    assert status == 0, err
    assert out.splitlines()[1].partition(",")[0] == str(len(facts))
    assert len(facts) > 0


def test_the_history_of_an_earlier_release_is_opened_by_the_modules_of_this_one(home: Path) -> None:
    """Its dagster.yaml named a module that has moved since: every command failed after an update from 0.1.0."""
    prepare_dagster_home(load_settings(LIVEHOUSE_HOME=str(home)))
    assert (home / "dagster/dagster.yaml").read_text() == DAGSTER_YAML


@pytest.mark.long  # migrates a home, and builds everything again
def test_an_update_keeps_every_fact_and_completes_the_schema(home: Path) -> None:
    before = read_facts(home / "warehouse.duckdb")
    days = sorted({row[2] for row in before["core.livestream_sessions"]})
    apps = ",".join(sorted({row[0] for row in before["core.livestream_sessions"]}))
    environment = {"LIVEHOUSE_HOME": str(home), "REALTIMEKIT_APP_ID": apps}
    with clock_set_to(datetime.combine(days[-1] + timedelta(days=1), time(4))):
        status, _, err = run_cli(environment, "rebuild", str(days[0]), str(days[-1]), "--quiet")
    assert status == 0, err
    assert read_facts(home / "warehouse.duckdb") == before
    with duckdb.connect(home / "warehouse.duckdb", read_only=True) as connection:
        columns = set(
            connection.execute("SELECT schema_name || '.' || table_name, column_name FROM duckdb_columns()").fetchall()
        )
        [(version,)] = connection.execute("SELECT max(schema_version) FROM ops.schema_versions").fetchall()
        marts = {
            mart.full_name: connection.execute(f"SELECT count(*) FROM {mart.full_name}").fetchall()[0][0]
            for mart in find_marts()
        }
    assert {(table.full_name, column.name) for table in WAREHOUSE_FILE for column in table.columns} <= columns
    assert version == SCHEMA_VERSION
    assert marts["marts.daily_usage"] > 0
    with duckdb.connect(home / "pipeline_raw.duckdb", read_only=True) as connection:
        columns = set(
            connection.execute("SELECT schema_name || '.' || table_name, column_name FROM duckdb_columns()").fetchall()
        )
    assert {(table.full_name, column.name) for table in RAW_FILE for column in table.columns} <= columns
    status, out, err = run_cli(environment, "sql", "--format", "csv", "select count(*) as runs from ops.loads")
    assert status == 0, err
    assert int(out.splitlines()[1]) > len(FACTS)
