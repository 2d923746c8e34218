"""Core assets: typed rows of what was landed raw."""

from typing import Any

import dagster as dg

from pipelines.assets.extract import app_analytics, livestream_analytics, livestream_sessions, livestreams
from pipelines.assets.house import EVERY_MORNING, ONE_RUN, column_metadata, days_of, outcome
from pipelines.assets.partitions import DAYS
from pipelines.schema import SQL_TYPES, Table
from pipelines.steps.core import load_facts, load_livestreams
from pipelines.steps.house import House
from pipelines.tables import FACTS, LIVESTREAMS

_MADE_OF: dict[str, Any] = {
    "livestreams": livestreams,
    "livestream_sessions": livestream_sessions,
    "livestream_analytics_daily": livestream_analytics,
    "meeting_sessions_daily": app_analytics,
    "recordings_daily": app_analytics,
}


def _shown(table: Table) -> dict[str, Any]:
    return {
        "key": dg.AssetKey([table.schema, table.name]),
        "deps": [_MADE_OF[table.name]],
        "description": table.meaning,
        "group_name": "core",
        "kinds": {"polars", "duckdb"},
        "owners": ["team:data"],
        "backfill_policy": ONE_RUN,
        "freshness_policy": EVERY_MORNING,
        "metadata": {"dagster/table_name": table.full_name}
        | column_metadata([(column.name, SQL_TYPES[column.kind], column.meaning) for column in table.columns]),
    }


@dg.asset(**_shown(LIVESTREAMS))
def core_livestreams(context: dg.AssetExecutionContext, house: dg.ResourceParam[House]) -> dg.MaterializeResult[Any]:
    """Livestreams, one row each."""
    return outcome(context, house, load_livestreams(house))


def _fact(table: Table) -> dg.AssetsDefinition:
    @dg.asset(**_shown(table), partitions_def=DAYS)
    def fact(context: dg.AssetExecutionContext, house: dg.ResourceParam[House]) -> dg.MaterializeResult[Any]:
        return outcome(context, house, load_facts(house, table, days_of(context)))

    return fact


CORE = [core_livestreams, *(_fact(table) for table in FACTS)]
