"""Dagster's resources, the tags that say which days a run loads, and the policies of assets.

Keep the work itself in `steps/`.
"""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta

import dagster as dg

from pipelines.errors import SettingsError
from pipelines.orchestration.alerts import post_failure
from pipelines.orchestration.run_errors import RunFailedError
from pipelines.orchestration.run_liveness import (
    ALERTED_BY,
    RUN_LOCKS,
    hold_run_lock,
    mark_dead_runs,
    terminate_on_hangup,
)
from pipelines.orchestration.run_sessions import hold_run_session
from pipelines.settings.settings import Settings, load_settings
from pipelines.steps.context import Range, RunContext, open_run
from pipelines.steps.days import add_missing_days, describe_catch_up, keep_days_in_raw, remove_days_never_landed
from pipelines.telemetry.logs import log, log_with_run

# `backfill_policy`, which makes a range one run, is in beta: our tests notice when Dagster renames it.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"
FULL, ALLOW_SHRINK = "livehouse/full", "livehouse/allow_shrink"
CATCH_UP = "livehouse/catch_up"
"""A nightly run with this tag at `false` loads its own days only, not the days that earlier nights missed."""
APPS = "livehouse/apps"
"""A run with this tag loads only these apps of REALTIMEKIT_APP_ID, separated by commas."""
CAUGHT_UP = "livehouse/caught_up"
"""A nightly run sets this tag to the days that it loads besides its own."""
NIGHTLY = "nightly"
REBUILD = "rebuild"
REPORT = dg.AssetKey(["publish", "report"])

ONE_RUN = dg.BackfillPolicy.single_run()
"""Load a range of days in one run, so that each request is sent once. Assets without partitions need the policy too."""

NIGHTLY_FRESHNESS = dg.FreshnessPolicy.cron(
    deadline_cron="0 6 * * *", lower_bound_delta=timedelta(hours=12), timezone="UTC"
)
"""An asset is stale at 06:00 UTC if no run has materialized it since 18:00 the day before."""


def parse_range(tags: dict[str, str]) -> Range | None:
    """Return the days that a run was started for, by its tags; None for a run of unpartitioned assets."""
    first = tags.get(RANGE_START) or tags.get(PARTITION)
    last = tags.get(RANGE_END) or tags.get(PARTITION)
    return (date.fromisoformat(first), date.fromisoformat(last)) if first and last else None


def select_apps(settings: Settings, tags: Mapping[str, str]) -> Settings:
    """Return the settings of a run, with the apps of its tag. Raises `SettingsError` if an app is not in the settings."""
    if APPS not in tags:
        return settings
    given = tuple(dict.fromkeys(app_id.strip() for app_id in tags[APPS].split(",")))
    if unknown := [app_id for app_id in given if app_id not in settings.app_ids]:
        raise SettingsError(
            f"the tag {APPS} of this run names {', '.join(unknown)[:200]}, which REALTIMEKIT_APP_ID does not: add it there,"
            " on every worker, or start the run again without the tag"
        )
    return settings.model_copy(update={"app_ids": given})


def find_resumable_range(job_name: str, tags: dict[str, str]) -> Range | None:
    """Return the days of a run that resumes an interrupted one; None for a nightly run, which fetches everything again."""
    return None if job_name == NIGHTLY else parse_range(tags)


def sends_requests(dagster_run: dg.DagsterRun | None) -> bool:
    """Return whether a run sends requests. A run that does not can load only the days that raw tables hold."""
    if dagster_run is None or not dagster_run.asset_selection:
        return dagster_run is None or dagster_run.job_name != REBUILD
    return any(key.path[0] == "raw" for key in dagster_run.asset_selection)


# Both resources have no field that Dagster could take for configuration: it stores configuration and shows it in the UI.


class SettingsResource(dg.ConfigurableResource[Settings]):
    """Settings from the environment. The command line passes the settings it has read instead of this resource."""

    def create_resource(self, context: dg.InitResourceContext) -> Settings:  # noqa: ARG002 - Dagster's signature
        """Read the settings when a run starts."""
        return load_settings()


class RunContextResource(dg.ConfigurableResource[RunContext]):
    """The API client and the warehouse's files, open and locked while one run lasts."""

    settings: dg.ResourceDependency[Settings]

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[RunContext]:
        """Lock the warehouse, mark runs whose process died, and choose the days to load."""
        dagster_run = context.run
        tags = dict(dagster_run.tags) if dagster_run else {}
        job_name = dagster_run.job_name if dagster_run else NIGHTLY
        instance = context.instance if context.instance and not context.instance.is_ephemeral else None
        run_locks = self.settings.dagster_home / RUN_LOCKS
        session = None
        with ExitStack() as stack:
            stack.enter_context(terminate_on_hangup())
            if dagster_run and instance:
                stack.enter_context(hold_run_lock(run_locks, dagster_run.run_id))
                session = stack.enter_context(hold_run_session(instance, dagster_run.run_id))
                stack.enter_context(log_with_run(dagster_run.run_id, job_name))
            run = stack.enter_context(
                open_run(
                    select_apps(self.settings, tags),
                    run_id=dagster_run.run_id if dagster_run else "",
                    full=tags.get(FULL) == "true",
                    allow_shrink=tags.get(ALLOW_SHRINK) == "true",
                    backfill=find_resumable_range(job_name, tags),
                    before_write=session.check if session else None,
                )
            )
            run.other_apps = tuple(app_id for app_id in self.settings.app_ids if app_id not in run.settings.app_ids)
            if dagster_run and instance:
                post_dead_runs(self.settings, mark_dead_runs(instance, run_locks, dagster_run.run_id, log))
            remove_days_never_landed(run)
            days = parse_range(tags)
            if days and not sends_requests(dagster_run):
                keep_days_in_raw(run, days)
            elif days and job_name == NIGHTLY and tags.get(CATCH_UP) != "false":
                add_missing_days(run, days)
                if dagster_run and context.instance and run.catch_up_days:
                    context.instance.add_run_tags(dagster_run.run_id, {CAUGHT_UP: describe_catch_up(run) or ""})
            yield run


def post_dead_runs(settings: Settings, failed: Mapping[str, dg.DagsterRun]) -> None:
    """Post the runs of the command line whose process died, which would have posted the alert; the sensor posts the others."""
    for line, run in failed.items():
        if ALERTED_BY in run.tags:
            days = parse_range(dict(run.tags))
            fault = post_failure(settings, run.job_name, run.run_id, days, [RunFailedError(line)])
            if fault:
                log(f"livehouse: {fault}")


def days_of(context: dg.AssetExecutionContext) -> Range:
    """Return the first and last day of the partitions that a run was started for."""
    keys = context.partition_key_range
    return date.fromisoformat(keys.start), date.fromisoformat(keys.end)
