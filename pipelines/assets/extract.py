"""Raw assets: what the API answered, landed as received."""

from typing import Any

import dagster as dg

from pipelines.assets.house import ONE_RUN, column_metadata, days_of, outcome
from pipelines.assets.partitions import DAYS
from pipelines.schema import SQL_TYPES, Table
from pipelines.steps import extract, sessions
from pipelines.steps.house import House
from pipelines.tables import RAW_APP_ANALYTICS, RAW_LIVESTREAM_ANALYTICS, RAW_LIVESTREAM_SESSIONS, RAW_LIVESTREAMS


def _shown(table: Table) -> dict[str, Any]:
    return {
        "key": dg.AssetKey([table.schema, table.name]),
        "description": table.meaning,
        "group_name": "raw",
        "kinds": {"python", "duckdb"},
        "owners": ["team:data"],
        "backfill_policy": ONE_RUN,
        "metadata": {"dagster/table_name": table.full_name}
        | column_metadata([(column.name, SQL_TYPES[column.kind], column.meaning) for column in table.columns]),
    }


@dg.asset(**_shown(RAW_LIVESTREAMS))
def livestreams(context: dg.AssetExecutionContext, house: dg.ResourceParam[House]) -> dg.MaterializeResult[Any]:
    """Page through all livestreams."""
    return outcome(context, house, extract.extract_livestreams(house))


@dg.asset(**_shown(RAW_LIVESTREAM_ANALYTICS), partitions_def=DAYS)
def livestream_analytics(
    context: dg.AssetExecutionContext, house: dg.ResourceParam[House]
) -> dg.MaterializeResult[Any]:
    """*overall*, day by day."""
    return outcome(context, house, extract.extract_overall(house, days_of(context)))


@dg.asset(**_shown(RAW_APP_ANALYTICS), partitions_def=DAYS)
def app_analytics(context: dg.AssetExecutionContext, house: dg.ResourceParam[House]) -> dg.MaterializeResult[Any]:
    """*daywise*, a month in one request."""
    return outcome(context, house, extract.extract_daywise(house, days_of(context)))


# After *overall*: where that says more than the sessions at hand, more livestreams are asked.
@dg.asset(**_shown(RAW_LIVESTREAM_SESSIONS), partitions_def=DAYS, deps=[livestreams, livestream_analytics])
def livestream_sessions(context: dg.AssetExecutionContext, house: dg.ResourceParam[House]) -> dg.MaterializeResult[Any]:
    """Sessions of the livestreams that could have new ones."""
    return outcome(context, house, sessions.extract_sessions(house, days_of(context)))


RAW = [livestreams, livestream_analytics, app_analytics, livestream_sessions]
