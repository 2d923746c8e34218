"""When the pipeline runs by itself, and the jobs a run can be of."""

from datetime import date, timedelta
from typing import Any

import dagster as dg

from pipelines.orchestration.assets.live import poll_live_observations
from pipelines.orchestration.assets.maintenance import upkeep
from pipelines.orchestration.resources import FULL, NIGHTLY, RANGE_END, RANGE_START
from pipelines.settings.settings import load_settings

_EVERY_DAY = dg.AssetSelection.all() - dg.AssetSelection.assets(poll_live_observations)
"""All but the look at the present, which steps back from a run; what was seen before is merged by every run."""

_DAYS_IN_FULL = 35
"""A month and some days: what a bill is made of is asked for in full before the bill."""

nightly = dg.define_asset_job(NIGHTLY, _EVERY_DAY, description="Load the last days again, and what they changed.")
backfill = dg.define_asset_job(
    "backfill", _EVERY_DAY, description="Load a range of days; cut off and started again, it goes on."
)
rebuild = dg.define_asset_job(
    "rebuild",
    dg.AssetSelection.groups("core", "marts", "publish"),
    description="Make typed tables and marts again from what was landed raw; asks the API nothing.",
)
observe = dg.define_asset_job(
    "observe",
    dg.AssetSelection.assets(poll_live_observations),
    description="Look at what is on air now; steps back at once while a run has the house.",
)


def _skip_before(start_date: date) -> dg.SkipReason:
    return dg.SkipReason(f"no day is over yet since LIVEHOUSE_START_DATE ({start_date})")


@dg.schedule(
    job=nightly,
    cron_schedule="30 2 * * *",
    execution_timezone="UTC",
    description="Loads the last LIVEHOUSE_LOOKBACK_DAYS days, yesterday included, and earlier days that are missing.",
)
def every_night(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Load the `LIVEHOUSE_LOOKBACK_DAYS` days that end with yesterday.

    Which earlier days are missing is found out by the run itself: the warehouse may be locked now.
    """
    last = context.scheduled_execution_time.date() - timedelta(days=1)
    settings = load_settings()
    first = max(last - timedelta(days=settings.lookback_days - 1), settings.start_date)
    if first > last:
        return _skip_before(settings.start_date)
    return dg.RunRequest(run_key=f"nightly {last}", tags={RANGE_START: first.isoformat(), RANGE_END: last.isoformat()})


@dg.schedule(
    job=nightly,
    cron_schedule="30 3 * * 0",
    execution_timezone="UTC",
    description=f"Sundays. Asks for the last {_DAYS_IN_FULL} days in full, whatever seems known of them.",
)
def every_week_in_full(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Sundays: the 35 days that end with yesterday, asking for all that could hold them whatever seems known."""
    last = context.scheduled_execution_time.date() - timedelta(days=1)
    start_date = load_settings().start_date
    first = max(last - timedelta(days=_DAYS_IN_FULL - 1), start_date)
    if first > last:
        return _skip_before(start_date)
    tags = {RANGE_START: first.isoformat(), RANGE_END: last.isoformat(), FULL: "true"}
    return dg.RunRequest(run_key=f"in full {last}", tags=tags)


@dg.schedule(
    job=observe,
    cron_schedule="* * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Looks at what is on air. What it asks comes on top of the nights' requests.",
)
def every_minute(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One look a minute. Off until switched on: what it asks comes on top of the nights' requests."""
    return dg.RunRequest(run_key=f"observe {context.scheduled_execution_time:%Y-%m-%d %H:%M}")


every_week = dg.ScheduleDefinition(
    name="every_week",
    job=upkeep,
    cron_schedule="0 5 * * 0",
    execution_timezone="UTC",
    description="Sundays. Only a lakehouse needs it.",
)

JOBS: list[Any] = [nightly, backfill, rebuild, observe, upkeep]
SCHEDULES = [every_night, every_week_in_full, every_minute, every_week]
