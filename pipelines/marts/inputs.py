"""The inputs from which a mart was built, recorded with each build so that the next one finds the days a change affects.

Every table that a mart reads is an input, whether it is partitioned by day or only joined. `ops.mart_inputs` has a digest of
what the last build read, by key: by day for facts and other tables with a day, by livestream for core.livestreams, and one
for the whole of any other table. For facts, ops.days has a digest of the rows of each day, which loads keep up to date.
If a digest changes, appears or disappears, the days with that key are rebuilt. No clock is involved: a change that a build
could not see yet is found by the next one.

A night reads the inputs once for all marts, which are small (days and livestreams, no sessions), and the livestreams of
sessions once per mart if a livestream changed.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from duckdb import DuckDBPyConnection

from pipelines.catalog.core import LIVE_OBSERVATIONS, LIVESTREAMS
from pipelines.catalog.marts import MART_INPUTS
from pipelines.catalog.ops import DAYS
from pipelines.catalog.streams import FACTS
from pipelines.storage.digests import digest, digest_rows
from pipelines.text import quoted

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


def _read_current(inputs: Collection[Input]) -> tuple[str, dict[Input, int]]:
    """Return the SELECT of `variant`, `table_name`, `key` and `digest` of inputs, and the variant of each: marts read other columns.

    Inputs that ops.days records are read together if they have the same columns of it.
    """
    groups: dict[tuple[str, tuple[str, ...]], list[Input]] = {}
    for one in sorted(inputs, key=lambda one: (one.table, one.columns, one.ledger_columns)):
        is_in_ledger = one.table in _LEDGER_TABLES
        group = (DAYS.full_name, one.ledger_columns) if is_in_ledger else (one.table, one.columns)
        groups.setdefault(group, []).append(one)
    variants: dict[Input, int] = {}
    queries = []
    for variant, ((table, columns), group_inputs) in enumerate(groups.items()):
        variants |= dict.fromkeys(group_inputs, variant)
        query = (
            _read_ledger({one.table for one in group_inputs}, columns)
            if table == DAYS.full_name
            else f"SELECT '{table}' AS table_name, key, digest FROM ({group_inputs[0].query})"
        )
        queries.append(f"SELECT {variant} AS variant, table_name, key, digest FROM ({query})")
    return " UNION ALL ".join(queries), variants


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


def compare_inputs(connection: DuckDBPyConnection, inputs_by_mart: Mapping[str, Collection[Input]]) -> None:
    """Create `changed_inputs`: by mart, keys whose digest differs from the recorded one, with the new digest; NULL if it is gone.

    Until 2026-11-28 a key of a table that a mart read both directly and through another mart was recorded twice, and twice as
    often with each change: 13 changes made 8,192 rows of it.
    """
    current, variants = _read_current({one for inputs in inputs_by_mart.values() for one in inputs})
    needed = ", ".join(
        f"({quoted(mart)}, {quoted(one.table)}, {variants[one]})"
        for mart, inputs in inputs_by_mart.items()
        for one in inputs
    )
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE changed_inputs AS
        SELECT DISTINCT
            coalesce(current.mart_name, recorded.mart_name) AS mart_name,
            coalesce(current.table_name, recorded.table_name) AS table_name,
            coalesce(current.key, recorded.key) AS key,
            current.digest
        FROM (
            SELECT mart_name, table_name, key, digest
            FROM ({current}) JOIN (VALUES {needed}) AS needed (mart_name, table_name, variant) USING (table_name, variant)
        ) AS current
        FULL JOIN (
            SELECT DISTINCT mart_name, table_name, key, digest FROM {MART_INPUTS.full_name}
            WHERE mart_name IN (SELECT unnest($marts::VARCHAR[]))
        ) AS recorded
            ON current.mart_name = recorded.mart_name AND current.table_name = recorded.table_name AND current.key = recorded.key
        WHERE current.digest IS DISTINCT FROM recorded.digest""",
        {"marts": list(inputs_by_mart)},
    )


def read_changed(connection: DuckDBPyConnection) -> dict[str, dict[str, list[int]]]:
    """Return the keys in `changed_inputs` by mart and table."""
    changed: dict[str, dict[str, list[int]]] = {}
    for mart, table, keys in connection.execute(
        "SELECT mart_name, table_name, list(key) FROM changed_inputs GROUP BY ALL"
    ).fetchall():
        changed.setdefault(mart, {})[table] = keys
    return changed


def affected_days(
    connection: DuckDBPyConnection, inputs: Collection[Input], changed: Mapping[str, Sequence[int]]
) -> set[date] | None:
    """Return the days that changed keys affect, by table; None if a table without days or livestreams changed."""
    days: set[date] = set()
    for one in inputs:
        keys = changed.get(one.table, ())
        if one.is_by_day:
            days |= {_EPOCH + timedelta(days=key) for key in keys}
        elif keys and one.table == LIVESTREAMS.full_name:
            for table in sorted({other.table for other in inputs} & _LEDGER_TABLES.keys()):
                if "livestream_id" in _LEDGER_TABLES[table].column_names:
                    query = (
                        f"SELECT DISTINCT day FROM {table} WHERE {_LIVESTREAM_KEY} IN (SELECT unnest($keys::BIGINT[]))"
                    )
                    days |= {day for (day,) in connection.execute(query, {"keys": list(keys)}).fetchall()}
        elif keys:
            return None
    return None if changed.keys() - {one.table for one in inputs} else days  # no longer read: the mart's SQL changed


def record_inputs(connection: DuckDBPyConnection) -> None:
    """Record `changed_inputs`, within the transaction of the builds."""
    connection.execute(
        f"DELETE FROM {MART_INPUTS.full_name}"
        " WHERE (mart_name, table_name, key) IN (SELECT (mart_name, table_name, key) FROM changed_inputs)"
    )
    connection.execute(
        f"INSERT INTO {MART_INPUTS.full_name} BY NAME SELECT * FROM changed_inputs WHERE digest IS NOT NULL"
    )
