"""What a failed run says, in lines, and who is told. Nothing here imports Dagster or fails a run."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import httpx
import stamina

from pipelines.errors import LivehouseError, SettingsError, UsageError
from pipelines.settings import Settings

_ATTEMPTS, _TIMEOUT_SECONDS, _LONGEST_FAULTS = 3, 10.0, 1_600


class RunFailedError(LivehouseError):
    """A run failed for a reason that is already one line."""


class RunStoppedError(RunFailedError):
    """Somebody stopped the run: ctrl-C, SIGTERM, or the UI."""


def errors_of(events: Iterable[Any]) -> list[LivehouseError]:
    """The distinct faults in a run's Dagster events, each one line; at least one."""
    found: list[LivehouseError] = []
    for event in events:
        data = event.event_specific_data
        failure = getattr(data, "user_failure_data", None)
        if failure and failure.description:
            found.append(RunFailedError(failure.description))
        elif (event.is_step_failure or event.is_failure) and getattr(data, "error", None):
            found.append(_innermost(data.error))
    distinct = {str(error): error for error in found}
    known = [error for error in distinct.values() if "caused the run" not in str(error)]
    return known or [RunFailedError("the run failed; its page in `livehouse ui` says why")]


def _innermost(error: Any) -> LivehouseError:  # noqa: ANN401 - Dagster's SerializableErrorInfo
    while error.cause:
        error = error.cause
    said = error.message.strip()
    name, _, text = said.partition(": ")
    if name.endswith("DagsterExecutionInterruptedError"):
        return RunStoppedError("stopped; what was landed stays: the same command again goes on from there")
    if name.endswith("DagsterAssetCheckFailedError"):
        broken = "; ".join(line.strip(" -*").replace("/", ".") for line in said.splitlines()[1:])
        return RunFailedError(
            f"not published, since figures would be wrong: {broken}. The readers' copy stands (a lakehouse has none);"
            " `livehouse ui` shows which days offend, `livehouse rebuild DAY DAY` makes those again from what was landed"
        )
    if name.startswith("pipelines.errors.") or name.endswith(".events.Failure"):
        text = " ".join(text.split())
        kind = next((kind for kind in (SettingsError, UsageError) if name.endswith(kind.__name__)), RunFailedError)
        return kind(text)
    return RunFailedError(f"a fault of livehouse itself: {' '.join(said.split())[:300]} (see `livehouse ui`)")


def how_to_go_on(job: str, days: tuple[date, date] | None) -> str:
    """The command that does a failed job's work again."""
    if days is None:
        return "livehouse on-air" if job == "observe" else "livehouse nightly"
    return f"livehouse nightly --date {days[1]}" if job == "nightly" else f"livehouse {job} {days[0]} {days[1]}"


def post_failure(
    settings: Settings, job: str, run_id: str, days: tuple[date, date] | None, errors: list[LivehouseError]
) -> str | None:
    """Tell the receiver at LIVEHOUSE_ALERT_WEBHOOK, if there is one, that a run failed.

    Posts `{"text": …}`, which Slack and what is compatible with it take. Returns a line that says why the receiver could not
    be told (never its address, which is a secret); None when it was, or there is none.
    """
    if settings.alert_webhook is None:
        return None
    span = f" of {days[0]} to {days[1]}" if days else ""
    faults = "\n".join(f"• {error}" for error in errors)[:_LONGEST_FAULTS]
    text = (
        f"livehouse: {job}{span} failed (run {run_id[:8]})\n{faults}\n"
        f"What was landed stays. To go on: `{how_to_go_on(job, days)}`; `livehouse ui` shows the run."
    )
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # Slack reads <…> as links and mentions
        text = text.replace(sign, escaped)
    try:
        for attempt in stamina.retry_context(on=_may_pass, attempts=_ATTEMPTS, timeout=_TIMEOUT_SECONDS * _ATTEMPTS):
            with attempt:
                httpx.post(
                    settings.alert_webhook.get_secret_value(), json={"text": text}, timeout=_TIMEOUT_SECONDS
                ).raise_for_status()
    except httpx.HTTPStatusError as error:
        return f"LIVEHOUSE_ALERT_WEBHOOK was not told of the failure: it answered {error.response.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"LIVEHOUSE_ALERT_WEBHOOK was not told of the failure: {type(error).__name__}"
    return None


def _may_pass(error: Exception) -> bool:
    """Whether posting again can help: a receiver that is away, busy or broken."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in {408, 429} or error.response.is_server_error
    return isinstance(error, httpx.TransportError)
