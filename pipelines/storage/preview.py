"""A few rows of a table, and how many it holds: what is shown of it after a run."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

ROWS_SHOWN = 5
PERIODS_DRAWN = 31


@dataclass(frozen=True)
class TablePreview:
    """What a table holds, all of it or of a range of days."""

    rows: int
    by_day: dict[date, int]
    """Rows of each day of the range that has any; empty without a range."""
    columns: list[str]
    newest: list[tuple[Any, ...]]
    """`ROWS_SHOWN` rows at most, of the newest days."""


def glance(
    connection: duckdb.DuckDBPyConnection, table: str, days: tuple[date, date] | None = None, period: str | None = None
) -> TablePreview:
    """Look at a table by its full name: at these days of it, or at all of it, newest `period` first if it has one."""
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
    newest = connection.execute(f"SELECT * FROM {table} {where} {order} LIMIT {ROWS_SHOWN}", bounds)
    return TablePreview(rows, by_day, [column[0] for column in newest.description or []], newest.fetchall())


def drawn(connection: duckdb.DuckDBPyConnection, table: str, period: str, column: str) -> list[tuple[Any, ...]]:
    """The newest days or months with the sum of a column, and a bar as long; neither where a part of it is unknown.

    A sum beyond what a DOUBLE holds has no bar.
    """
    query = f"""
        SELECT *, CASE WHEN isfinite(total) THEN
            bar(total / greatest(max(total) FILTER (WHERE isfinite(total)) OVER (), 1), 0, 1, 40) END
        FROM (
            SELECT {period}, CASE WHEN count({column}) = count(*) THEN sum({column}) END AS total
            FROM {table} GROUP BY {period} ORDER BY {period} DESC LIMIT {PERIODS_DRAWN}
        ) ORDER BY {period} DESC"""
    return connection.execute(query).fetchall()
