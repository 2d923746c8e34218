"""Compares sessions with the API's own totals, by the query of marts.reconciliation."""

from collections.abc import Iterable
from datetime import date, datetime

import duckdb
import polars as pl

from pipelines.catalog.core import LIVESTREAM_ANALYTICS_DAILY, LIVESTREAM_SESSIONS
from pipelines.catalog.files import WAREHOUSE_FILE
from pipelines.catalog.ops import DAYS
from pipelines.catalog.types import Table
from pipelines.marts.build import Mart, find_marts
from pipelines.marts.macros import create_macros
from pipelines.storage.frames import temporary_view

_MISSING = """
    SELECT day FROM marts.reconciliation
    WHERE unexplained_ingest_seconds > 0 OR unexplained_viewer_seconds > 0 OR overall_session_count > sessions
"""
"""Days for which the API reports more than the sessions, whether or not they are settled."""


def days_missing_sessions(overall: pl.DataFrame, parts: Iterable[pl.DataFrame], now: datetime) -> set[date]:
    """Return the days for which *overall* reports more than the sessions add up to.

    `overall`: rows of core.livestream_analytics_daily of one app. `parts`: rows of core.livestream_sessions, each part of
    whole days, so that only one part is in memory. A day of `overall` that is in no part has no session.
    """
    missing: set[date] = set()
    with_sessions: set[date] = set()
    with duckdb.connect(config={"threads": 1}) as connection:
        for schema in ("core", "ops", "marts"):
            connection.execute(f"CREATE SCHEMA {schema}")
        for table in WAREHOUSE_FILE:
            connection.execute(table.create_sql)
        _create_view(connection, next(mart for mart in find_marts() if mart.name == "reconciliation"))
        for sessions in parts:
            days = set(sessions["day"])
            with_sessions |= days
            missing |= _compare(connection, overall.filter(pl.col("day").is_in(days)), sessions, now)
        rest = overall.filter(~pl.col("day").is_in(with_sessions))
        return missing | _compare(connection, rest, pl.DataFrame(schema=LIVESTREAM_SESSIONS.polars_schema), now)


def _create_view(connection: duckdb.DuckDBPyConnection, mart: Mart) -> None:
    for other in mart.builds_on:
        _create_view(connection, other)
    create_macros(connection, mart.sql)
    connection.execute(f"CREATE OR REPLACE VIEW {mart.full_name} AS {mart.sql}")


def _compare(
    connection: duckdb.DuckDBPyConnection, overall: pl.DataFrame, sessions: pl.DataFrame, now: datetime
) -> set[date]:
    _replace_rows(connection, LIVESTREAM_ANALYTICS_DAILY, overall)
    _replace_rows(connection, LIVESTREAM_SESSIONS, sessions)
    loaded = overall.select(
        pl.lit(LIVESTREAM_SESSIONS.full_name).alias("table_name"),
        "app_id",
        "day",
        pl.lit(value=True).alias("is_known"),
        pl.lit(now).cast(pl.Datetime("us")).alias("loaded_at"),
    )
    _replace_rows(connection, DAYS, loaded)
    return {day for (day,) in connection.execute(_MISSING).fetchall()}


def _replace_rows(connection: duckdb.DuckDBPyConnection, table: Table, rows: pl.DataFrame) -> None:
    connection.execute(f"DELETE FROM {table.full_name}")
    with temporary_view(connection, "given_rows", rows):
        connection.execute(f"INSERT INTO {table.full_name} BY NAME SELECT * FROM given_rows")
