"""Metadata for Dagster's UI: of a table, and of a load. Settings never belong here: they hold the token."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import dagster as dg

from pipelines.catalog.types import SQL_TYPES, UNITS, Table
from pipelines.marts.parsed_sql import Source
from pipelines.orchestration.resources import ONE_RUN, REPORT
from pipelines.steps.context import Range, RunContext
from pipelines.steps.outcomes import Counts
from pipelines.steps.report import preview_table
from pipelines.storage.preview import TablePreview

_LONGEST_CELL = 200
"""Characters of a cell; longer text, such as a payload, is cut."""
_SQL_TYPES_OF = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", date: "DATE", datetime: "TIMESTAMP"}


def describe_asset(
    full_name: str, description: str, columns: Iterable[tuple[str, str, str | None, str]], kinds: set[str]
) -> dict[str, Any]:
    """Return the arguments of `dg.AssetSpec` for a table; each of `columns` is a name, a SQL type, a unit, and a description."""
    group, _, name = full_name.partition(".")
    schema = dg.TableSchema(
        [
            dg.TableColumn(name, sql_type, text, dg.TableColumnConstraints(other=[unit] if unit else []))
            for name, sql_type, unit, text in columns
        ]
    )
    return {
        "key": dg.AssetKey([group, name]),
        "description": description,
        "group_name": group,
        "kinds": kinds,
        "owners": ["team:data"],
        "metadata": {"dagster/table_name": full_name, "dagster/column_schema": schema},
    }


def describe_table(table: Table, kinds: set[str]) -> dict[str, Any]:
    """Return the arguments of `dg.asset` for a table of the catalog."""
    columns = [
        (column.name, SQL_TYPES[column.logical_type], UNITS.get(column.logical_type), column.description)
        for column in table.columns
    ]
    return describe_asset(table.full_name, table.description, columns, kinds) | {"backfill_policy": ONE_RUN}


def report_load(
    context: dg.AssetExecutionContext,
    run: RunContext,
    table: Table,
    done: dict[str, Counts],
    days: Range | None = None,
) -> dg.MaterializeResult[Any]:
    """Return the result of a load: its counts and requests, in total and by app, the rows of each day, and a sample.

    Raises `dg.Failure` if an app failed and the run does not write the report, as when the UI splits a backfill into
    several runs: nothing else would report the failure. A run that writes the report goes on, and fails at its end.
    """
    selected = context.run.asset_selection  # empty when a whole job runs
    if run.failures and selected and REPORT not in selected:
        raise dg.Failure("; ".join(run.failure_lines()), allow_retries=False)
    earlier = sorted({day for app_id in done for day in run.catch_up_days.get(app_id, [])}) if days else []
    preview = preview_table(run, table, (earlier[0], days[1]) if days and earlier else days)
    metadata: dict[str, Any] = {
        f"{'api' if name in {'requests', 'retries'} else 'rows'}_{name}": sum(
            getattr(each, name) for each in done.values()
        )
        for name in ("received", "landed", "quarantined", "duplicates", "requests", "retries")
    }
    metadata["by_app"] = to_table(
        ["app", "received", "landed", "quarantined", "duplicates", "requests", "retries", "note"],
        [
            (app_id, it.received, it.landed, it.quarantined, it.duplicates, it.requests, it.retries, it.note)
            for app_id, it in done.items()
        ],
    )
    metadata["sample"] = show_sample(preview)
    if not days:
        # Metadata of a result would be stored a second time, with the output of the step.
        context.add_asset_metadata(metadata | {"dagster/row_count": preview.rows})
        return dg.MaterializeResult()
    # Each day is an event of its own, with its own row count; the metadata of the whole load is on the last day.
    for day in context.partition_keys:
        count = {"dagster/row_count": preview.by_day.get(date.fromisoformat(day), 0)}
        context.add_asset_metadata(count, partition_key=day)
    # Days caught up on are not partitions of this run: each is logged as an event.
    for missed in earlier:
        count = {"dagster/row_count": preview.by_day.get(missed, 0)}
        context.log_event(dg.AssetMaterialization(context.asset_key, partition=f"{missed}", metadata=count))
    context.add_asset_metadata(metadata, partition_key=context.partition_keys[-1])
    return dg.MaterializeResult(metadata={"days": f"{days[0]} to {days[1]}"})


def show_sample(preview: TablePreview) -> dg.TableMetadataValue:
    """Return the newest rows of a table."""
    return to_table([*preview.columns], preview.newest, preview.columns)


def to_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], sql_types: Mapping[str, str] | None = None
) -> dg.TableMetadataValue:
    """Return rows as a table of the UI. Without `sql_types`, the types are those of the first row's values."""
    rows = list(rows)
    if sql_types is None:
        first = rows[0] if rows else [None] * len(columns)
        sql_types = {name: _SQL_TYPES_OF.get(type(cell), "VARCHAR") for name, cell in zip(columns, first, strict=True)}
    records = [dg.TableRecord({name: _cell(cell) for name, cell in zip(columns, row, strict=True)}) for row in rows]
    return dg.MetadataValue.table(
        records, schema=dg.TableSchema([dg.TableColumn(name, sql_types[name]) for name in columns])
    )


def _cell(value: Any) -> Any:  # noqa: ANN401 - a cell of any type
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 6)
    text = str(value)
    return text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]}…"


def build_lineage(sources: Mapping[str, Sequence[Source]]) -> dg.TableColumnLineage:
    """Return column lineage as Dagster+ draws it."""
    return dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(asset_key=dg.AssetKey(table.split(".")), column_name=name) for table, name in found
            ]
            for column, found in sources.items()
        }
    )


def tabulate_lineage(sources: Mapping[str, Sequence[Source]]) -> dg.TableMetadataValue:
    """Return column lineage as a table, for the UI that does not draw it."""
    rows = [(column, ", ".join(f"{table}.{name}" for table, name in found)) for column, found in sources.items()]
    return to_table(["column", "made_of"], rows)
