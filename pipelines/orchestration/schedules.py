"""The jobs of the graph, and the schedules that start them.

Users have switched the schedules on by name: a schedule's `name` stays, whatever its function is called.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES

from pipelines.orchestration.assets.alerts import alerts
from pipelines.orchestration.assets.live import poll_live_observations
from pipelines.orchestration.assets.maintenance import upkeep
from pipelines.orchestration.resources import APPS, FULL, NIGHTLY, RANGE_END, RANGE_START
from pipelines.settings.settings import Settings, load_settings

_ALL_BUT_LIVE_POLL = dg.AssetSelection.all() - dg.AssetSelection.assets(poll_live_observations)
"""The live poll is left out: it pauses while a run holds the lock. Every run merges what earlier polls recorded."""

_FULL_REFRESH_DAYS = 35
"""A month and some days: everything that a bill is based on is fetched in full before the bill."""

_MAX_POLL_AGE = timedelta(minutes=10)
"""An older poll that has not finished does not keep the next one from starting."""

nightly = dg.define_asset_job(
    NIGHTLY, _ALL_BUT_LIVE_POLL, description="Reload the last days, and update everything that depends on them."
)
backfill = dg.define_asset_job(
    "backfill", _ALL_BUT_LIVE_POLL, description="Load a range of days; an interrupted backfill resumes when run again."
)
rebuild = dg.define_asset_job(
    "rebuild",
    dg.AssetSelection.groups("core", "marts", "publish"),
    description="Rebuild core tables and marts from the raw tables; sends no request.",
)
observe = dg.define_asset_job(
    "observe",
    dg.AssetSelection.assets(poll_live_observations),
    description="Poll which livestreams are on air; does nothing while a run holds the lock.",
)


_Requested = dg.RunRequest | list[dg.RunRequest] | dg.SkipReason


def _request_runs(settings: Settings, run_key: str, tags: Mapping[str, str]) -> _Requested:
    """Request one run for all apps, or one for each group of LIVEHOUSE_APPS_PER_RUN apps, which workers share."""
    size = settings.apps_per_run
    if not 0 < size < len(settings.app_ids):
        return dg.RunRequest(run_key=run_key, tags=dict(tags))
    groups = [settings.app_ids[at : at + size] for at in range(0, len(settings.app_ids), size)]
    return [
        dg.RunRequest(run_key=f"{run_key}, {number} of {len(groups)}", tags={**tags, APPS: ",".join(group)})
        for number, group in enumerate(groups, 1)
    ]


def _skip_before(start_date: date) -> dg.SkipReason:
    return dg.SkipReason(f"no day is over yet since LIVEHOUSE_START_DATE ({start_date})")


@dg.schedule(
    name="every_night",
    job=nightly,
    cron_schedule="30 2 * * *",
    execution_timezone="UTC",
    description="Loads the last LIVEHOUSE_LOOKBACK_DAYS days, yesterday included, and earlier days that are missing.",
)
def nightly_schedule(context: dg.ScheduleEvaluationContext) -> _Requested:
    """Request the `LIVEHOUSE_LOOKBACK_DAYS` days that end with yesterday.

    The run itself finds the earlier days that are missing: the warehouse may be locked now.
    """
    last = context.scheduled_execution_time.date() - timedelta(days=1)
    settings = load_settings()
    first = max(last - timedelta(days=settings.lookback_days - 1), settings.start_date)
    if first > last:
        return _skip_before(settings.start_date)
    tags = {RANGE_START: first.isoformat(), RANGE_END: last.isoformat()}
    return _request_runs(settings, f"nightly {last}", tags)


@dg.schedule(
    name="every_week_in_full",
    job=nightly,
    cron_schedule="30 3 * * 0",
    execution_timezone="UTC",
    description=f"Sundays. Fetches the last {_FULL_REFRESH_DAYS} days in full, also livestreams known to be unchanged.",
)
def weekly_full_refresh_schedule(context: dg.ScheduleEvaluationContext) -> _Requested:
    """Request a full refresh of the 35 days that end with yesterday."""
    last = context.scheduled_execution_time.date() - timedelta(days=1)
    settings = load_settings()
    first = max(last - timedelta(days=_FULL_REFRESH_DAYS - 1), settings.start_date)
    if first > last:
        return _skip_before(settings.start_date)
    tags = {RANGE_START: first.isoformat(), RANGE_END: last.isoformat(), FULL: "true"}
    return _request_runs(settings, f"in full {last}", tags)


@dg.schedule(
    name="every_minute",
    job=observe,
    cron_schedule="* * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Polls which livestreams are on air. Its requests come on top of those of the nightly runs.",
)
def live_poll_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Request one poll per minute. Off by default, because it adds requests to those of the nightly runs.

    Polls must not queue up while every worker is busy with a run: they would then be executed one after the other.
    """
    # A killed poll stays unfinished until the next run marks it.
    since = context.scheduled_execution_time - _MAX_POLL_AGE
    unfinished = dg.RunsFilter(job_name=observe.name, statuses=NOT_FINISHED_STATUSES, created_after=since)
    if context.instance.get_runs(unfinished, limit=1):
        return dg.SkipReason("the poll before has not finished")
    return dg.RunRequest(run_key=f"observe {context.scheduled_execution_time:%Y-%m-%d %H:%M}")


weekly_maintenance_schedule = dg.ScheduleDefinition(
    name="every_week",
    job=upkeep,
    cron_schedule="0 5 * * 0",
    execution_timezone="UTC",
    description="Sundays. Only a lakehouse needs it.",
)

hourly_alerts_schedule = dg.ScheduleDefinition(
    name="every_hour",
    job=alerts,
    cron_schedule="10 * * * *",
    execution_timezone="UTC",
    description="Evaluates the alert rules between runs, so that a night that did not run is noticed.",
)

JOBS: list[Any] = [nightly, backfill, rebuild, observe, upkeep, alerts]
SCHEDULES = [
    nightly_schedule,
    weekly_full_refresh_schedule,
    live_poll_schedule,
    weekly_maintenance_schedule,
    hourly_alerts_schedule,
]
