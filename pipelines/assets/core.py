"""Core assets: typed rows of what was landed raw."""

from typing import Any

import dagster as dg

from pipelines.assets.extract import app_analytics, livestream_analytics, livestream_sessions, livestreams
from pipelines.assets.house import EVERY_MORNING, days_of
from pipelines.assets.partitions import DAYS
from pipelines.assets.shown import definition_of, outcome
from pipelines.schema import Table
from pipelines.steps.core import load_facts, load_livestreams
from pipelines.steps.house import House
from pipelines.tables import FACTS, LIVESTREAMS

_MADE_OF: dict[str, Any] = {
    "livestreams": [livestreams],
    "livestream_sessions": [livestream_sessions],
    "livestream_analytics_daily": [livestream_analytics, livestream_sessions],
    "meeting_sessions_daily": [app_analytics],
    "recordings_daily": [app_analytics],
}


def _definition(table: Table) -> dict[str, Any]:
    return definition_of(table, {"polars", "duckdb"}) | {
        "deps": _MADE_OF[table.name],
        "freshness_policy": EVERY_MORNING,
    }


@dg.asset(**_definition(LIVESTREAMS))
def core_livestreams(context: dg.AssetExecutionContext, house: dg.ResourceParam[House]) -> dg.MaterializeResult[Any]:
    """Livestreams, one row each."""
    return outcome(context, house, LIVESTREAMS, load_livestreams(house))


def _fact(table: Table) -> dg.AssetsDefinition:
    @dg.asset(**_definition(table), partitions_def=DAYS)
    def fact(context: dg.AssetExecutionContext, house: dg.ResourceParam[House]) -> dg.MaterializeResult[Any]:
        days = days_of(context)
        return outcome(context, house, table, load_facts(house, table, days), days)

    return fact


CORE = [core_livestreams, *(_fact(table) for table in FACTS)]
