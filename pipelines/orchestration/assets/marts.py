"""One asset for each file in `sql/marts/`. Its dependencies are read from its SQL."""

from functools import cache
from typing import Any

import dagster as dg

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.catalog.ops import DAYS
from pipelines.catalog.streams import CORE_TABLES, FACTS
from pipelines.marts.build import Mart, find_marts
from pipelines.marts.lineage import column_lineage
from pipelines.marts.sql_files import sql_directory
from pipelines.orchestration.asset_metadata import describe_asset, describe_lineage, show_sample, to_table
from pipelines.orchestration.resources import NIGHTLY_FRESHNESS
from pipelines.steps.context import RunContext
from pipelines.steps.report import draw, preview_table, refresh_mart

_CORE = {table.full_name for table in (*CORE_TABLES, LIVE_OBSERVATIONS)}


def _find_dependencies(mart: Mart) -> list[dg.AssetKey]:
    tables = set(mart.depends_on) & _CORE
    if not tables or DAYS.full_name in mart.depends_on:
        # ops.days is complete when every fact table is loaded.
        tables |= {table.full_name for table in FACTS}
    tables |= {other.full_name for other in mart.builds_on}
    return [dg.AssetKey(table.split(".")) for table in sorted(tables)]


def _build_asset(mart: Mart) -> dg.AssetsDefinition:
    columns = [(name, column.sql_type, column.unit, column.description) for name, column in mart.columns.items()]
    arguments = describe_asset(mart.full_name, mart.description, columns, {"sql", "duckdb"})
    source = dg.LocalFileCodeReference(file_path=str(sql_directory() / "marts" / f"{mart.name}.sql"), label="the SQL")
    arguments["metadata"]["dagster/code_references"] = dg.CodeReferencesMetadataValue(code_references=[source])

    @cache
    def lineage_metadata() -> dict[str, Any]:
        """Return the lineage metadata. The SQL does not change while this process runs."""
        return describe_lineage(column_lineage(mart))

    @dg.asset(
        **arguments,
        deps=_find_dependencies(mart),
        freshness_policy=NIGHTLY_FRESHNESS,
    )
    def built(run: dg.ResourceParam[RunContext]) -> dg.MaterializeResult[Any]:
        build = refresh_mart(run, mart)
        ranges = [f"{first} to {last}" for first, last in build.refreshed or []]
        with run.warehouse.snapshot([mart.full_name]):
            bars, preview = draw(run, mart), preview_table(run, mart)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": build.rows,
                "refreshed": "whole" if build.refreshed is None else ", ".join(ranges),
                **({"drawn": to_table([mart.period, str(mart.headline_metric), "of all apps"], bars)} if bars else {}),
                "sample": show_sample(preview),
                **lineage_metadata(),
            }
        )

    return built


MARTS = [_build_asset(mart) for mart in find_marts()]
