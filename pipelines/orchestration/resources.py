"""The run's house as a Dagster resource, and the days of a run. Keep the work itself in `steps/`."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta

import dagster as dg

from pipelines.orchestration.run_liveness import RUNNING, alive, ended_by_hangup, mark_dead_runs
from pipelines.settings.settings import Settings, load_settings
from pipelines.steps.context import Range, RunContext, open_run
from pipelines.steps.days import add_missing_days, describe_catch_up, keep_days_in_raw, remove_days_never_landed
from pipelines.steps.progress import log

# `backfill_policy` is what makes a range one run; that Dagster may still rename it is caught by our tests.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"
FULL, ALLOW_SHRINK = "livehouse/full", "livehouse/allow_shrink"
CATCH_UP = "livehouse/catch_up"
"""A nightly run with this tag at `false` loads its own days only, not those that earlier nights missed."""
CAUGHT_UP = "livehouse/caught_up"
"""Set by a nightly run: the days it loads besides its own."""
NIGHTLY = "nightly"
REBUILD = "rebuild"
REPORT = dg.AssetKey(["publish", "report"])

ONE_RUN = dg.BackfillPolicy.single_run()
"""A range of days is one run and asks the API once. Every asset needs it, those without partitions too."""

EVERY_MORNING = dg.FreshnessPolicy.cron(
    deadline_cron="0 6 * * *", lower_bound_delta=timedelta(hours=12), timezone="UTC"
)
"""What a nightly run makes is stale at 06:00 UTC if it was not made since 18:00 the day before."""


def range_of(tags: dict[str, str]) -> Range | None:
    """The days a run was started for, by its tags; None for a run of assets without days."""
    first = tags.get(RANGE_START) or tags.get(PARTITION)
    last = tags.get(RANGE_END) or tags.get(PARTITION)
    return (date.fromisoformat(first), date.fromisoformat(last)) if first and last else None


def backfill_of(job_name: str, tags: dict[str, str]) -> Range | None:
    """The days of a run that goes on where an earlier one was cut off; the nightly run asks anew."""
    return None if job_name == NIGHTLY else range_of(tags)


def fetches(dagster_run: dg.DagsterRun | None) -> bool:
    """Whether a run sends requests. One that does not can load only days that raw has."""
    if dagster_run is None or not dagster_run.asset_selection:
        return dagster_run is None or dagster_run.job_name != REBUILD
    return any(key.path[0] == "raw" for key in dagster_run.asset_selection)


@dg.resource(
    description="Settings of the environment. The command line replaces this resource by the settings it was given."
)
def settings_resource() -> Settings:
    """Read the settings. They are a resource and never become Dagster configuration: that is shown in the UI."""
    return load_settings()


@dg.resource(
    description="The API and the warehouse's files, for as long as one run lasts.",
    required_resource_keys={"settings"},
)
def run_context_resource(context: dg.InitResourceContext) -> Iterator[RunContext]:
    """Open the house for a run."""
    dagster_run = context.run
    tags = dict(dagster_run.tags) if dagster_run else {}
    job_name = dagster_run.job_name if dagster_run else NIGHTLY
    settings: Settings = context.resources.settings
    instance = context.instance if context.instance and not context.instance.is_ephemeral else None
    running = settings.dagster_home / RUNNING
    with ExitStack() as held:
        held.enter_context(ended_by_hangup())
        if dagster_run and instance:
            held.enter_context(alive(running, dagster_run.run_id))
        run = held.enter_context(
            open_run(
                settings,
                run_id=dagster_run.run_id if dagster_run else "",
                full=tags.get(FULL) == "true",
                allow_shrink=tags.get(ALLOW_SHRINK) == "true",
                backfill=backfill_of(job_name, tags),
            )
        )
        if dagster_run and instance:
            mark_dead_runs(instance, running, dagster_run.run_id, log)
        remove_days_never_landed(run)
        days = range_of(tags)
        if days and not fetches(dagster_run):
            keep_days_in_raw(run, days)
        elif days and job_name == NIGHTLY and tags.get(CATCH_UP) != "false":
            add_missing_days(run, days)
            if dagster_run and context.instance and run.catch_up_days:
                context.instance.add_run_tags(dagster_run.run_id, {CAUGHT_UP: describe_catch_up(run) or ""})
        yield run


def days_of(context: dg.AssetExecutionContext) -> Range:
    """First and last day of the partitions a run was started for."""
    keys = context.partition_key_range
    return date.fromisoformat(keys.start), date.fromisoformat(keys.end)
