"""What a mart was built from, noted with each build: the next one sees which days a change affects.

Every table that a mart reads is an input, whether it is partitioned by day or only joined. An input has keys, and a digest
of what the mart reads under each: facts and other tables with days by day, livestreams by livestream, anything else as a
whole. `ops.mart_inputs` keeps the digests of the last build. Where one differs, has come or has gone, the days with that
key are built again. No clock is involved: a change that a build could not see yet is found by the next one.

The work of a night is one pass over the inputs, which are small (days and livestreams, no sessions), and one over the
livestreams of sessions where a livestream changed.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

from duckdb import DuckDBPyConnection
from sqlglot import exp

from pipelines.catalog.core import LIVE_OBSERVATIONS, LIVESTREAMS
from pipelines.catalog.files import WAREHOUSE_FILE
from pipelines.catalog.marts import MART_INPUTS
from pipelines.catalog.ops import DAYS
from pipelines.catalog.streams import FACTS
from pipelines.catalog.types import Table

_EPOCH = date(1970, 1, 1)
_DATED = {table.full_name: table for table in (*FACTS, LIVE_OBSERVATIONS)}
"""Tables that are written by whole days: `ops.days` tells when one was."""


def _digest(*columns: str) -> str:
    return f"CAST(hash({', '.join(columns)}) >> 1 AS BIGINT)"


def _of_rows(*columns: str) -> str:
    """Digest of a group of rows, in whatever order."""
    return _digest("count(*)", f"sum(CAST(hash({', '.join(columns)}) AS HUGEINT))")


_OF_LIVESTREAM = _digest(*LIVESTREAMS.key)


@dataclass(frozen=True)
class Input:
    """A table a mart reads, and the columns of it that matter."""

    table: str
    columns: tuple[str, ...]

    @property
    def by_day(self) -> bool:
        """Whether a change affects the day it is of."""
        return self.table in _DATED or "day" in self.columns

    @property
    def query(self) -> str:
        """SELECT that gives `key` and `digest`."""
        if self.table in _DATED:
            rows = _of_rows(*(name for name in DAYS.column_names if name not in ("table_name", "day")))
            return (
                f"SELECT day - DATE '{_EPOCH}' AS key, {rows} AS digest FROM {DAYS.full_name}"
                f" WHERE table_name = '{self.table}' GROUP BY day"
            )
        if self.by_day:
            columns = _of_rows(*self.columns)
            return f"SELECT day - DATE '{_EPOCH}' AS key, {columns} AS digest FROM {self.table} WHERE day IS NOT NULL GROUP BY day"
        if self.table == LIVESTREAMS.full_name:
            return f"SELECT {_OF_LIVESTREAM} AS key, {_digest(*self.columns)} AS digest FROM {self.table}"
        return f"SELECT 0 AS key, {_of_rows(*self.columns)} AS digest FROM {self.table}"


def read_inputs(query: exp.Expr) -> set[Input]:
    """Find what a mart's SQL reads of core and ops. Of columns with the same name in several tables, each counts as read."""
    tables = {table.full_name: table for table in WAREHOUSE_FILE if table is not DAYS}
    names = {column.name for column in query.find_all(exp.Column)}
    names |= {name.name for join in query.find_all(exp.Join) for name in join.args.get("using") or ()}
    found = {f"{table.db}.{table.name}" for table in query.find_all(exp.Table) if table.db} & tables.keys()
    return {Input(name, tuple(sorted(_columns_read(query, tables[name], names)))) for name in found}


def _columns_read(query: exp.Expr, table: Table, names: set[str]) -> set[str]:
    for select in query.find_all(exp.Select):
        sources = [select.args.get("from_") or select.args.get("from"), *(select.args.get("joins") or ())]
        direct = {
            f"{source.this.db}.{source.this.name}"
            for source in sources
            if source and isinstance(source.this, exp.Table)
        }
        if table.full_name in direct and any(column.is_star for column in select.expressions):
            return set(table.column_names)
    return names & set(table.column_names) | set(table.key)


def compare_inputs(connection: DuckDBPyConnection, mart: str, inputs: Collection[Input]) -> None:
    """Put the inputs that differ from those noted into `changed_inputs`, each with its digest now; NULL of one that is gone."""
    current = " UNION ALL ".join(
        f"SELECT '{one.table}' AS table_name, key, digest FROM ({one.query})"
        for one in sorted(inputs, key=lambda one: one.table)
    )
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE changed_inputs AS
        SELECT coalesce(now.table_name, noted.table_name) AS table_name, coalesce(now.key, noted.key) AS key, now.digest
        FROM ({current}) AS now
        FULL JOIN (SELECT * FROM {MART_INPUTS.full_name} WHERE mart_name = $mart) AS noted
            ON now.table_name = noted.table_name AND now.key = noted.key
        WHERE now.digest IS DISTINCT FROM noted.digest""",
        {"mart": mart},
    )


def affected_days(connection: DuckDBPyConnection, inputs: Collection[Input]) -> set[date] | None:
    """Return the days that `changed_inputs` affects; None where that cannot be told by day."""
    changed: dict[str, list[int]] = {}
    for table, key in connection.execute("SELECT table_name, key FROM changed_inputs").fetchall():
        changed.setdefault(table, []).append(key)
    days: set[date] = set()
    for one in inputs:
        keys = changed.pop(one.table, [])
        if one.by_day:
            days |= {_EPOCH + timedelta(days=key) for key in keys}
        elif keys and one.table == LIVESTREAMS.full_name:
            for table in sorted({other.table for other in inputs} & _DATED.keys()):
                if "livestream_id" in _DATED[table].column_names:
                    query = (
                        f"SELECT DISTINCT day FROM {table} WHERE {_OF_LIVESTREAM} IN (SELECT unnest($keys::BIGINT[]))"
                    )
                    days |= {day for (day,) in connection.execute(query, {"keys": keys}).fetchall()}
        elif keys:
            return None
    return None if changed else days  # what is noted and read no more tells of another text


def note_inputs(connection: DuckDBPyConnection, mart: str) -> None:
    """Remember `changed_inputs`, within the transaction of the build."""
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
