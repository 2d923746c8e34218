"""Rewrite the events of a run that failed or was stopped before they are stored: one line instead of a stack trace.

Dagster's UI shows the stack of Dagster's own frames before the message of the error, and records a stopped run as failed
unless its own UI has stopped it. That is right for a run that Dagster has started: no user stopped it, and the sensor alerts.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import dagster as dg
from dagster._core.events import DagsterEvent, DagsterEventType, JobCanceledData, JobFailureData
from dagster._core.execution.plan.objects import ErrorSource, StepFailureData
from dagster_shared.error import SerializableErrorInfo

from pipelines.orchestration.run_errors import (
    FAULT,
    SIGNALED,
    STOPPED,
    RunFailedError,
    RunStoppedError,
    build_resume_command,
    describe_root_cause,
)
from pipelines.orchestration.run_liveness import ALERTED_BY

_API_PATH = re.compile(r"/accounts/[^/\s]+/realtime/kit/[^/\s]+")

FindRun = Callable[[str], dg.DagsterRun | None]


def rewrite_entry(entry: dg.EventLogEntry, find_run: FindRun) -> dg.EventLogEntry:
    """Return an entry of the event log with its event rewritten; `find_run` returns the run with an id."""
    event = entry.dagster_event
    if event is None or (rewritten := rewrite_event(event, partial(find_run, entry.run_id))) is event:
        return entry
    if rewritten.event_type == DagsterEventType.RUN_FAILURE and (run := find_run(entry.run_id)):
        remedy = f"landed data is kept; to resume: `{_build_resume_command(run)}`"
        rewritten = rewritten._replace(message=f"{rewritten.message}; {remedy}")
    return entry._replace(dagster_event=rewritten, user_message=rewritten.message or "")


def rewrite_event(event: DagsterEvent, find_run: Callable[[], dg.DagsterRun | None]) -> DagsterEvent:
    """Return an event with a one-line error, and the end of a run that a user stopped as "canceled"; other events unchanged."""
    data: Any = event.event_specific_data
    if not isinstance(data, StepFailureData | JobFailureData | JobCanceledData) or data.error is None:
        return event
    if isinstance(data, StepFailureData):
        return _rewrite_step_failure(event)
    cause = describe_root_cause(data.error)
    is_stopped = isinstance(cause, RunStoppedError)
    if isinstance(data, JobCanceledData) or (is_stopped and _is_of_command_line(find_run())):
        return event._replace(
            event_type_value=DagsterEventType.RUN_CANCELED.value,
            event_specific_data=JobCanceledData(None),
            message=STOPPED,
        )
    first = data.first_step_failure_event
    error = SerializableErrorInfo(SIGNALED, [], RunFailedError.__name__) if is_stopped else _shorten(data.error)
    return event._replace(
        # The UI shows the error below the message: an error that a step has reported would be there a third time.
        event_specific_data=JobFailureData(
            None if first and not error.stack else error,
            data.failure_reason,
            _rewrite_step_failure(first) if first else None,
        ),
        message=f"{event.job_name} failed: {SIGNALED if is_stopped else cause}",
    )


def _rewrite_step_failure(event: DagsterEvent) -> DagsterEvent:
    data: Any = event.event_specific_data
    shortened = data._replace(error=data.error and _shorten(data.error), error_source=ErrorSource.FRAMEWORK_ERROR)
    return event._replace(event_specific_data=shortened)


def _is_of_command_line(run: dg.DagsterRun | None) -> bool:
    """Return whether a person or cron started the run, who sees that it was stopped; its process posts the alert."""
    return run is not None and ALERTED_BY in run.tags


def build_failure_tags(run: dg.DagsterRun, event: DagsterEvent) -> dict[str, str]:
    """Return the tags of a run that has failed with a rewritten event, for lists of runs: why, and the command that repeats it.

    Lists show the beginning of a tag: the keys are short, and paths of the API are abbreviated.
    """
    reason = (event.message or "").removeprefix(f"{event.job_name} failed: ")
    return {"failed": _API_PATH.sub("…", reason), "resume": _build_resume_command(run)}


def _build_resume_command(run: dg.DagsterRun) -> str:
    # Here, because it imports the code of a run, which takes a second: `livehouse ui` needs it only for a failed run.
    from pipelines.orchestration.resources import parse_range

    return build_resume_command(run.job_name, parse_range(dict(run.tags)))


def _shorten(error: SerializableErrorInfo) -> SerializableErrorInfo:
    """Return an error of one line. Only a fault of livehouse itself keeps the stack of its cause."""
    line = str(describe_root_cause(error))
    while error.cause:
        error = error.cause
    return SerializableErrorInfo(line, error.stack if line.startswith(FAULT) else [], RunFailedError.__name__)
