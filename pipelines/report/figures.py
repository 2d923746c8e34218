"""Read the page's figures from a published warehouse: one dict that becomes the JSON inside the page.

Rows are daily, so that the page can aggregate them over any range. Tables are columns (name → list). Days are whole numbers
counted from `first`, apps are indexes into `apps`, times are Unix time in milliseconds, all UTC. NULL stays null: unknown is
not zero. Nothing here depends on the clock, only on the warehouse.
"""

from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.catalog.streams import FACTS, part_of
from pipelines.errors import WarehouseError
from pipelines.report.metrics import describe_metrics
from pipelines.report.run_query import Columns, read_query
from pipelines.report.sessions import read_sessions

LIMITS = {
    "days": 800,  # newest days shown: a year, the year before it for comparison, and a month
    "exact": 60_000,  # times to live embedded to the millisecond; if there are more, each is rounded
    "stream_rows": 40_000,  # rows per livestream and day
    "messages": 300,  # distinct error messages
    "message_length": 300,  # characters of a message
    "groups": 400,  # groups of quarantined or shrunk records
}
"""Bounds that keep the page small for any account; the queries use them as parameters of the same name."""

_QUERIES_OF_MARTS = (
    "days",
    "coverage",
    "peaks",
    "audience",
    "waits",
    "reconciliation",
    "audits",
    "incidents",
    "allowances",
    "rates",
)
_TABLE_TITLES = {table.full_name: part_of(table).title for table in sorted(FACTS, key=lambda table: table.is_daily)}
"""Fact tables and their titles, sessions first."""


def read_figures(connection: DuckDBPyConnection) -> dict[str, Any] | None:
    """Read everything the page shows; None if no day was ever loaded.

    Raises:
        WarehouseError: the marts are missing, or were built by an older version.

    """
    # Live observations may already exist for today, of which nothing else is loaded: today would make every comparison unknown.
    days_loaded = f"FROM ops.days WHERE table_name <> '{LIVE_OBSERVATIONS.full_name}'"
    [(first, last)] = connection.execute(
        f"SELECT greatest(min(day), max(day) - {LIMITS['days'] - 1}::INTEGER), max(day) {days_loaded}"
    ).fetchall()
    if first is None:
        return None
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE apps AS
        SELECT row_number() OVER (ORDER BY app_id) - 1 AS app, app_id FROM (SELECT DISTINCT app_id {days_loaded})"""
    )
    apps = [app_id for (app_id,) in connection.execute("SELECT app_id FROM apps ORDER BY app").fetchall()]
    try:
        [(times_to_live, livestreams)] = connection.execute(
            """SELECT
                (
                    SELECT coalesce(sum(list_sum(map_values(time_to_live_histogram))), 0)
                    FROM marts.session_reliability WHERE day >= $first
                ),
                (
                    SELECT count(DISTINCT (app_id, livestream_id))
                    FROM marts.livestream_performance WHERE month >= date_trunc('month', $first)
                )""",
            {"first": first},
        ).fetchall()
        parameters = LIMITS | {
            "first": first,
            "last": last,
            "is_exact": times_to_live <= LIMITS["exact"],
            "tables": list(_TABLE_TITLES),
        }
        tables = {name: read_query(connection, name, parameters) for name in _QUERIES_OF_MARTS}
        rates = tables.pop("rates")
    except (duckdb.CatalogException, duckdb.BinderException):
        raise WarehouseError(
            f"the marts are missing or were built by an older version: run `livehouse rebuild {first} {last}`"
        ) from None
    streams = read_query(connection, "streams", parameters)
    messages = _split_repeated(read_query(connection, "messages", parameters), ("message",), "message")
    [(quarantined,)] = connection.execute("SELECT count(*) FROM ops.quarantine").fetchall()
    return {
        "apps": apps,
        "first": first.isoformat(),
        "last": last.isoformat(),
        "tables": _TABLE_TITLES,
        **tables,
        "waits_are_exact": parameters["is_exact"],
        "streams": _split_repeated(streams, ("app", "livestream_id", "name"), "stream"),
        "livestreams": livestreams,
        "messages": messages,
        "sessions": read_sessions(connection, parameters, messages["keys"]["message"]),
        "quarantine": read_query(connection, "quarantine", parameters),
        "quarantined": quarantined,
        "shrinks": read_query(connection, "shrinks", parameters),
        "loads": read_query(connection, "loads", parameters),
        **describe_metrics(rates),
    }


def _split_repeated(table: Columns, keys: tuple[str, ...], name: str) -> dict[str, Columns]:
    """Split off columns that repeat: the distinct `keys`, and the other columns with `name`, an index into the keys."""
    found: dict[tuple[Any, ...], int] = {}
    indexes = [found.setdefault(key, len(found)) for key in zip(*(table[key] for key in keys), strict=True)]
    distinct = {key: [values[n] for values in found] for n, key in enumerate(keys)}
    rest = {column: values for column, values in table.items() if column not in keys}
    return {"keys": distinct, "rows": {name: indexes} | rest}
