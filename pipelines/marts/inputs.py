"""The inputs from which a mart was built, recorded with each build so that the next one finds the days a change affects.

Every table that a mart reads is an input, whether it is partitioned by day or only joined. `ops.mart_inputs` has a digest of
what the last build read, by key: by day for facts and other tables with a day, by livestream for core.livestreams, and one
for the whole of any other table. For facts, ops.days has a digest of the rows of each day, which loads keep up to date.
If a digest changes, appears or disappears, the days with that key are rebuilt. No clock is involved: a change that a build
could not see yet is found by the next one.

A night reads the inputs once, which are small (days and livestreams, no sessions), and the livestreams of sessions once if a
livestream changed.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl
from duckdb import DuckDBPyConnection

from pipelines.catalog.core import LIVE_OBSERVATIONS, LIVESTREAMS
from pipelines.catalog.marts import MART_INPUTS
from pipelines.catalog.ops import DAYS
from pipelines.catalog.streams import FACTS
from pipelines.storage.digests import digest, digest_rows
from pipelines.storage.frames import temporary_view

_EPOCH = date(1970, 1, 1)
_LEDGER_TABLES = {table.full_name: table for table in (*FACTS, LIVE_OBSERVATIONS)}
"""Tables that are written in whole days: `ops.days` records each write."""


_CONTENT = ("app_id", "row_count", "is_known", "unread_livestreams", "rows_digest")
"""Columns of ops.days that differ if the rows of a day do."""
_LOAD = "loaded_at, run_id, arrival"
"""Columns of ops.days that differ with each load, where the digest of the rows is not recorded."""
_LIVESTREAM_KEY = digest(*LIVESTREAMS.key)


@dataclass(frozen=True)
class Input:
    """A table that a mart reads, and the columns that matter."""

    table: str
    columns: tuple[str, ...]
    ledger_columns: tuple[str, ...] = ()
    """Columns of ops.days that the mart itself reads, such as the time of the load."""

    @property
    def is_by_day(self) -> bool:
        """Whether its keys are days."""
        return self.table in _LEDGER_TABLES or "day" in self.columns

    @property
    def query(self) -> str:
        """The SELECT that returns `key` and `digest`."""
        if self.table in _LEDGER_TABLES:
            return f"SELECT key, digest FROM ({_read_ledger([self.table], self.ledger_columns)})"
        if self.is_by_day:
            columns = digest_rows(*self.columns)
            return f"SELECT day - DATE '{_EPOCH}' AS key, {columns} AS digest FROM {self.table} WHERE day IS NOT NULL GROUP BY day"
        if self.table == LIVESTREAMS.full_name:
            return f"SELECT {_LIVESTREAM_KEY} AS key, {digest(*self.columns)} AS digest FROM {self.table}"
        return f"SELECT 0 AS key, {digest_rows(*self.columns)} AS digest FROM {self.table}"


def _read_ledger(tables: Collection[str], ledger_columns: Iterable[str]) -> str:
    """Return the SELECT that returns `table_name`, `key` and `digest` of tables that ops.days records."""
    rows = digest_rows(*_CONTENT, f"CASE WHEN rows_digest IS NULL THEN row({_LOAD}) END", *ledger_columns)
    names = ", ".join(f"'{table}'" for table in tables)
    return (
        f"SELECT table_name, day - DATE '{_EPOCH}' AS key, {rows} AS digest FROM {DAYS.full_name}"
        f" WHERE table_name IN ({names}) GROUP BY table_name, day"
    )


def _list_current_queries(inputs: Collection[Input]) -> Iterator[str]:
    """List the SELECTs that together return `table_name`, `key` and `digest` of inputs; few of them read ops.days."""
    in_ledger: dict[tuple[str, ...], list[str]] = {}
    for one in sorted(inputs, key=lambda one: one.table):
        if one.table in _LEDGER_TABLES:
            in_ledger.setdefault(one.ledger_columns, []).append(one.table)
        else:
            yield f"SELECT '{one.table}' AS table_name, key, digest FROM ({one.query})"
    for ledger_columns, tables in in_ledger.items():
        yield _read_ledger(tables, ledger_columns)


def merge_inputs(inputs: Iterable[Input]) -> frozenset[Input]:
    """Return one input for each table, with the columns of all."""
    merged: dict[str, Input] = {}
    for one in inputs:
        other = merged.get(one.table, one)
        columns, ledger_columns = (
            tuple(sorted({*some, *others}))
            for some, others in ((one.columns, other.columns), (one.ledger_columns, other.ledger_columns))
        )
        merged[one.table] = Input(one.table, columns, ledger_columns)
    return frozenset(merged.values())


def read_inputs(columns: Mapping[str, tuple[str, ...]]) -> set[Input]:
    """Return the inputs of a mart that reads these columns, by table.

    ops.days is no input of its own: it describes those that are written in whole days.
    """
    known = (*_CONTENT, "table_name", "day")
    of_ledger = tuple(name for name in columns.get(DAYS.full_name, ()) if name not in known)
    return {
        Input(table, names, of_ledger if table in _LEDGER_TABLES else ())
        for table, names in columns.items()
        if table != DAYS.full_name
    }


def compare_inputs(connection: DuckDBPyConnection, mart: str, inputs: Collection[Input]) -> None:
    """Create `changed_inputs`: keys whose digest differs from the recorded one, with the new digest; NULL if it is gone.

    Until 2026-11-28 a key of a table that a mart read both directly and through another mart was recorded twice, and twice as
    often with each change: 13 changes made 8,192 rows of it.
    """
    current = " UNION ALL ".join(_list_current_queries(inputs))
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE changed_inputs AS
        SELECT DISTINCT coalesce(current.table_name, recorded.table_name) AS table_name, coalesce(current.key, recorded.key) AS key, current.digest
        FROM ({current}) AS current
        FULL JOIN (SELECT DISTINCT table_name, key, digest FROM {MART_INPUTS.full_name} WHERE mart_name = $mart) AS recorded
            ON current.table_name = recorded.table_name AND current.key = recorded.key
        WHERE current.digest IS DISTINCT FROM recorded.digest""",
        {"mart": mart},
    )


def find_changed(connection: DuckDBPyConnection, inputs_by_mart: Mapping[str, Collection[Input]]) -> set[str]:
    """Return the marts of which an input differs from the recorded one. Each input is read once for all of them."""
    inputs = sorted(
        {one for inputs in inputs_by_mart.values() for one in inputs},
        key=lambda one: (one.table, one.columns, one.ledger_columns),
    )
    reads = pl.DataFrame(
        [(mart, inputs.index(one)) for mart, needed in inputs_by_mart.items() for one in needed],
        schema={"mart_name": pl.String, "input": pl.Int64},
        orient="row",
    )
    current = " UNION ALL ".join(
        f"SELECT {number} AS input, '{one.table}' AS table_name, key, digest FROM ({one.query})"
        for number, one in enumerate(inputs)
    )
    with temporary_view(connection, "inputs_of_marts", reads):
        found = connection.execute(
            f"""SELECT DISTINCT coalesce(current.mart_name, recorded.mart_name)
            FROM (SELECT * FROM ({current}) JOIN inputs_of_marts USING (input)) AS current
            FULL JOIN {MART_INPUTS.full_name} AS recorded USING (mart_name, table_name, key)
            WHERE current.digest IS DISTINCT FROM recorded.digest"""
        ).fetchall()
    return {mart for (mart,) in found}


def affected_days(connection: DuckDBPyConnection, inputs: Collection[Input]) -> set[date] | None:
    """Return the days that `changed_inputs` affects; None if a table without days or livestreams changed."""
    changed: dict[str, list[int]] = {}
    for table, key in connection.execute("SELECT table_name, key FROM changed_inputs").fetchall():
        changed.setdefault(table, []).append(key)
    days: set[date] = set()
    for one in inputs:
        keys = changed.pop(one.table, [])
        if one.is_by_day:
            days |= {_EPOCH + timedelta(days=key) for key in keys}
        elif keys and one.table == LIVESTREAMS.full_name:
            for table in sorted({other.table for other in inputs} & _LEDGER_TABLES.keys()):
                if "livestream_id" in _LEDGER_TABLES[table].column_names:
                    query = (
                        f"SELECT DISTINCT day FROM {table} WHERE {_LIVESTREAM_KEY} IN (SELECT unnest($keys::BIGINT[]))"
                    )
                    days |= {day for (day,) in connection.execute(query, {"keys": keys}).fetchall()}
        elif keys:
            return None
    return None if changed else days  # an input that is no longer read: the mart's SQL changed


def record_inputs(connection: DuckDBPyConnection, mart: str) -> None:
    """Record `changed_inputs`, within the transaction of the build."""
    connection.execute(
        f"DELETE FROM {MART_INPUTS.full_name} WHERE mart_name = $mart"
        " AND (table_name, key) IN (SELECT (table_name, key) FROM changed_inputs)",
        {"mart": mart},
    )
    connection.execute(
        f"INSERT INTO {MART_INPUTS.full_name} BY NAME"
        " SELECT $mart AS mart_name, table_name, key, digest FROM changed_inputs WHERE digest IS NOT NULL",
        {"mart": mart},
    )
