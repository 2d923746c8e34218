"""The reference of tables, marts, checks and example queries, from the catalog and the heads of the SQL files."""

from collections.abc import Sequence

from docs.generator.markdown import code, codes, fenced, heading, page, plain, table
from pipelines.catalog.files import RAW_FILE, WAREHOUSE_FILE
from pipelines.catalog.streams import STREAMS
from pipelines.catalog.types import SQL_TYPES, UNITS, Column, Table
from pipelines.marts.build import Mart, find_marts
from pipelines.marts.checks import Check, find_checks
from pipelines.marts.columns import MartColumn
from pipelines.marts.examples import Example, find_examples
from pipelines.marts.lineage import column_lineage
from pipelines.marts.parsed_sql import Source

PARTS = {
    "core": "One row per entity, typed. Facts are replaced by whole days of an app.",
    "ops": "The pipeline about itself: what is loaded, what was refused, what each run did.",
    "raw": "Records as received, without secrets, in `pipeline_raw.duckdb`; not published. Every distinct version is kept.",
}

_ORIGINS = {part.table.full_name: stream for stream in STREAMS for part in stream.parts}


def _read_by() -> dict[str, list[str]]:
    """Return the marts that read each table, directly or by way of other marts."""
    readers: dict[str, list[str]] = {}
    for mart in find_marts():
        for name in mart.depends_on:
            readers.setdefault(name, []).append(mart.full_name)
    return readers


def _column_row(column: Column) -> tuple[str, ...]:
    unit = f" ({UNITS[column.logical_type]})" if column.logical_type in UNITS else ""
    source = code(column.source_field) if column.source_field else "-"
    return code(column.name), SQL_TYPES[column.logical_type], plain(f"{column.description}{unit}"), source


def _describe_table(found: Table, readers: dict[str, list[str]]) -> list[str]:
    origin = ""
    if stream := _ORIGINS.get(found.full_name):
        origin = f"Loaded from the operation {code(stream.operation)} by way of {code(stream.raw.full_name)}. "
    read_by = f"Read by {codes(readers[found.full_name])}." if found.full_name in readers else ""
    return [
        heading(3, code(found.full_name)),
        plain(found.description),
        f"Key: {codes(found.key)}. {origin}{read_by}",
        table(("column", "type", "meaning (unit)", "field of the API"), map(_column_row, found.columns)),
    ]


def tables_page() -> str:
    """Return the page of the tables of core, ops and raw."""
    readers = _read_by()
    tables = {table.full_name: table for table in (*WAREHOUSE_FILE, *RAW_FILE)}
    blocks = [
        heading(1, "Tables"),
        (
            "All days and times are UTC. [Marts](marts.md) have a page of their own. `livehouse sql --columns TABLE` and the comments "
            "in the database show the same text."
        ),
    ]
    for schema, text in PARTS.items():
        blocks += [heading(2, schema), text]
        for found in tables.values():
            if found.schema == schema:
                blocks += _describe_table(found, readers)
    return page(*blocks)


def _mart_row(name: str, column: MartColumn, sources: Sequence[Source]) -> tuple[str, ...]:
    origin = f" Computed from {codes(f'{table}.{field}' for table, field in sources)}." if sources else ""
    return code(name), column.sql_type, plain(f"{column.description} ({column.unit}).") + origin


def _describe_mart(mart: Mart) -> list[str]:
    lineage = column_lineage(mart)
    rows = [_mart_row(name, column, lineage.get(name, ())) for name, column in mart.columns.items()]
    blocks = [heading(2, code(mart.full_name)), plain(mart.description), f"One row per {codes(mart.grain)}."]
    if mart.headline_metric:
        blocks.append(f"Headline metric: {code(mart.headline_metric)}.")
    return [*blocks, table(("column", "type", "meaning (unit)"), rows)]


def marts_page() -> str:
    """Return the page of all marts."""
    blocks = [
        heading(1, "Marts"),
        (
            "Each mart is one file in `sql/marts`. The columns that values are computed from are read from the "
            "SQL; columns that only join or filter rows are left out."
        ),
    ]
    for mart in sorted(find_marts(), key=lambda mart: mart.name):
        blocks += _describe_mart(mart)
    return page(*blocks)


def checks_page() -> str:
    """Return the page of all data quality checks, each rule once."""
    rules: dict[tuple[str, str, bool], list[str]] = {}
    for check in find_checks():
        rules.setdefault((check.rule, _without_table(check), check.is_blocking), []).append(check.table)
    rows = [
        (code(rule), "blocks publishing" if is_blocking else "warns", codes(tables), plain(description))
        for (rule, description, is_blocking), tables in sorted(rules.items())
    ]
    return page(
        heading(1, "Data quality checks"),
        "Every run evaluates them before it publishes. A check that blocks keeps the published copy as it was and fails the run; one "
        "that warns is named in the summary, in Dagster's UI and in the report.",
        table(("check", "effect", "tables", "meaning"), rows),
    )


def _without_table(check: Check) -> str:
    if check.rule == "unique_grain":
        return "The table has one row per key of its grain, none of which is NULL. A duplicate would be counted twice."
    return check.description.replace(
        check.table, "The table" if check.description.startswith(check.table) else "the table"
    )


def _describe_example(example: Example) -> list[str]:
    blocks = [heading(2, code(example.name.partition("_")[2])), plain(example.question)]
    if example.parameters:
        rows = [
            (
                code(each.name),
                plain(each.form),
                code("NULL" if each.default is None else each.default),
                plain(each.description),
            )
            for each in example.parameters
        ]
        blocks.append(table(("parameter", "form", "default", "meaning"), rows))
    query = "\n".join(line for line in example.sql.splitlines() if not line.startswith("-- "))
    return [*blocks, fenced("sql", query)]


def examples_page() -> str:
    """Return the page of all example queries."""
    blocks = [
        heading(1, "Example queries"),
        "`livehouse sql --example NAME --param NAME=VALUE` runs one; with `--sql` it prints the query for another program.",
    ]
    for example in find_examples():
        blocks += _describe_example(example)
    return page(*blocks)
