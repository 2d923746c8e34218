"""Turn the events of a failed run into one-line errors. Nothing here imports Dagster or fails a run."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from pipelines.errors import LivehouseError, SettingsError, UsageError, find_machine_cause

FAULT = "a fault of livehouse itself"
STOPPED = "stopped; landed data is kept: run the same command again to resume"
SIGNALED = "ended by a signal, such as at a shutdown of the machine"
_CONSEQUENCES = ("caused the run", "LazyLock instance has previously been poisoned")
"""Parts of messages that only repeat an earlier failure: Dagster's, and polars' once it could not start its threads."""
_COMMANDS_WITHOUT_DAYS = {"observe": "on-air", "upkeep": "upkeep", "alerts": "alerts"}
"""Job that has no days: the command that does the same."""


class RunFailedError(LivehouseError):
    """A run failed for a reason that is already one line."""


class RunStoppedError(RunFailedError):
    """A user stopped the run: ctrl-C, SIGTERM, or the UI."""


def collect_errors(events: Iterable[Any]) -> list[LivehouseError]:
    """Return the distinct errors in a run's Dagster events, each of one line; at least one."""
    found: list[LivehouseError] = []
    for event in events:
        data = event.event_specific_data
        failure = getattr(data, "user_failure_data", None)
        if failure and failure.description:
            found.append(RunFailedError(failure.description))
        elif (event.is_step_failure or event.is_failure) and getattr(data, "error", None):
            found.append(describe_root_cause(data.error))
    distinct = {str(error): error for error in found}
    known = [error for text, error in distinct.items() if not any(part in text for part in _CONSEQUENCES)]
    return known or [RunFailedError("the run failed; its page in `livehouse ui` shows the reason")]


def describe_root_cause(error: Any) -> LivehouseError:  # noqa: ANN401 - Dagster's SerializableErrorInfo
    """Return the cause of an error in one line: what is wrong, and what to do."""
    while error.cause:
        error = error.cause
    if error.cls_name == RunFailedError.__name__:
        return RunFailedError(error.message)  # `failure_events.py` has shortened it
    message = error.message.strip()
    name, _, text = message.partition(": ")
    if name.endswith(("DagsterExecutionInterruptedError", "KeyboardInterrupt")):
        return RunStoppedError(STOPPED)
    if name.endswith("DagsterAssetCheckFailedError"):
        broken = "; ".join(line.strip(" -*").replace("/", ".") for line in message.splitlines()[1:])
        return RunFailedError(
            f"not published, because figures would be wrong: {broken}. Readers keep the last published copy (a lakehouse"
            " has none); `livehouse ui` shows the days, `livehouse rebuild DAY DAY` rebuilds them from raw"
        )
    if name.startswith("pipelines.errors.") or name.endswith(".events.Failure"):
        text = " ".join(text.split())
        kind = next((kind for kind in (SettingsError, UsageError) if name.endswith(kind.__name__)), RunFailedError)
        return kind(text)
    if cause := find_machine_cause(message):
        return RunFailedError(cause)
    return RunFailedError(f"{FAULT}: {' '.join(message.split())[:300]} (see `livehouse ui`)")


def build_resume_command(job: str, days: tuple[date, date] | None) -> str:
    """Return the command that repeats a failed job. A job that Dagster itself named loads days as a backfill does."""
    if days is None:
        return f"livehouse {_COMMANDS_WITHOUT_DAYS.get(job, 'nightly')}"
    if job == "nightly":
        return f"livehouse nightly --date {days[1]}"
    return f"livehouse {job if job == 'rebuild' else 'backfill'} {days[0]} {days[1]}"
