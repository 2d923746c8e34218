"""Core assets: typed rows built from raw records."""

from typing import Any

import dagster as dg

from pipelines.catalog.core import LIVESTREAMS
from pipelines.catalog.streams import FACTS, LOADED_STREAMS, part_of, stream_of
from pipelines.catalog.types import Table
from pipelines.orchestration.asset_metadata import describe_table, report_load
from pipelines.orchestration.partitions import DAYS
from pipelines.orchestration.resources import NIGHTLY_FRESHNESS, days_of
from pipelines.steps.context import RunContext
from pipelines.steps.load_core import load_facts, load_livestreams

_RAW_ASSETS = {stream.raw.full_name for stream in LOADED_STREAMS}


def _definition(table: Table) -> dict[str, Any]:
    tables = (stream_of(table).raw, *part_of(table).also_reads)
    return describe_table(table, {"polars", "duckdb"}) | {
        "deps": [dg.AssetKey(raw.full_name.split(".")) for raw in tables if raw.full_name in _RAW_ASSETS],
        "freshness_policy": NIGHTLY_FRESHNESS,
    }


@dg.asset(**_definition(LIVESTREAMS))
def core_livestreams(context: dg.AssetExecutionContext, run: dg.ResourceParam[RunContext]) -> dg.MaterializeResult[Any]:
    """Livestreams, one row each."""
    return report_load(context, run, LIVESTREAMS, load_livestreams(run))


def _fact(table: Table) -> dg.AssetsDefinition:
    @dg.asset(**_definition(table), partitions_def=DAYS)
    def fact(context: dg.AssetExecutionContext, run: dg.ResourceParam[RunContext]) -> dg.MaterializeResult[Any]:
        days = days_of(context)
        return report_load(context, run, table, load_facts(run, table, days), days)

    return fact


CORE = [core_livestreams, *(_fact(table) for table in FACTS)]
