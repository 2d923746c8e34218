"""The files and tables a warehouse must have, made where they are missing."""

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import duckdb

from pipelines.catalog.ops import SCHEMA_VERSIONS
from pipelines.catalog.types import SQL_TYPES, Table
from pipelines.clock import utc_now
from pipelines.errors import WarehouseError
from pipelines.files import PASSING
from pipelines.text import quoted

SCHEMA_VERSION = 2
"""Raise it with every change to a table: an older livehouse then refuses the warehouse instead of failing inside it.

Warehouses that do not say their version have version 1.
"""

FORMAT: dict[str, str | bool | int | float | list[str]] = {"storage_compatibility_version": "v1.0.0"}
"""In which format files are made: that of DuckDB 1.0, which every later one can read, and every tool that embeds one.

A file keeps the format it was made with, and so does its published copy.
"""

COLUMNS = """
    SELECT schema_name, table_name, column_name FROM duckdb_columns()
    WHERE NOT internal AND database_name = current_database()
"""
"""What is there of tables and columns."""


def create(path: Path) -> None:
    """Make an empty file where there is none, whole: DuckDB itself, killed while making one, leaves a part that it then refuses."""
    if path.exists():
        return
    with tempfile.TemporaryDirectory(prefix=PASSING, dir=path.parent) as directory:
        made = Path(directory) / path.name
        duckdb.connect(made, config=FORMAT).close()
        try:
            path.hardlink_to(made)  # never over what another process has made meanwhile
        except FileExistsError:
            pass
        except OSError:  # a file system that knows no hard links
            made.replace(path)


def check_version(connection: duckdb.DuckDBPyConnection) -> int:
    """Return the schema version of the connection's default catalog. Raises `WarehouseError` for a newer one than ours."""
    at = {"schema": SCHEMA_VERSIONS.schema, "table": SCHEMA_VERSIONS.name}
    query = "FROM duckdb_tables() WHERE database_name = current_database() AND (schema_name, table_name) = ($schema, $table)"
    if not connection.execute(query, at).fetchall():
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


def make(connection: duckdb.DuckDBPyConnection, tables: Iterable[Table], *, in_lake: bool = False) -> None:
    """Bring the schema up to date: missing tables and columns are added, nothing is ever dropped.

    Raises `WarehouseError` where a newer livehouse has been here.
    """
    found = check_version(connection)
    _add_missing(connection, tables, in_lake=in_lake)
    if found < SCHEMA_VERSION:
        applied = "(SELECT ?::BIGINT AS schema_version, ? AS livehouse_version, ?::TIMESTAMP AS applied_at)"
        connection.execute(SCHEMA_VERSIONS.merge_sql(applied), [SCHEMA_VERSION, version("livehouse"), utc_now()])


def _add_missing(connection: duckdb.DuckDBPyConnection, tables: Iterable[Table], *, in_lake: bool) -> None:
    there = set(connection.execute(COLUMNS).fetchall())
    tables_there = {(schema, name) for schema, name, _ in there}
    missing = [t for t in tables if any((t.schema, t.name, c.name) not in there for c in t.columns)]
    if not missing:
        return
    connection.execute("BEGIN")
    for table in missing:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.schema}")
        connection.execute((replace(table, unique=False) if in_lake else table).create_sql)  # a lake knows no keys
        is_new = (table.schema, table.name) not in tables_there
        if in_lake and table.partition and is_new:
            connection.execute(f"ALTER TABLE {table.full_name} SET PARTITIONED BY ({', '.join(table.partition)})")
        connection.execute(f"COMMENT ON TABLE {table.full_name} IS {quoted(table.description)}")
        for column in table.columns:
            if not is_new and (table.schema, table.name, column.name) not in there:
                connection.execute(
                    f"ALTER TABLE {table.full_name} ADD COLUMN IF NOT EXISTS {column.name} {SQL_TYPES[column.logical_type]}"
                )
            connection.execute(f"COMMENT ON COLUMN {table.full_name}.{column.name} IS {quoted(column.description)}")
    connection.execute("COMMIT")
