"""Statistics for tables of a lakehouse that never had a row.

DuckLake caches a table's statistics, but not that it has none: a query then asks PostgreSQL for them once per column, with two
statements each. A query of an empty ops.quarantine sent 57 statements instead of 21.
"""

from typing import TYPE_CHECKING

import duckdb

from pipelines.storage.ducklake_errors import is_conflict

if TYPE_CHECKING:
    import psycopg

_WITHOUT_STATISTICS = """
    SELECT format('%I.%I', schema_name, table_name), count(*)
    FROM ducklake_table AS tab
    JOIN ducklake_schema AS sch ON sch.schema_id = tab.schema_id AND sch.end_snapshot IS NULL
    JOIN ducklake_column AS col ON col.table_id = tab.table_id AND col.end_snapshot IS NULL AND parent_column IS NULL
    WHERE tab.end_snapshot IS NULL AND tab.table_id NOT IN (SELECT table_id FROM ducklake_table_stats)
    GROUP BY 1 ORDER BY 1
"""


def create_statistics(session: "psycopg.Connection", connection: duckdb.DuckDBPyConnection) -> None:
    """Have DuckLake write statistics for tables that have none. If all have them, that takes one statement.

    A row that is inserted and deleted in one transaction does that, and no reader ever sees it. If another run writes the first
    row of such a table meanwhile, that run creates the statistics.
    """
    tables = session.execute(_WITHOUT_STATISTICS).fetchall()
    if not tables:
        return
    connection.begin()
    try:
        for table, columns in tables:
            insert_and_delete(connection, table, columns)
        connection.commit()
    except duckdb.Error as error:
        if not is_conflict(error):
            raise
        connection.rollback()


def insert_and_delete(connection: duckdb.DuckDBPyConnection, table: str, columns: int) -> None:
    """Insert a row into an empty table and delete it, within a transaction: DuckLake then writes statistics for the table."""
    connection.execute(f"INSERT INTO {table} VALUES ({', '.join(['NULL'] * columns)})")
    connection.execute(f"DELETE FROM {table}")
