"""Who is told when a run fails that nobody watches. The command line tells by itself: see cli/jobs.py."""

from datetime import date

import dagster as dg

from pipelines.orchestration.alerts import errors_of, post_failure
from pipelines.orchestration.resources import RANGE_END, RANGE_START
from pipelines.orchestration.run_liveness import TOLD
from pipelines.settings.settings import load_settings


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING)
def failure_webhook(context: dg.RunFailureSensorContext) -> None:
    """Post each failed run to LIVEHOUSE_ALERT_WEBHOOK, if that is set."""
    run = context.dagster_run
    if TOLD in run.tags:
        return
    days = None
    if RANGE_START in run.tags:
        days = date.fromisoformat(run.tags[RANGE_START]), date.fromisoformat(run.tags[RANGE_END])
    errors = errors_of([*context.get_step_failure_events(), context.failure_event])
    untold = post_failure(load_settings(), run.job_name, run.run_id, days, errors)
    if untold:
        context.log.warning(untold)


SENSORS = [failure_webhook]
