"""Reads of a run that share one snapshot of a lakehouse, and copies of small tables in memory for them.

Each table in a query costs about seven statements to PostgreSQL, however small it is. A block that reads some tables often
names them. They are copied once, and later blocks use a copy until a commit changes its table.
"""

import re
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    import psycopg

_MAX_ROWS = 100_000
_MAX_BYTES = 4_000_000
_MAX_FILES = 20
"""Limits for tables that are copied. In memory, a table takes several times the space of its Parquet files."""

_ATTEMPTS = 3
"""If other runs commit in between as often, a block reads without copies."""

BEGIN_READING = "BEGIN TRANSACTION READ ONLY"

_SCHEMAS = "SELECT schema_name FROM ducklake_schema WHERE end_snapshot IS NULL AND schema_name <> 'main'"

_SMALL_TABLES = f"""
    SELECT schema_name || '.' || table_name, tab.table_id FROM ducklake_table AS tab
    JOIN ducklake_schema AS sch ON sch.schema_id = tab.schema_id AND sch.end_snapshot IS NULL
    LEFT JOIN ducklake_data_file AS file ON file.table_id = tab.table_id AND file.end_snapshot IS NULL
    WHERE tab.end_snapshot IS NULL AND schema_name || '.' || table_name = ANY(%s)
    GROUP BY schema_name, table_name, tab.table_id
    HAVING count(file.data_file_id) <= {_MAX_FILES} AND coalesce(sum(record_count), 0) <= {_MAX_ROWS}
        AND coalesce(sum(file_size_bytes), 0) <= {_MAX_BYTES}
"""

_CHANGES = "SELECT changes_made FROM ducklake_snapshot_changes WHERE snapshot_id > %s AND snapshot_id <= %s"
_ROWS_CHANGED = re.compile(r"((inserted_into_table|deleted_from_table|inlined_insert|inlined_delete):\d+,?)*")
"""Changes that name tables by id, and that leave the columns of every table as they are."""


class SnapshotReader:
    """A connection beside that of the writes, on which names of tables mean their copies, where there are any."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, session: "psycopg.Connection") -> None:
        """Take the connection to the lakehouse, and a session in the database of its catalog."""
        self.connection = connection.cursor()
        self.is_stale = True
        """Whether the copies may be of an earlier snapshot than the current one."""
        self._session = session
        self._snapshot = 0
        """The snapshot that the copies are of."""
        self._copied: dict[str, int] = {}
        """Ids of the tables that are copied, by name."""
        self._considered: set[str] = set()
        """Names of these tables, and of those that are too large."""
        self.connection.execute("SET TimeZone = 'UTC'")
        self.connection.execute("SET enable_progress_bar = false")
        self.connection.execute("ATTACH ':memory:' AS copies")
        self._schemas = [name for (name,) in session.execute(_SCHEMAS).fetchall()]
        for schema in self._schemas:
            self.connection.execute(f"CREATE SCHEMA copies.{schema}")
        path = ["lake.main", *(f"{database}.{schema}" for database in ("copies", "lake") for schema in self._schemas)]
        self.connection.execute(f"SET search_path = '{','.join(path)}'")

    def begin(self, tables: Collection[str]) -> bool:
        """Begin to read the current snapshot, with copies of those of these tables that are small.

        Returns False, without beginning, if others commit too often meanwhile, or if memory does not suffice.
        """
        for _ in range(_ATTEMPTS):
            if self.is_stale or not self._considered.issuperset(tables):
                try:
                    self._copy(tables)
                except duckdb.OutOfMemoryException:
                    self.connection.rollback()
                    return False
            self.connection.execute(BEGIN_READING)
            if self._find_snapshot() == self._snapshot:
                return True
            self.connection.rollback()
            self.is_stale = True
        return False

    def begin_without_copies(self) -> None:
        """Begin to read the current snapshot again, after a rollback: it may be later than that of the copies."""
        for name in self._copied:
            self.connection.execute(f"DROP TABLE copies.{name}")
        self._copied, self._considered, self.is_stale = {}, set(), True
        self.connection.execute(BEGIN_READING)

    def _find_snapshot(self) -> int:
        [(number,)] = self.connection.execute("SELECT id FROM ducklake_current_snapshot('lake')").fetchall()
        return int(number)

    def _copy(self, tables: Collection[str]) -> None:
        """Drop the copies of tables that have changed, and copy those of these tables that are small, in one transaction."""
        self.connection.begin()
        number = self._find_snapshot()
        changed = self._find_changed(number)
        kept = {name: table_id for name, table_id in self._copied.items() if table_id not in changed}
        considered = self._considered - (self._copied.keys() - kept.keys())
        for name in self._copied.keys() - kept.keys():
            self.connection.execute(f"DROP TABLE copies.{name}")
        # The schema `marts` may be created later: its tables are then found in the lakehouse, which comes first in the path.
        wanted = sorted(name for name in set(tables) - considered if name.partition(".")[0] in self._schemas)
        small = self._session.execute(_SMALL_TABLES, [wanted]).fetchall() if wanted else []
        for name, _ in small:
            self.connection.execute(f"CREATE TABLE copies.{name} AS FROM lake.{name}")
        self.connection.commit()
        self._snapshot, self._copied, self._considered = number, kept | dict(small), considered.union(tables)
        self.is_stale = False

    def _find_changed(self, number: int) -> Collection[int]:
        """Return the ids of the copied tables that have changed up to a snapshot: all, if the catalog does not tell."""
        if number == self._snapshot or not self._copied:
            return ()
        changes = self._session.execute(_CHANGES, [self._snapshot, number]).fetchall()
        is_complete = len(changes) == number - self._snapshot  # none of these snapshots has been expired
        if is_complete and all(_ROWS_CHANGED.fullmatch(made) for (made,) in changes):
            return {int(table_id) for (made,) in changes for table_id in re.findall(r"\d+", made)}
        return self._copied.values()

    def close(self) -> None:
        """Roll back, then close: closing a lost connection within a transaction crashes the process (duckdb 1.5.5)."""
        with suppress(duckdb.Error):
            self.connection.rollback()
        self.connection.close()
