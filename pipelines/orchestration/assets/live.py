"""The present: an asset that looks (job `observe`, every minute), and one that takes over what was seen (every run)."""

from typing import Any

import dagster as dg

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.catalog.live import RAW_LIVE_OBSERVATIONS
from pipelines.errors import AlreadyRunningError
from pipelines.live.steps import merge_observations, observe
from pipelines.orchestration.asset_metadata import definition_of, outcome, rows_table
from pipelines.settings.settings import Settings
from pipelines.steps.context import RunContext, make_client

_KINDS = {"python", "duckdb"}


# Without the house: that would wait for a run, and a run for it.
@dg.asset(**definition_of(RAW_LIVE_OBSERVATIONS, _KINDS))
def live_observations(settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult[Any]:
    """One look at what is on air; where a run needs the budget, none."""
    client = make_client(settings)
    try:
        looks = observe(settings, client)
    except AlreadyRunningError as busy:
        return dg.MaterializeResult(metadata={"stepped_back": str(busy)})
    finally:
        client.close()
    failed = [f"{look.app_id}: {look.said}" for look in looks if look.failed]
    by_app = rows_table(
        ["app", "on_air", "ended", "said"], [(look.app_id, look.on_air, look.ended, look.said) for look in looks]
    )
    if failed:
        raise dg.Failure("; ".join(failed), metadata={"by_app": by_app}, allow_retries=False)
    rows = sum(look.on_air + look.ended for look in looks)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows, "by_app": by_app})


@dg.asset(**definition_of(LIVE_OBSERVATIONS, _KINDS), deps=[live_observations])
def core_live_observations(
    context: dg.AssetExecutionContext, run: dg.ResourceParam[RunContext]
) -> dg.MaterializeResult[Any]:
    """Merge what was seen since the last run; asks nothing."""
    return outcome(context, run, LIVE_OBSERVATIONS, merge_observations(run))


LOOKING = live_observations
MERGING = core_live_observations
