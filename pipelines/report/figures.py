"""What the page shows, read from a published warehouse: one dict that becomes the JSON inside the page.

Rows are daily, and as small as sums over any range allow, since the browser does the adding up. Tables are kept as
columns (name → list). Days are whole numbers counted from `first`, apps indexes into `apps`, times milliseconds of
Unix time, all UTC. NULL stays null: unknown is not zero. Nothing here depends on the clock, only on the warehouse.
"""

import re
from math import isfinite
from pathlib import Path
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.errors import WarehouseError

LIMITS = {
    "days": 800,  # newest days shown: a year, the year before it to compare with, and a month
    "exact": 60_000,  # times to live embedded to the millisecond; of more, each is rounded
    "stream_rows": 40_000,  # rows of a livestream and day
    "messages": 300,  # distinct error messages told apart
    "message_length": 300,  # characters of a message
    "groups": 400,  # groups of quarantined or shrunk records
}
"""What keeps the page small whatever the account is like: named as the queries name them."""

Columns = dict[str, list[Any]]


def read_figures(connection: DuckDBPyConnection) -> dict[str, Any] | None:
    """Read everything the page shows; None where no day was ever loaded."""
    # Of today, of which looks may be there already, nothing else is known: it would make every comparison unknown.
    nights = f"FROM ops.days WHERE table_name <> '{LIVE_OBSERVATIONS.full_name}'"
    [(first, last)] = connection.execute(
        f"SELECT greatest(min(day), max(day) - {LIMITS['days'] - 1}::INTEGER), max(day) {nights}"
    ).fetchall()
    if first is None:
        return None
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE apps AS
        SELECT row_number() OVER (ORDER BY app_id) - 1 AS app, app_id FROM (SELECT DISTINCT app_id {nights})"""
    )
    apps = [app_id for (app_id,) in connection.execute("SELECT app_id FROM apps ORDER BY app").fetchall()]
    try:
        [(waiting, livestreams)] = connection.execute(
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
        bound = LIMITS | {"first": first, "is_exact": waiting <= LIMITS["exact"]}
        days = read_query(connection, "days", bound)
        reconciliation = read_query(connection, "reconciliation", bound)
        audits = read_query(connection, "audits", bound)
    except (duckdb.CatalogException, duckdb.BinderException):  # missing, or of an older version
        raise WarehouseError(
            f"the marts are not built, or by an older version: run `livehouse rebuild {first} {last}`"
        ) from None
    waits = read_query(connection, "waits", bound)
    streams = read_query(connection, "streams", bound)
    messages = read_query(connection, "messages", bound)
    [(aside, shrunk)] = connection.execute(
        "SELECT (SELECT count(*) FROM ops.quarantine), (SELECT count(*) FROM ops.shrinks)"
    ).fetchall()
    return {
        "apps": apps,
        "first": first.isoformat(),
        "last": last.isoformat(),
        "days": days,
        "peaks": read_query(connection, "peaks", bound) if len(apps) > 1 else {},
        "audience": read_query(connection, "audience", bound),
        "waits": waits,
        "waits_are_exact": bound["is_exact"],
        "streams": _factored(streams, ("app", "livestream_id", "name"), "stream"),
        "livestreams": livestreams,
        "messages": _factored(messages, ("message",), "message"),
        "reconciliation": reconciliation,
        "audits": audits,
        "quarantine": read_query(connection, "quarantine", bound),
        "quarantined": aside,
        "shrinks": read_query(connection, "shrinks", bound),
        "shrunk": shrunk,
        "loads": read_query(connection, "loads", bound),
    }


def read_query(connection: DuckDBPyConnection, query: str, bound: dict[str, Any]) -> Columns:
    """Run one of `queries/`, bound to what it names, and give its columns."""
    sql = (Path(__file__).parent / "queries" / f"{query}.sql").read_text(encoding="utf-8")
    body = "\n".join(line for line in sql.splitlines() if not line.startswith("--"))
    named = {name: bound[name] for name in re.findall(r"\$(\w+)", body)}
    result = connection.execute(body, named)
    names = [column[0] for column in result.description or ()]
    rows = result.fetchall()
    return {name: [_shown(row[n]) for row in rows] for n, name in enumerate(names)}


def _shown(value: Any) -> Any:  # noqa: ANN401 - a cell of any type
    """A sum beyond what a DOUBLE holds is shown as unknown: JSON has no infinity."""
    return None if isinstance(value, float) and not isfinite(value) else value


def _factored(table: Columns, keys: tuple[str, ...], name: str) -> dict[str, Columns]:
    """Split off columns that repeat: the distinct `keys`, and the rest of the rows with `name`, an index into them."""
    found: dict[tuple[Any, ...], int] = {}
    indexes = [found.setdefault(key, len(found)) for key in zip(*(table[key] for key in keys), strict=True)]
    distinct = {key: [values[n] for values in found] for n, key in enumerate(keys)}
    rest = {column: values for column, values in table.items() if column not in keys}
    return {"keys": distinct, "rows": {name: indexes} | rest}
