"""One asset for each file in `sql/marts/`. What it depends on is read from its SQL."""

from typing import Any

import dagster as dg

from pipelines.assets.house import EVERY_MORNING, ONE_RUN, column_metadata
from pipelines.report.marts import Mart, find_marts
from pipelines.steps.house import House
from pipelines.steps.report import refresh_mart
from pipelines.tables import DAYS, FACTS, LIVE_OBSERVATIONS, LIVESTREAMS

_CORE = {table.full_name for table in (LIVESTREAMS, *FACTS, LIVE_OBSERVATIONS)}


def _upstream(mart: Mart) -> list[dg.AssetKey]:
    tables = set(mart.depends_on) & _CORE
    if not tables or DAYS.full_name in mart.depends_on:
        # Which days are loaded is known when every fact table is.
        tables |= {table.full_name for table in FACTS}
    tables |= {other.full_name for other in mart.builds_on}
    return [dg.AssetKey(table.split(".")) for table in sorted(tables)]


def _asset(mart: Mart) -> dg.AssetsDefinition:
    @dg.asset(
        key=dg.AssetKey(["marts", mart.name]),
        deps=_upstream(mart),
        description=mart.meaning,
        group_name="marts",
        kinds={"sql", "duckdb"},
        owners=["team:data"],
        backfill_policy=ONE_RUN,
        freshness_policy=EVERY_MORNING,
        metadata={"dagster/table_name": mart.full_name}
        | column_metadata([(name, unit, meaning) for name, (unit, meaning) in mart.columns.items()]),
    )
    def built(house: dg.ResourceParam[House]) -> dg.MaterializeResult[Any]:
        build = refresh_mart(house, mart)
        ranges = [f"{first} to {last}" for first, last in build.refreshed or []]
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": build.rows,
                "refreshed": "whole" if build.refreshed is None else ", ".join(ranges),
            }
        )

    return built


MARTS = [_asset(mart) for mart in find_marts()]
