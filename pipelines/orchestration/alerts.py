"""What a failed run says, in lines, and who is told. Nothing here imports Dagster or fails a run."""

import json
import re
import time
from base64 import b64encode
from collections.abc import Iterable
from datetime import date
from http import HTTPStatus
from typing import Any

import httpx

from pipelines.errors import LivehouseError, SettingsError, UsageError, cause_in_surroundings
from pipelines.settings.settings import Settings
from pipelines.transport.exchange import Connections, ExchangeError

_ATTEMPTS, _TIMEOUT_SECONDS, _LONGEST_FAULTS = 3, 10.0, 1_600
_RETRIED = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_NOTHING = "\N{ZERO WIDTH SPACE}"


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
    if cause := cause_in_surroundings(said):
        return RunFailedError(cause)
    return RunFailedError(f"a fault of livehouse itself: {' '.join(said.split())[:300]} (see `livehouse ui`)")


def how_to_go_on(job: str, days: tuple[date, date] | None) -> str:
    """Return the command that does a failed job's work again. A job that Dagster named itself loads days as a backfill does."""
    if days is None:
        return "livehouse on-air" if job == "observe" else "livehouse nightly"
    if job == "nightly":
        return f"livehouse nightly --date {days[1]}"
    return f"livehouse {job if job == 'rebuild' else 'backfill'} {days[0]} {days[1]}"


def post_failure(
    settings: Settings, job: str, run_id: str, days: tuple[date, date] | None, errors: list[LivehouseError]
) -> str | None:
    """Post to LIVEHOUSE_ALERT_WEBHOOK, if that is set, that a run failed.

    Posts `{"text": …}`, which Slack and what is compatible with it take. Returns a line that says why that was not possible
    (never the address, which is a secret), else None. Never raises: the run's own errors come first.
    """
    if settings.alert_webhook is None:
        return None
    try:
        fault = _post(settings.alert_webhook.get_secret_value(), _describe_failure(job, run_id, days, errors))
    except LivehouseError as error:  # a proxy or certificates in the environment
        fault = str(error)
    except (ValueError, httpx.InvalidURL):
        fault = "the address is malformed"
    return fault and f"could not post to LIVEHOUSE_ALERT_WEBHOOK: {fault}"


def _describe_failure(job: str, run_id: str, days: tuple[date, date] | None, errors: list[LivehouseError]) -> str:
    """Write the message. What it quotes comes from outside, and must not call people, link, or format anything."""
    if job.startswith("__"):
        job = "a run of assets"  # Dagster's own name, which nobody has chosen
    span = f" of {days[0]} to {days[1]}" if days else ""
    faults = "\n".join(f"• {_inert(str(error))}" for error in errors)[:_LONGEST_FAULTS]
    text = (
        f"livehouse: {job}{span} failed (run {run_id[:8]})\n```\n{faults}\n```\n"
        f"What was landed stays. To go on: `{how_to_go_on(job, days)}`; `livehouse ui` shows the run."
    )
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # Slack reads <…> as links and mentions
        text = text.replace(sign, escaped)
    return text


def _inert(text: str) -> str:
    """Break what chat programs turn into mentions and links, also inside a block of code; a reader sees no difference."""
    text = text.replace("`", "'").replace("@", f"@{_NOTHING}").replace("](", f"]{_NOTHING}(")
    return re.sub(r"(?i)\b(https?|ftp|mailto|slack|tel|www)([:.])", rf"\1{_NOTHING}\2", text)


def _post(address: str, text: str) -> str | None:
    """Post, again where that may help; return what went wrong in the end."""
    url, content = httpx.URL(address), json.dumps({"text": text}).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "livehouse", "Accept": "*/*"}
    if url.userinfo:
        headers["Authorization"] = f"Basic {b64encode(f'{url.username}:{url.password}'.encode()).decode()}"
    connections = Connections(url, max_connections=1, max_body_bytes=0)
    fault: str | None = None
    try:
        for attempt in range(_ATTEMPTS):
            time.sleep(attempt)
            try:
                status = connections.send(
                    "POST", url, headers, content, seconds=_TIMEOUT_SECONDS, reads_body=False
                ).status
            except ExchangeError as error:
                fault = error.failure
                continue
            if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                return None
            fault = f"HTTP {status}"
            if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _RETRIED:
                return fault
    finally:
        connections.close()
    return fault
