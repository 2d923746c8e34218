"""The files and tables a warehouse must have, made where they are missing."""

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import duckdb

from pipelines.files import PASSING
from pipelines.schema import SQL_TYPES, Table
from pipelines.text import quoted

FORMAT: dict[str, str | bool | int | float | list[str]] = {"storage_compatibility_version": "v1.5.0"}
"""In which format files are made. A newer DuckDB would make files that readers with an older one cannot open."""

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


def make(connection: duckdb.DuckDBPyConnection, tables: Iterable[Table], *, in_lake: bool = False) -> None:
    """Bring the schema up to date: missing tables and columns are added, nothing is ever dropped."""
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
        connection.execute(f"COMMENT ON TABLE {table.full_name} IS {quoted(table.meaning)}")
        for column in table.columns:
            if not is_new and (table.schema, table.name, column.name) not in there:
                connection.execute(
                    f"ALTER TABLE {table.full_name} ADD COLUMN IF NOT EXISTS {column.name} {SQL_TYPES[column.kind]}"
                )
            connection.execute(f"COMMENT ON COLUMN {table.full_name}.{column.name} IS {quoted(column.meaning)}")
    connection.execute("COMMIT")
