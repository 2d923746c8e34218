"""The export of the published warehouse, an asset of runs with LIVEHOUSE_EXPORT_PATH."""

from typing import Any

import dagster as dg

from pipelines.export.files import Export
from pipelines.export.run import export_warehouse
from pipelines.export.tables import find_tables
from pipelines.orchestration.assets.publish import WAREHOUSE
from pipelines.orchestration.resources import ONE_RUN
from pipelines.steps.context import RunContext
from pipelines.telemetry.logs import log


@dg.asset(
    key=dg.AssetKey(["publish", "export"]),
    deps=[WAREHOUSE],
    description="core and marts as Parquet files in LIVEHOUSE_EXPORT_PATH, replaced as a whole, for other engines.",
    group_name="publish",
    kinds={"parquet"},
    owners=["team:data"],
    backfill_policy=ONE_RUN,
)
def export(run: dg.ResourceParam[RunContext]) -> dg.MaterializeResult[Any]:
    """Export what was just published."""
    target = run.settings.export_path
    assert target, "the asset is part of the graph only with LIVEHOUSE_EXPORT_PATH"  # noqa: S101 - see definitions.py
    exported = export_warehouse(
        run.warehouse, target, Export(find_tables()), wait_seconds=run.settings.lock_wait_seconds, log=log
    )
    return dg.MaterializeResult(
        metadata={"path": target, "files": len(exported.files), "unchanged files": exported.kept}
    )
