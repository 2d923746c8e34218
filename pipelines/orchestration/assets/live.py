"""Live streams: an asset that polls (job `observe`, every minute), and one that merges the observations (every run)."""

from typing import Any

import dagster as dg

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.catalog.live import RAW_LIVE_OBSERVATIONS
from pipelines.errors import AlreadyRunningError
from pipelines.live.steps import merge_observations, poll_apps
from pipelines.orchestration.asset_metadata import describe_table, report_load, to_table
from pipelines.settings.settings import Settings
from pipelines.steps.context import RunContext, make_client

_KINDS = {"python", "duckdb"}


# Without the run context: opening it takes the run lock, so a poll would wait for a run, and a run for a poll.
@dg.asset(**describe_table(RAW_LIVE_OBSERVATIONS, _KINDS))
def poll_live_observations(settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult[Any]:
    """Poll the live streams of all apps; skipped while a run needs the request budget."""
    client = make_client(settings)
    try:
        polls = poll_apps(settings, client)
    except AlreadyRunningError as busy:
        return dg.MaterializeResult(metadata={"skipped": str(busy)})
    finally:
        client.close()
    failed = [f"{poll.app_id}: {poll.warnings}" for poll in polls if poll.is_failed]
    by_app = to_table(
        ["app", "on_air", "ended", "warnings"],
        [(poll.app_id, poll.on_air, poll.ended, poll.warnings) for poll in polls],
    )
    if failed:
        raise dg.Failure("; ".join(failed), metadata={"by_app": by_app}, allow_retries=False)
    rows = sum(poll.on_air + poll.ended for poll in polls)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows, "by_app": by_app})


# No dependency on the polls, which are off by default: Dagster would warn that an upstream asset was never materialized.
@dg.asset(**describe_table(LIVE_OBSERVATIONS, _KINDS))
def merge_live_observations(
    context: dg.AssetExecutionContext, run: dg.ResourceParam[RunContext]
) -> dg.MaterializeResult[Any]:
    """Merge the observations since the last run; sends no request."""
    return report_load(context, run, LIVE_OBSERVATIONS, merge_observations(run))
