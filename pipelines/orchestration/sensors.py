"""The sensor that posts an alert for each failed run, and the one that finds runs whose process has died.

The command line posts alerts for its own runs: see cli/jobs.py.
"""

import json
import time

import dagster as dg
from dagster._core.storage.tags import WILL_RETRY_TAG

from pipelines.orchestration.alerts import post_failure
from pipelines.orchestration.resources import parse_range, post_dead_runs
from pipelines.orchestration.run_errors import collect_errors
from pipelines.orchestration.run_liveness import ALERTED_BY
from pipelines.orchestration.run_sessions import find_lost_runs, report_lost_run, shares_history
from pipelines.orchestration.run_telemetry import report_run
from pipelines.settings.settings import load_settings


@dg.run_failure_sensor(default_status=dg.DefaultSensorStatus.RUNNING)
def failure_webhook(context: dg.RunFailureSensorContext) -> None:
    """Post each failed run to LIVEHOUSE_ALERT_WEBHOOK, if that is set."""
    run = context.dagster_run
    if ALERTED_BY in run.tags:
        return
    days = parse_range(dict(run.tags))
    errors = collect_errors([*context.get_step_failure_events(), context.failure_event])
    is_retried = run.tags.get(WILL_RETRY_TAG) == "true"
    settings = load_settings()
    fault = post_failure(settings, run.job_name, run.run_id, days, errors, is_retried=is_retried)
    for line in [*([fault] if fault else []), *report_run(settings, context.instance, run.run_id)]:
        context.log.warning(line)


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs whose process has died as failed, so that they are posted and retried: for a history on"
    " PostgreSQL. On one machine the next run does it.",
)
def lost_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Mark the runs that have had no session in PostgreSQL for two minutes."""
    if not shares_history(context.instance):
        return dg.SkipReason("the history is not on PostgreSQL: the next run marks the runs whose process has died")
    cursor, now = json.loads(context.cursor or "{}"), time.time()
    elapsed_seconds = now - cursor.get("checked_at", now)
    lost, missing_seconds = find_lost_runs(context.instance, cursor.get("missing_seconds", {}), elapsed_seconds)
    ended = {one.line: one.run for one in lost if report_lost_run(context.instance, one)}
    post_dead_runs(load_settings(), ended)
    context.update_cursor(json.dumps({"checked_at": now, "missing_seconds": missing_seconds}))
    return dg.SkipReason("; ".join(ended) or "every run that has started is alive, or was until just now")


@dg.run_status_sensor(run_status=dg.DagsterRunStatus.SUCCESS, default_status=dg.DefaultSensorStatus.RUNNING)
def success_telemetry(context: dg.RunStatusSensorContext) -> None:
    """Send metrics, a trace and a heartbeat about each successful run, if LIVEHOUSE_OTLP_ENDPOINT or _HEARTBEAT_URL is set."""
    if ALERTED_BY in context.dagster_run.tags:
        return
    for line in report_run(load_settings(), context.instance, context.dagster_run.run_id):
        context.log.warning(line)


SENSORS = [failure_webhook, lost_runs, success_telemetry]
