"""What a lakehouse needs once a week: small files made one, old snapshots forgotten, files nobody refers to removed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import duckdb

ORPHANED_AFTER = timedelta(days=2)
"""A file younger than so may be of a transaction that is still to be committed."""

DEAD_SHARE = 0.25
"""Of a file's rows, replaced since, from which on it is written anew: what has any is read with them, and not merged."""


class Size(NamedTuple):
    """What a table, or a file of its own, takes up."""

    name: str
    files: int
    bytes: int


def steps(*, keep_days: float, now: datetime) -> Iterator[str]:
    """Each statement, a transaction of its own. `now` is naive UTC.

    Who reads at a snapshot that is forgotten, or from a file that is removed, fails: both wait for `keep_days` days.
    """
    kept = timedelta(days=keep_days)
    kept_since, orphaned_since = _moment(now - kept), _moment(now - max(ORPHANED_AFTER, kept))
    yield "CALL ducklake_flush_inlined_data('lake')"
    yield f"CALL ducklake_rewrite_data_files('lake', delete_threshold => {DEAD_SHARE})"
    yield "CALL ducklake_merge_adjacent_files('lake')"
    yield f"CALL ducklake_expire_snapshots('lake', older_than => {kept_since})"
    yield f"CALL ducklake_cleanup_old_files('lake', older_than => {kept_since})"
    yield f"CALL ducklake_delete_orphaned_files('lake', older_than => {orphaned_since})"


def _moment(naive: datetime) -> str:
    return f"TIMESTAMPTZ '{naive.replace(tzinfo=UTC).isoformat()}'"


def run_step(connection: duckdb.DuckDBPyConnection, step: str) -> None:
    """Run one of them to its end."""
    connection.execute(step).fetchall()


def sizes(connection: duckdb.DuckDBPyConnection) -> list[Size]:
    """What each table takes up, the largest first; what is small enough to be in the catalog is not counted."""
    query = """
        SELECT held.schema_name || '.' || info.table_name, file_count, file_size_bytes + delete_file_size_bytes AS bytes
        FROM ducklake_table_info('lake') AS info
        JOIN __ducklake_metadata_lake.ducklake_schema AS held ON held.schema_id = info.schema_id
        ORDER BY bytes DESC, 1
    """
    return [Size(*row) for row in connection.execute(query).fetchall()]
