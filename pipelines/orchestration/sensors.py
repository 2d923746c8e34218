"""The sensor that posts an alert for each failed run. The command line posts alerts for its own runs: see cli/jobs.py."""

import dagster as dg

from pipelines.orchestration.alerts import post_failure
from pipelines.orchestration.resources import parse_range
from pipelines.orchestration.run_errors import collect_errors
from pipelines.orchestration.run_liveness import ALERTED_BY
from pipelines.settings.settings import load_settings


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING)
def failure_webhook(context: dg.RunFailureSensorContext) -> None:
    """Post each failed run to LIVEHOUSE_ALERT_WEBHOOK, if that is set."""
    run = context.dagster_run
    if ALERTED_BY in run.tags:
        return
    days = parse_range(dict(run.tags))
    errors = collect_errors([*context.get_step_failure_events(), context.failure_event])
    fault = post_failure(load_settings(), run.job_name, run.run_id, days, errors)
    if fault:
        context.log.warning(fault)


SENSORS = [failure_webhook]
