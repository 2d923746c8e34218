"""Runs a Dagster job in this process, in the same history that the UI shows, and says how it went."""

from dataclasses import dataclass
from datetime import date

from pipelines.cli.history import history_explained, open_history
from pipelines.errors import LivehouseError, UsageError
from pipelines.settings.settings import Settings


@dataclass(frozen=True)
class Outcome:
    """How a run went. `errors` is empty when it succeeded."""

    run_id: str
    errors: list[LivehouseError]
    warnings: list[str]
    """What checks found odd, a line each."""
    caught_up: str | None = None
    """Which earlier days it loaded too, since they were missing."""


def run_job(
    settings: Settings,
    job: str,
    days: tuple[date, date],
    *,
    full: bool = False,
    allow_shrink: bool = False,
    catch_up: bool = True,
) -> Outcome:
    """Run a job over a range of days. Raises only for what keeps it from starting."""
    if days[0] < settings.start_date:
        raise UsageError(
            f"{days[0]} is before LIVEHOUSE_START_DATE ({settings.start_date}): set that to an earlier day"
        )
    from pipelines.report.chart_bundle import CACHE, build_charts_meanwhile

    with build_charts_meanwhile(settings.home / CACHE):  # beginning now: Dagster alone takes a second to import
        instance = open_history(settings)
        from dagster._core.utils import make_new_run_id

        from pipelines.definitions import build_definitions
        from pipelines.orchestration import resources as tag
        from pipelines.orchestration.alerts import (
            RunFailedError,
            RunStoppedError,
            collect_errors,
            post_failure,
        )
        from pipelines.orchestration.run_liveness import ALERTED_BY, RUN_LOCKS, hold_run_lock

        tags = {tag.RANGE_START: f"{days[0]}", tag.RANGE_END: f"{days[1]}", ALERTED_BY: "the command line"}
        tags |= {tag.FULL: "true"} if full else {}
        tags |= {tag.ALLOW_SHRINK: "true"} if allow_shrink else {}
        tags |= {} if catch_up else {tag.CATCH_UP: "false"}
        run_id = make_new_run_id()
        with history_explained(settings.dagster_home), hold_run_lock(settings.dagster_home / RUN_LOCKS, run_id):
            result = (
                build_definitions(settings)
                .resolve_job_def(job)
                .execute_in_process(
                    instance=instance,
                    tags=tags,
                    run_id=run_id,
                    raise_on_error=False,
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                )
            )
            errors = [] if result.success else collect_errors(result.all_events)
            run = instance.get_run_by_id(run_id)
            if run and any(isinstance(error, RunStoppedError) for error in errors):
                # Dagster takes a signal that its own UI did not send for a failure.
                instance.report_run_canceled(run, message=str(errors[0]))
    warnings = [
        f"{evaluation.asset_key.to_user_string().replace('/', '.')}: "
        f"{(evaluation.description or '').partition('. ')[0]}"  # the UI shows all of it, with the rows
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed
    ]
    caught_up = run.tags.get(tag.CAUGHT_UP) if run else None
    untold = post_failure(settings, job, run_id, days, errors) if errors else None
    return Outcome(run_id, errors + ([RunFailedError(untold)] if untold else []), warnings, caught_up)
