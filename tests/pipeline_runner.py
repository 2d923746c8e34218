"""Runs of the pipeline without Dagster, and the comparison of a warehouse with the simulated world."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from pipelines.catalog.streams import FACTS, LOADED_STREAMS
from pipelines.marts.build import find_marts
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from pipelines.steps import load_core as core
from pipelines.steps import report
from pipelines.steps.alerts import update_alerts
from pipelines.steps.context import RunContext, open_run
from pipelines.steps.extract_stream import extract_stream
from pipelines.storage.warehouse import open_warehouse
from tests.fixed_clock import NOW

APPS = ("aula", "stage")
LAST = NOW.date() - timedelta(days=1)
FIRST = LAST - timedelta(days=9)
DAYS = (FIRST, LAST)
lakehouse_of: Callable[[Path], str] | None = None
"""With `pytest --warehouse=lake`: returns the lakehouse of a home. None: homes have files."""


class LoadedWarehouse(NamedTuple):
    """A simulated account, and the settings of the home that holds its rows."""

    simulator: Simulator
    settings: Settings


def small_world(seed: int = 7, **options: Any) -> World:
    """Return two apps with 25 livestreams each, over 40 days that end at NOW."""
    usual: dict[str, Any] = {"apps": APPS, "livestreams": 25, "sessions": 160, "days": 40, "now": NOW}
    return World.seeded(seed, **(usual | options))


def environment_for(simulator: Simulator, home: Path, **others: str) -> dict[str, str]:
    """Return the environment variables that point livehouse to a simulator."""
    if lakehouse_of:
        others = {"LIVEHOUSE_WAREHOUSE": lakehouse_of(home), **others}
    return {
        "CLOUDFLARE_API_TOKEN": simulator.token,
        "CLOUDFLARE_ACCOUNT_ID": simulator.account_id,
        "REALTIMEKIT_APP_ID": ",".join(simulator.world.apps),
        "CLOUDFLARE_BASE_URL": simulator.base_url,
        "LIVEHOUSE_HOME": str(home),
        "LIVEHOUSE_REQUESTS_PER_SECOND": "0",
        "LIVEHOUSE_RETRY_PAUSE_SECONDS": "0.002",
        "LIVEHOUSE_AUDIT_LIVESTREAMS": "0",  # tests count requests; tests of the audit set it
    } | others


def settings_for(simulator: Simulator, home: Path, **others: str) -> Settings:
    """Return the settings that point livehouse to a simulator."""
    return Settings(**environment_for(simulator, home, **others))  # type: ignore[arg-type]  # read by alias, as from the environment


def run_pipeline(
    settings: Settings,
    days: tuple[date, date] = DAYS,
    *,
    run_id: str = "run",
    backfill: bool = False,
    builds_marts: bool = True,
    full: bool = False,
    allow_shrink: bool = False,
) -> RunContext:
    """Run every step in the order of the graph, without Dagster. Marts and alerts take a quarter of its CPU time."""
    resumable = days if backfill else None
    with open_run(settings, run_id=run_id, full=full, allow_shrink=allow_shrink, backfill=resumable) as run:
        for stream in LOADED_STREAMS:
            extract_stream(run, stream, days)
        core.load_livestreams(run)
        for table in FACTS:
            core.load_facts(run, table, days)
        if builds_marts:
            report.refresh_marts(run, find_marts())
            update_alerts(run)  # which read the marts
        report.publish_warehouse(run, resumable)
        return run


def apply_settings(settings: Settings) -> None:
    """Run without loading anything: write the terms of the settings, build the marts, publish."""
    with open_run(settings, run_id="terms", full=False, allow_shrink=False, backfill=None) as run:
        report.refresh_marts(run, find_marts())
        report.publish_warehouse(run, None)


run_without_marts = partial(run_pipeline, builds_marts=False)


@contextmanager
def open_published(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published warehouse."""
    with open_warehouse(settings).open_published() as connection:
        yield connection


def query(settings: Settings, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a query on the published warehouse."""
    with open_published(settings) as connection:
        return connection.execute(sql, list(parameters)).fetchall()


def assert_matches_world(settings: Settings, world: World, days: tuple[date, date] = DAYS) -> None:
    """Every table holds exactly the expected rows of the world, and quarantine its broken records."""
    with open_published(settings) as connection:
        for app_id in world.apps:
            expected = world.expected_rows(app_id, *days)
            for table, rows in expected.tables().items():
                _assert_table(connection, table, app_id, rows, days)
            found = connection.execute("SELECT table_name, record_id FROM ops.quarantine WHERE app_id = ?", [app_id])
            assert set(found.fetchall()) == expected.quarantined
        unbalanced = connection.execute(
            "SELECT * FROM ops.loads WHERE rows_received <> rows_landed + rows_quarantined + rows_duplicate"
        )
        assert unbalanced.fetchall() == []


def _assert_table(
    connection: duckdb.DuckDBPyConnection, table: str, app_id: str, rows: Any, days: tuple[date, date]
) -> None:
    keys = {"core.livestreams": "livestream_id", "core.livestream_sessions": "session_id"}
    key = keys.get(table, "day")
    described = connection.execute(f"SELECT * FROM {table} LIMIT 0").description or []
    columns = list(next(iter(rows.values()))) if rows else [column[0] for column in described]
    where = "app_id = ?"
    parameters: list[Any] = [app_id]
    if table != "core.livestreams":
        where, parameters = where + " AND day BETWEEN ? AND ?", [app_id, *days]
    found = connection.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE {where}", parameters).fetchall()
    rows_by_key = {(app_id, row[columns.index(key)]): dict(zip(columns, row, strict=True)) for row in found}
    assert len(rows_by_key) == len(found), f"{table} has a duplicate key"
    assert rows_by_key.keys() == rows.keys(), f"{table}: rows missing or too many"
    for at, row in rows.items():
        different = {
            name: (value, rows_by_key[at][name])
            for name, value in row.items()
            if not _is_same(value, rows_by_key[at][name])
        }
        assert not different, f"{table} {at}: row differs from the expected one"


def _is_same(expected: Any, found: Any) -> bool:
    if isinstance(expected, float) and isinstance(found, float):
        return math.isclose(expected, found, rel_tol=1e-9, abs_tol=1e-6)
    return bool(expected == found)
