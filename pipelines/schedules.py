"""When the pipeline runs by itself, and the jobs a run can be of."""

from datetime import timedelta

import dagster as dg

from pipelines.assets.house import NIGHTLY, RANGE_END, RANGE_START
from pipelines.settings import load_settings

nightly = dg.define_asset_job(
    NIGHTLY, dg.AssetSelection.all(), description="Load the last days again, and what they changed."
)
backfill = dg.define_asset_job(
    "backfill", dg.AssetSelection.all(), description="Load a range of days; cut off and started again, it goes on."
)
rebuild = dg.define_asset_job(
    "rebuild",
    dg.AssetSelection.groups("core", "marts", "publish"),
    description="Make typed tables and marts again from what was landed raw; asks the API nothing.",
)


@dg.schedule(job=nightly, cron_schedule="30 2 * * *", execution_timezone="UTC")
def every_night(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The `LIVEHOUSE_LOOKBACK_DAYS` days that end with yesterday."""
    last = context.scheduled_execution_time.date() - timedelta(days=1)
    settings = load_settings()
    first = max(last - timedelta(days=settings.lookback_days - 1), settings.start_date)
    return dg.RunRequest(run_key=f"nightly {last}", tags={RANGE_START: first.isoformat(), RANGE_END: last.isoformat()})


JOBS = [nightly, backfill, rebuild]
SCHEDULES = [every_night]
