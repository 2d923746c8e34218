"""Weekly maintenance of a lakehouse: merge small files, expire old snapshots, delete unreferenced files."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import duckdb

ORPHAN_MIN_AGE = timedelta(days=2)
"""A younger unreferenced file may belong to a transaction that is about to commit."""

REWRITE_THRESHOLD = 0.25
"""Share of a file's rows that have been replaced from which the file is rewritten.

Readers scan replaced rows too, and DuckLake does not merge a file that has any.
"""


class StorageSize(NamedTuple):
    """Number of files and bytes that a table, or one file of its own, takes up."""

    name: str
    files: int
    bytes: int


def list_statements(*, keep_days: float, clock: Callable[[], datetime]) -> Iterator[str]:
    """List the maintenance statements, in order; each is a transaction of its own. `clock` returns naive UTC.

    It is read for each statement: with `keep_days` 0, a file that one statement replaces is old enough for the next one.
    A reader of an expired snapshot, or of a deleted file, fails: both are therefore kept for `keep_days` days.
    """
    kept = timedelta(days=keep_days)
    yield "CALL ducklake_flush_inlined_data('lake')"
    yield f"CALL ducklake_rewrite_data_files('lake', delete_threshold => {REWRITE_THRESHOLD})"
    yield "CALL ducklake_merge_adjacent_files('lake')"
    yield f"CALL ducklake_expire_snapshots('lake', older_than => {_timestamp(clock() - kept)})"
    yield f"CALL ducklake_cleanup_old_files('lake', older_than => {_timestamp(clock() - kept)})"
    orphaned_since = _timestamp(clock() - max(ORPHAN_MIN_AGE, kept))
    yield f"CALL ducklake_delete_orphaned_files('lake', older_than => {orphaned_since})"


def _timestamp(naive: datetime) -> str:
    return f"TIMESTAMPTZ '{naive.replace(tzinfo=UTC).isoformat()}'"


def run_statement(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Run one statement to its end."""
    connection.execute(statement).fetchall()


def list_sizes(connection: duckdb.DuckDBPyConnection) -> list[StorageSize]:
    """List the size of each table, largest first, without rows that DuckLake keeps inline in its catalog."""
    query = """
        SELECT schemas.schema_name || '.' || info.table_name, file_count, file_size_bytes + delete_file_size_bytes AS bytes
        FROM ducklake_table_info('lake') AS info
        JOIN __ducklake_metadata_lake.ducklake_schema AS schemas ON schemas.schema_id = info.schema_id
        ORDER BY bytes DESC, 1
    """
    return [StorageSize(*row) for row in connection.execute(query).fetchall()]
