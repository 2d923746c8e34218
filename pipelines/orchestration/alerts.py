"""Turn the events of a failed run into one-line errors, and post them to the alert webhook.

Nothing here imports Dagster or fails a run.
"""

import json
import re
import time
from base64 import b64encode
from collections.abc import Iterable
from datetime import date
from http import HTTPStatus
from typing import Any

import httpx

from pipelines.errors import LivehouseError, SettingsError, UsageError, find_machine_cause
from pipelines.settings.settings import Settings
from pipelines.transport.exchange import Connections, ExchangeError

_ATTEMPTS, _TIMEOUT_SECONDS, _MAX_ERROR_CHARACTERS = 3, 10.0, 1_600
_RETRIED_STATUSES = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_ZERO_WIDTH_SPACE = "\N{ZERO WIDTH SPACE}"


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
            found.append(_describe_root_cause(data.error))
    distinct = {str(error): error for error in found}
    known = [error for error in distinct.values() if "caused the run" not in str(error)]
    return known or [RunFailedError("the run failed; its page in `livehouse ui` shows the reason")]


def _describe_root_cause(error: Any) -> LivehouseError:  # noqa: ANN401 - Dagster's SerializableErrorInfo
    while error.cause:
        error = error.cause
    message = error.message.strip()
    name, _, text = message.partition(": ")
    if name.endswith("DagsterExecutionInterruptedError"):
        return RunStoppedError("stopped; landed data is kept: run the same command again to resume")
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
    return RunFailedError(f"a fault of livehouse itself: {' '.join(message.split())[:300]} (see `livehouse ui`)")


def build_resume_command(job: str, days: tuple[date, date] | None) -> str:
    """Return the command that repeats a failed job. A job that Dagster itself named loads days as a backfill does."""
    if days is None:
        return "livehouse on-air" if job == "observe" else "livehouse nightly"
    if job == "nightly":
        return f"livehouse nightly --date {days[1]}"
    return f"livehouse {job if job == 'rebuild' else 'backfill'} {days[0]} {days[1]}"


def post_failure(
    settings: Settings, job: str, run_id: str, days: tuple[date, date] | None, errors: list[LivehouseError]
) -> str | None:
    """Post to LIVEHOUSE_ALERT_WEBHOOK, if that is set, that a run failed.

    Posts `{"text": …}`, the format of Slack and of services compatible with it. Returns one line with the reason if that
    was not possible (never the address, which is a secret), else None. Never raises: the run's own errors come first.
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
    """Return the message. Quoted errors come from outside, and must not mention people, link, or format anything."""
    if job.startswith("__"):
        job = "a run of assets"  # a name that Dagster made up
    span = f" of {days[0]} to {days[1]}" if days else ""
    lines = "\n".join(f"• {_neutralize_markup(str(error))}" for error in errors)[:_MAX_ERROR_CHARACTERS]
    text = (
        f"livehouse: {job}{span} failed (run {run_id[:8]})\n```\n{lines}\n```\n"
        f"Landed data is kept. To resume: `{build_resume_command(job, days)}`; `livehouse ui` shows the run."
    )
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # Slack reads <…> as links and mentions
        text = text.replace(sign, escaped)
    return text


def _neutralize_markup(text: str) -> str:
    """Break mentions and links, which chat programs recognize even inside a code block; a reader sees no difference."""
    text = text.replace("`", "'").replace("@", f"@{_ZERO_WIDTH_SPACE}").replace("](", f"]{_ZERO_WIDTH_SPACE}(")
    return re.sub(r"(?i)\b(https?|ftp|mailto|slack|tel|www)([:.])", rf"\1{_ZERO_WIDTH_SPACE}\2", text)


def _post(address: str, text: str) -> str | None:
    """Post, with retries where they may help; return the last failure, or None."""
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
                    "POST", url.raw_path, headers, content, seconds=_TIMEOUT_SECONDS, reads_body=False
                ).status
            except ExchangeError as error:
                fault = error.failure
                continue
            if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                return None
            fault = f"HTTP {status}"
            if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _RETRIED_STATUSES:
                return fault
    finally:
        connections.close()
    return fault
