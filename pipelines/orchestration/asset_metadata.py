"""What Dagster's UI shows: of a table, and of what a run did to it. Never a setting: those hold the token."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg

from pipelines.catalog.types import SQL_TYPES, Table
from pipelines.marts.lineage import Source
from pipelines.orchestration.resources import ONE_RUN, REPORT
from pipelines.steps.context import Counts, Range, RunContext
from pipelines.steps.report import preview_table
from pipelines.storage.preview import TablePreview

_LONGEST_CELL = 200
"""Characters shown of a cell: a payload can be long."""


def definition(
    full_name: str, meaning: str, columns: Iterable[tuple[str, str, str]], kinds: set[str]
) -> dict[str, Any]:
    """What every asset that is a table says of itself; `columns` are name, type or unit, and meaning."""
    group, _, name = full_name.partition(".")
    schema = dg.TableSchema([dg.TableColumn(name, kind, description=told) for name, kind, told in columns])
    return {
        "key": dg.AssetKey([group, name]),
        "description": meaning,
        "group_name": group,
        "kinds": kinds,
        "owners": ["team:data"],
        "backfill_policy": ONE_RUN,
        "metadata": {"dagster/table_name": full_name, "dagster/column_schema": schema},
    }


def definition_of(table: Table, kinds: set[str]) -> dict[str, Any]:
    """The same, of a table in `tables.py`."""
    columns = [(column.name, SQL_TYPES[column.logical_type], column.description) for column in table.columns]
    return definition(table.full_name, table.description, columns, kinds)


def outcome(
    context: dg.AssetExecutionContext,
    run: RunContext,
    table: Table,
    done: dict[str, Counts],
    days: Range | None = None,
) -> dg.MaterializeResult[Any]:
    """What Dagster shows of a load: what it brought and cost, of all apps and of each; each day's rows; a sample.

    A run that writes the report goes on without the apps that failed, and fails at its end. One that does not (the UI
    splits a backfill into several) must fail here, or nobody would hear of it.
    """
    selected = context.run.asset_selection  # empty when a whole job runs
    if run.failures and selected and REPORT not in selected:
        raise dg.Failure("; ".join(run.failure_lines()), allow_retries=False)
    earlier = sorted({day for app_id in done for day in run.catch_up_days.get(app_id, [])}) if days else []
    seen = preview_table(run, table, (earlier[0], days[1]) if days and earlier else days)
    metadata: dict[str, Any] = {
        f"{'api' if name in {'requests', 'retries'} else 'rows'}_{name}": sum(
            getattr(each, name) for each in done.values()
        )
        for name in ("received", "landed", "quarantined", "duplicates", "requests", "retries")
    }
    metadata["by_app"] = rows_table(
        ["app", "received", "landed", "quarantined", "duplicates", "requests", "retries", "note"],
        [
            (app_id, it.received, it.landed, it.quarantined, it.duplicates, it.requests, it.retries, it.note)
            for app_id, it in done.items()
        ],
    )
    metadata["sample"] = sample(seen)
    if not days:
        return dg.MaterializeResult(metadata=metadata | {"dagster/row_count": seen.rows})
    # Each day is an event of its own, with its own rows; what the run did to all of them is told once, at the last.
    for day in context.partition_keys:
        count = {"dagster/row_count": seen.by_day.get(date.fromisoformat(day), 0)}
        context.add_asset_metadata(count, partition_key=day)
    # Days that earlier nights missed are no partitions of this run, and are events of their own.
    for missed in earlier:
        count = {"dagster/row_count": seen.by_day.get(missed, 0)}
        context.log_event(dg.AssetMaterialization(context.asset_key, partition=f"{missed}", metadata=count))
    context.add_asset_metadata(metadata, partition_key=context.partition_keys[-1])
    return dg.MaterializeResult(metadata={"days": f"{days[0]} to {days[1]}"})


def sample(seen: TablePreview) -> dg.TableMetadataValue:
    """The newest rows of a table."""
    return rows_table(seen.columns, seen.newest)


def rows_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> dg.TableMetadataValue:
    """Rows as a table of the UI, which shows every cell as the text it is."""
    records = [dg.TableRecord({name: _cell(cell) for name, cell in zip(columns, row, strict=True)}) for row in rows]
    return dg.MetadataValue.table(records, schema=dg.TableSchema([dg.TableColumn(name) for name in columns]))


def _cell(value: Any) -> Any:  # noqa: ANN401 - a cell of any type
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return round(value, 6)
    text = str(value)
    return text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]}…"


def lineage(sources: Mapping[str, Sequence[Source]]) -> dict[str, Any]:
    """Column lineage as Dagster+ draws it, and as a table for the UI that does not."""
    deps = {
        column: [dg.TableColumnDep(asset_key=dg.AssetKey(table.split(".")), column_name=name) for table, name in found]
        for column, found in sources.items()
    }
    told = [(column, ", ".join(f"{table}.{name}" for table, name in found)) for column, found in sources.items()]
    return {
        "dagster/column_lineage": dg.TableColumnLineage(deps_by_column=deps),
        "columns_made_of": rows_table(["column", "made_of"], told),
    }
