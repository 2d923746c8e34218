"""Describes an export to dbt: `sources.yml`, with a source for each schema, for dbt-duckdb to read the files in place.

Descriptions are the comments of the published tables. Keys and grains become tests, so that dbt repeats on the files what
livehouse has checked in the warehouse.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from pipelines.catalog.streams import FACTS
from pipelines.export.tables import ExportTable
from pipelines.text import quoted

SOURCES = "sources.yml"

ACCEPTED_VALUES = {
    ("marts.reconciliation", "verdict"): ["match", "sessions_missing", "overall_behind", "unsettled", "unknown"],
    ("ops.days", "table_name"): sorted(fact.full_name for fact in FACTS),
}
"""Every value that these columns can have."""


class _Column(NamedTuple):
    name: str
    sql_type: str
    description: str


def write_sources(
    connection: duckdb.DuckDBPyConnection, file: Path, root: Path, tables: Sequence[ExportTable], written: set[str]
) -> None:
    """Write `sources.yml` for an export at `root`. `written`: the tables that have files; a fact may have no days."""
    import yaml

    comments = dict(
        connection.execute("SELECT schema_name || '.' || table_name, comment FROM duckdb_tables()").fetchall()
    )
    schemas: dict[str, list[dict[str, Any]]] = {}
    for table in tables:
        schema, _, name = table.name.partition(".")
        columns = _read_columns(connection, table.name)
        location = _location(root, table) if table.name in written else _no_rows(columns)
        schemas.setdefault(schema, []).append(
            {
                "name": name,
                "description": _as_text(comments.get(table.name)),
                # Braces are Jinja's and Python's, so dbt-duckdb fills in `%` in place of `{}`.
                "config": {
                    "meta": {"formatter": "oldstyle", "external_location": _as_text(location.replace("%", "%%"))}
                },
                "data_tests": [_test("unique", column_name=f"({', '.join(table.order)})")],
                "columns": [_describe(table, column) for column in columns],
            }
        )
    sources = [{"name": schema, "tables": described} for schema, described in schemas.items()]
    text = yaml.safe_dump({"version": 2, "sources": sources}, sort_keys=False, allow_unicode=True, width=120)
    file.write_text(f"# Written by `livehouse export --dbt`; a later export replaces it.\n{text}", encoding="utf-8")


def _location(root: Path, table: ExportTable) -> str:
    path = f"{root}/{table.path}"
    if not table.is_fact:
        return f"read_parquet({quoted(f'{path}.parquet')})"
    hive_types = "hive_partitioning = true, hive_types = {'app_id': VARCHAR, 'day': DATE}"
    return f"read_parquet({quoted(f'{path}/*/*/*.parquet')}, {hive_types})"


def _no_rows(columns: Sequence[_Column]) -> str:
    return f"(SELECT {', '.join(f'NULL::{column.sql_type} AS {column.name}' for column in columns)} LIMIT 0)"


def _read_columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[_Column]:
    query = """
        SELECT column_name, data_type, comment FROM duckdb_columns()
        WHERE schema_name || '.' || table_name = ? AND database_name = current_database() ORDER BY column_index
    """
    return [_Column(*row) for row in connection.execute(query, [table]).fetchall()]


def _describe(table: ExportTable, column: _Column) -> dict[str, Any]:
    tests: list[str | Mapping[str, Any]] = []
    if column.name in table.order:
        tests += ["not_null"] if len(table.order) > 1 else ["not_null", "unique"]
    if values := ACCEPTED_VALUES.get((table.name, column.name)):
        tests.append(_test("accepted_values", values=values))
    described: dict[str, Any] = {
        "name": column.name,
        "description": _as_text(column.description),
        "data_type": column.sql_type,
    }
    return described | ({"data_tests": tests} if tests else {})


def _test(name: str, **arguments: object) -> dict[str, Any]:
    return {name: {"arguments": arguments}}


def _as_text(text: str | None) -> str:
    """Return text that dbt, which renders all of the file with Jinja, shows unchanged."""
    return (text or "").replace("{{", "{{ '{{' }}").replace("{%", "{{ '{%' }}").replace("{#", "{{ '{#' }}")
