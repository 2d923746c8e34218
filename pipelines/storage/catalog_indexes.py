"""Indexes on DuckLake's catalog tables in PostgreSQL, which DuckLake creates without any on the columns that it filters by.

A query asks for the files of one table, and for the statistics of one column of it. Without an index, PostgreSQL reads the
statistics of every file of every table each time: a night of one app took 22 s instead of 9 s next to 565,000 rows of others.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

_INDEXES = {
    "livehouse_column_stats_by_table": "ducklake_file_column_stats (table_id, column_id)",
    "livehouse_data_files_by_table": "ducklake_data_file (table_id)",
    "livehouse_delete_files_by_table": "ducklake_delete_file (table_id)",
}
"""DuckLake's own indexes are those of primary keys. Its migrations may drop ours with a table: each opening checks them."""

_MISSING = "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NULL"


def create_indexes(session: "psycopg.Connection", log: Callable[[str], None]) -> None:
    """Create the missing indexes; one statement if there are all. The caller holds the lock of the catalog.

    Without the privilege, which only the owner of the tables has, log that: everything works without them, only slower.
    """
    import psycopg

    for (name,) in session.execute(_MISSING, [list(_INDEXES)]).fetchall():
        try:
            session.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {_INDEXES[name]}")
        except psycopg.errors.InsufficientPrivilege:
            log(
                "the catalog lacks the index that keeps it fast, and this role may not create it: run once as the role"
                f" that created the lakehouse, or let that role run CREATE INDEX {name} ON {_INDEXES[name]}"
            )
            return
