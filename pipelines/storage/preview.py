"""Previews of tables for Dagster's UI: row counts, the newest rows, and totals by day or month."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

MAX_ROWS = 5
MAX_PERIODS = 31


@dataclass(frozen=True)
class TablePreview:
    """The content of a table, or of a range of days of it."""

    rows: int
    by_day: dict[date, int]
    """Row counts of the days in the range that have rows; empty without a range."""
    columns: dict[str, str]
    """The SQL type of each column."""
    newest: list[tuple[Any, ...]]
    """At most `MAX_ROWS` rows, newest first."""


def read_preview(
    connection: duckdb.DuckDBPyConnection, table: str, days: tuple[date, date] | None = None, period: str | None = None
) -> TablePreview:
    """Preview these days of a table, or the whole table; `period` is the column that orders it, newest first."""
    where, bounds = ("WHERE day BETWEEN $first AND $last", {"first": days[0], "last": days[1]}) if days else ("", {})
    by_day: dict[date, int] = {}
    if days:
        counted = connection.execute(f"SELECT day, count(*) FROM {table} {where} GROUP BY day ORDER BY day", bounds)
        by_day = dict(counted.fetchall())
        rows = sum(by_day.values())
    else:
        [(rows,)] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    period = "day" if days else period
    order = f"ORDER BY {period} DESC" if period else ""
    newest = connection.execute(f"SELECT * FROM {table} {where} {order} LIMIT {MAX_ROWS}", bounds)
    return TablePreview(
        rows, by_day, {name: str(kind) for name, kind, *_ in newest.description or []}, newest.fetchall()
    )


def sum_by_period(connection: duckdb.DuckDBPyConnection, table: str, period: str, column: str) -> list[tuple[Any, ...]]:
    """Return the newest days or months, each with the sum of a column and a bar in proportion to it.

    The sum is NULL where any of its rows is NULL. A NULL or infinite sum has no bar.
    """
    query = f"""
        SELECT *, CASE WHEN isfinite(total) THEN
            bar(total / greatest(max(total) FILTER (WHERE isfinite(total)) OVER (), 1), 0, 1, 40) END
        FROM (
            SELECT {period}, CASE WHEN count({column}) = count(*) THEN sum({column}) END AS total
            FROM {table} GROUP BY {period} ORDER BY {period} DESC LIMIT {MAX_PERIODS}
        ) ORDER BY {period} DESC"""
    return connection.execute(query).fetchall()
