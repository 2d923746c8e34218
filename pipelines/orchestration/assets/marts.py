"""One asset for each file in `sql/marts/`, all built by one step. Their dependencies are read from their SQL."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.catalog.ops import DAYS
from pipelines.catalog.streams import CORE_TABLES, FACTS
from pipelines.marts.build import Mart, MartBuild, find_marts
from pipelines.marts.lineage import column_lineage
from pipelines.marts.sql_files import sql_directory
from pipelines.orchestration.asset_metadata import (
    build_lineage,
    describe_asset,
    show_sample,
    tabulate_lineage,
    to_table,
)
from pipelines.orchestration.resources import NIGHTLY_FRESHNESS, ONE_RUN
from pipelines.steps.context import RunContext
from pipelines.steps.report import draw, preview_table, refresh_marts

_CORE = {table.full_name for table in (*CORE_TABLES, LIVE_OBSERVATIONS)}


def _find_dependencies(mart: Mart) -> list[dg.AssetKey]:
    tables = set(mart.depends_on) & _CORE
    if not tables or DAYS.full_name in mart.depends_on:
        # ops.days is complete when every fact table is loaded.
        tables |= {table.full_name for table in FACTS}
    tables |= {other.full_name for other in mart.builds_on}
    return [_key(table) for table in sorted(tables)]


def _key(full_name: str) -> dg.AssetKey:
    return dg.AssetKey(full_name.split("."))


def _specify(mart: Mart) -> dg.AssetSpec:
    columns = [(name, column.sql_type, column.unit, column.description) for name, column in mart.columns.items()]
    arguments = describe_asset(mart.full_name, mart.description, columns, {"sql", "duckdb"})
    source = dg.LocalFileCodeReference(file_path=str(sql_directory() / "marts" / f"{mart.name}.sql"), label="the SQL")
    arguments["metadata"] |= {
        "dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[source]),
        "columns_made_of": tabulate_lineage(column_lineage(mart)),
    }
    return dg.AssetSpec(deps=_find_dependencies(mart), freshness_policy=NIGHTLY_FRESHNESS, **arguments)


_MARTS = {_key(mart.full_name): mart for mart in find_marts()}


def _describe_build(run: RunContext, mart: Mart, build: MartBuild) -> dict[str, Any]:
    ranges = [f"{first} to {last}" for first, last in build.refreshed or []]
    with run.warehouse.snapshot([mart.full_name]):
        bars, preview = draw(run, mart), preview_table(run, mart)
    return {
        "dagster/row_count": build.rows,
        "refreshed": "whole" if build.refreshed is None else ", ".join(ranges),
        **({"drawn": to_table([mart.period, str(mart.headline_metric), "of all apps"], bars)} if bars else {}),
        "sample": show_sample(preview),
        "dagster/column_lineage": build_lineage(column_lineage(mart)),
    }


@dg.multi_asset(
    name="marts", specs=[_specify(mart) for mart in _MARTS.values()], can_subset=True, backfill_policy=ONE_RUN
)
def marts(context: dg.AssetExecutionContext, run: dg.ResourceParam[RunContext]) -> Iterator[dg.MaterializeResult[Any]]:
    """Build the marts: a step for each would take longer than most of the builds."""
    selected = {key: mart for key, mart in _MARTS.items() if key in context.selected_asset_keys}
    builds = refresh_marts(run, [*selected.values()])
    for key, mart in selected.items():
        # Metadata of a result would be stored a second time, with the output of the step.
        context.add_asset_metadata(_describe_build(run, mart, builds[mart.full_name]), asset_key=key)
        yield dg.MaterializeResult(asset_key=key)
