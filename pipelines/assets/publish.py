"""The last asset: what readers see."""

from typing import Any

import dagster as dg

from pipelines.assets.core import CORE
from pipelines.assets.house import ONE_RUN, PUBLISHED, backfill_of
from pipelines.assets.marts import MARTS
from pipelines.steps.house import House
from pipelines.steps.report import publish_warehouse, write_page


@dg.asset(
    key=PUBLISHED,
    deps=[*CORE, *MARTS],
    description="`warehouse.duckdb`: a finished copy for reading, swapped in whole. A run in which an app failed "
    "publishes what the others brought, and then fails.",
    group_name="publish",
    kinds={"duckdb"},
    owners=["team:data"],
    backfill_policy=ONE_RUN,
)
def warehouse(context: dg.AssetExecutionContext, house: dg.ResourceParam[House]) -> dg.MaterializeResult[Any]:
    """Publish, then say whether anything is missing."""
    size = publish_warehouse(house, backfill_of(context.run.job_name, dict(context.run.tags)))
    failures = house.failure_lines()
    if failures:
        raise dg.Failure("; ".join(failures), metadata={"bytes": size}, allow_retries=False)
    return dg.MaterializeResult(metadata={"path": dg.MetadataValue.path(house.warehouse.address), "bytes": size})


@dg.asset(
    key=dg.AssetKey(["publish", "report"]),
    deps=[warehouse],
    description="`report.html`: usage, audience, failures, cost, and how far the figures can be trusted.",
    group_name="publish",
    kinds={"altair"},
    owners=["team:data"],
    backfill_policy=ONE_RUN,
)
def report(house: dg.ResourceParam[House]) -> dg.MaterializeResult[Any]:
    """Write the page people look at."""
    path = write_page(house)
    return dg.MaterializeResult(metadata={"path": dg.MetadataValue.path(path), "bytes": path.stat().st_size})


PUBLISH = [warehouse, report]
