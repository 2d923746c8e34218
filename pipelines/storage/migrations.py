"""Schema migrations: create missing tables and columns, and check the schema version."""

from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version

import duckdb

from pipelines.catalog.ops import SCHEMA_VERSIONS
from pipelines.catalog.types import SQL_TYPES, Table
from pipelines.clock import utc_now
from pipelines.errors import WarehouseError
from pipelines.storage.table_statistics import insert_and_delete
from pipelines.text import quoted

SCHEMA_VERSION = 4
"""Increment it with every change to a table: an older livehouse then refuses the warehouse instead of failing later.

A warehouse without a version has version 1.
"""

LIST_COLUMNS = """
    SELECT schema_name, table_name, column_name FROM duckdb_columns()
    WHERE NOT internal AND database_name = current_database()
"""
"""Lists the existing columns of the default catalog."""


def check_schema_version(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the schema version of the default catalog. Raises `WarehouseError` if it is newer than this program."""
    table = {"schema": SCHEMA_VERSIONS.schema, "table": SCHEMA_VERSIONS.name}
    query = f"FROM ({LIST_COLUMNS}) WHERE (schema_name, table_name) = ($schema, $table)"  # see `find_builds`
    if not connection.execute(query, table).fetchall():
        return 1
    found = connection.execute(
        f"SELECT schema_version, livehouse_version, current_database() FROM {SCHEMA_VERSIONS.full_name}"
        " ORDER BY schema_version DESC LIMIT 1"
    ).fetchall()
    for number, release, name in found:
        if number > SCHEMA_VERSION:
            raise WarehouseError(
                f"{name} has schema version {number}, applied by livehouse {release}; this livehouse,"
                f" {version('livehouse')}, knows no version above {SCHEMA_VERSION}: update livehouse here"
                " (pip install --upgrade livehouse), or set LIVEHOUSE_HOME and LIVEHOUSE_WAREHOUSE elsewhere"
            )
    return int(found[0][0]) if found else 1


def migrate_schema(connection: duckdb.DuckDBPyConnection, tables: Iterable[Table], *, in_lake: bool = False) -> None:
    """Add missing tables and columns, and record the schema version. Nothing is ever dropped.

    Raises `WarehouseError` if the schema version is newer than this program.
    """
    found = check_schema_version(connection)
    _add_missing(connection, tables, in_lake=in_lake)
    if found < SCHEMA_VERSION:
        applied = "(SELECT ?::BIGINT AS schema_version, ? AS livehouse_version, ?::TIMESTAMP AS applied_at)"
        connection.execute(SCHEMA_VERSIONS.merge_sql(applied), [SCHEMA_VERSION, version("livehouse"), utc_now()])


def _add_missing(connection: duckdb.DuckDBPyConnection, tables: Iterable[Table], *, in_lake: bool) -> None:
    existing = set(connection.execute(LIST_COLUMNS).fetchall())
    existing_tables = {(schema, name) for schema, name, _ in existing}
    missing = [t for t in tables if any((t.schema, t.name, c.name) not in existing for c in t.columns)]
    if not missing:
        return
    connection.execute("BEGIN")
    for table in missing:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.schema}")
        connection.execute((replace(table, unique=False) if in_lake else table).create_sql)  # DuckLake has no keys
        is_new = (table.schema, table.name) not in existing_tables
        if in_lake and table.partition and is_new:
            connection.execute(f"ALTER TABLE {table.full_name} SET PARTITIONED BY ({', '.join(table.partition)})")
        connection.execute(f"COMMENT ON TABLE {table.full_name} IS {quoted(table.description)}")
        for column in table.columns:
            if not is_new and (table.schema, table.name, column.name) not in existing:
                connection.execute(
                    f"ALTER TABLE {table.full_name} ADD COLUMN IF NOT EXISTS {column.name} {SQL_TYPES[column.logical_type]}"
                )
            connection.execute(f"COMMENT ON COLUMN {table.full_name}.{column.name} IS {quoted(column.description)}")
        if in_lake and is_new:
            insert_and_delete(connection, table.full_name, len(table.columns))
    connection.execute("COMMIT")
