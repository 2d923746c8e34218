"""Raw assets: what the API answered, landed as received."""

from typing import Any

import dagster as dg

from pipelines.catalog.raw import RAW_APP_ANALYTICS, RAW_LIVESTREAM_ANALYTICS, RAW_LIVESTREAM_SESSIONS, RAW_LIVESTREAMS
from pipelines.catalog.types import Table
from pipelines.orchestration.asset_metadata import definition_of, outcome
from pipelines.orchestration.partitions import DAYS
from pipelines.orchestration.resources import days_of
from pipelines.steps import fetch as extract
from pipelines.steps import session_counts, sessions
from pipelines.steps.context import RunContext


def _definition(table: Table) -> dict[str, Any]:
    # First of all that is ready: else requests would wait while tables are made of what others brought.
    return definition_of(table, {"python", "duckdb"}) | {"op_tags": {"dagster/priority": "1"}}


# Before all others: by its replies the run learns what time it is for the API.
@dg.asset(**_definition(RAW_LIVESTREAMS) | {"op_tags": {"dagster/priority": "2"}})
def livestreams(context: dg.AssetExecutionContext, run: dg.ResourceParam[RunContext]) -> dg.MaterializeResult[Any]:
    """Page through all livestreams."""
    return outcome(context, run, RAW_LIVESTREAMS, extract.extract_livestreams(run))


@dg.asset(**_definition(RAW_LIVESTREAM_ANALYTICS), partitions_def=DAYS)
def livestream_analytics(
    context: dg.AssetExecutionContext, run: dg.ResourceParam[RunContext]
) -> dg.MaterializeResult[Any]:
    """*overall*, day by day; and *livestreams/daywise*, a month in one request, where the API offers it."""
    days = days_of(context)
    done = extract.extract_overall(run, days)
    session_counts.extract_session_counts(run, days)
    return outcome(context, run, RAW_LIVESTREAM_ANALYTICS, done, days)


@dg.asset(**_definition(RAW_APP_ANALYTICS), partitions_def=DAYS)
def app_analytics(context: dg.AssetExecutionContext, run: dg.ResourceParam[RunContext]) -> dg.MaterializeResult[Any]:
    """*daywise*, a month in one request."""
    days = days_of(context)
    return outcome(context, run, RAW_APP_ANALYTICS, extract.extract_daywise(run, days), days)


# After *overall*: where that says more than the sessions at hand, more livestreams are asked.
@dg.asset(**_definition(RAW_LIVESTREAM_SESSIONS), partitions_def=DAYS, deps=[livestreams, livestream_analytics])
def livestream_sessions(
    context: dg.AssetExecutionContext, run: dg.ResourceParam[RunContext]
) -> dg.MaterializeResult[Any]:
    """Sessions of the livestreams that could have new ones."""
    days = days_of(context)
    return outcome(context, run, RAW_LIVESTREAM_SESSIONS, sessions.extract_sessions(run, days), days)


RAW = [livestreams, livestream_analytics, app_analytics, livestream_sessions]
