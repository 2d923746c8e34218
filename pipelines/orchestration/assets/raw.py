"""Raw assets: one for each stream of the API, landed as received."""

from typing import Any

import dagster as dg

from pipelines.catalog.streams import LOADED_STREAMS, Stream
from pipelines.orchestration.asset_metadata import describe_table, report_load
from pipelines.orchestration.partitions import DAYS
from pipelines.orchestration.resources import days_of
from pipelines.steps.context import RunContext
from pipelines.steps.extract_stream import extract_stream
from pipelines.steps.fetch import extract_livestreams


def _definition(stream: Stream, priority: int) -> dict[str, Any]:
    # Requests have priority over building core tables, which would delay them.
    return describe_table(stream.raw, {"python", "duckdb"}) | {
        "deps": [dg.AssetKey(table.full_name.split(".")) for table in stream.after],
        "op_tags": {"dagster/priority": f"{priority}"},
    }


def _list_asset(stream: Stream) -> dg.AssetsDefinition:
    # First of all: its replies tell the run the time at the API.
    @dg.asset(**_definition(stream, 2))
    def fetched(context: dg.AssetExecutionContext, run: dg.ResourceParam[RunContext]) -> dg.MaterializeResult[Any]:
        return report_load(context, run, stream.raw, extract_livestreams(run))

    return fetched


def _dated_asset(stream: Stream) -> dg.AssetsDefinition:
    @dg.asset(**_definition(stream, 1), partitions_def=DAYS)
    def fetched(context: dg.AssetExecutionContext, run: dg.ResourceParam[RunContext]) -> dg.MaterializeResult[Any]:
        days = days_of(context)
        return report_load(context, run, stream.raw, extract_stream(run, stream, days), days)

    return fetched


RAW = [_list_asset(stream) if stream.fetched_by == "page" else _dated_asset(stream) for stream in LOADED_STREAMS]
