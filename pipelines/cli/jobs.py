"""Run a Dagster job in this process, recorded in the history that the UI shows."""

from dataclasses import dataclass, field
from datetime import date
from functools import partial

from pipelines.cli.history import open_history, translate_history_errors
from pipelines.errors import LivehouseError, UsageError
from pipelines.settings.settings import Settings


@dataclass(frozen=True)
class Outcome:
    """The result of a run. `errors` is empty if it succeeded."""

    run_id: str
    errors: list[LivehouseError]
    warnings: list[str]
    """The checks that failed, one line each."""
    caught_up: str | None = None
    """The missing earlier days that it loaded too."""
    telemetry_faults: list[str] = field(default_factory=list)
    """Receivers of metrics and heartbeats that did not accept them. The run itself has not failed."""


def run_job(
    settings: Settings,
    job: str,
    days: tuple[date, date],
    *,
    full: bool = False,
    allow_shrink: bool = False,
    catch_up: bool = True,
) -> Outcome:
    """Run a job over a range of days. Raises `LivehouseError` only if the run cannot start."""
    if days[0] < settings.start_date:
        raise UsageError(
            f"{days[0]} is before LIVEHOUSE_START_DATE ({settings.start_date}): set that to an earlier day"
        )
    from pipelines.marts.parsed_sql import keep_parsed_sql
    from pipelines.report.chart_bundle import CACHE, build_charts_meanwhile

    cache = settings.home / CACHE
    with build_charts_meanwhile(cache), keep_parsed_sql(cache):  # beginning now: Dagster alone takes a second to import
        instance = open_history(settings)
        from dagster._core.utils import make_new_run_id

        from pipelines.orchestration.alerts import post_failure
        from pipelines.orchestration.deferred_imports import defer_unused_imports
        from pipelines.orchestration.resources import (
            ALLOW_SHRINK,
            CATCH_UP,
            CAUGHT_UP,
            FULL,
            RANGE_END,
            RANGE_START,
        )
        from pipelines.orchestration.run_errors import RunFailedError, collect_errors
        from pipelines.orchestration.run_liveness import ALERTED_BY, RUN_LOCKS, hold_run_lock
        from pipelines.orchestration.run_origin import build_job_origin
        from pipelines.orchestration.run_telemetry import report_run

        with defer_unused_imports():
            from pipelines.definitions import build_definitions

            resolved = build_definitions(settings).resolve_job_def(job)
        tags = {RANGE_START: f"{days[0]}", RANGE_END: f"{days[1]}", ALERTED_BY: "the command line"}
        tags |= {FULL: "true"} if full else {}
        tags |= {ALLOW_SHRINK: "true"} if allow_shrink else {}
        tags |= {} if catch_up else {CATCH_UP: "false"}
        run_id = make_new_run_id()
        instance.create_run_for_job = partial(  # type: ignore[method-assign]  # `execute_in_process` takes no origin
            instance.create_run_for_job, remote_job_origin=build_job_origin(build_definitions.__module__, job)
        )
        with translate_history_errors(settings.dagster_home), hold_run_lock(settings.dagster_home / RUN_LOCKS, run_id):
            result = resolved.execute_in_process(
                instance=instance,
                tags=tags,
                run_id=run_id,
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
            errors = [] if result.success else collect_errors(result.all_events)
            run = instance.get_run_by_id(run_id)
            alert_fault = post_failure(settings, job, run_id, days, errors) if errors else None
            telemetry_faults = report_run(settings, instance, run_id)
    warnings = [
        f"{evaluation.asset_key.to_user_string().replace('/', '.')}: "
        f"{(evaluation.description or '').partition('. ')[0]}"  # the UI shows all of it, with the rows
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed
    ]
    caught_up = run.tags.get(CAUGHT_UP) if run else None
    return Outcome(
        run_id, errors + ([RunFailedError(alert_fault)] if alert_fault else []), warnings, caught_up, telemetry_faults
    )
