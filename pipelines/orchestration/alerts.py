"""Post a failed run to the alert webhook. Nothing here imports Dagster or fails a run."""

import json
import re
import time
from base64 import b64encode
from datetime import date
from http import HTTPStatus

import httpx

from pipelines.errors import LivehouseError
from pipelines.orchestration.run_errors import build_resume_command
from pipelines.settings.settings import Settings
from pipelines.transport.exchange import Connections, ExchangeError

_ATTEMPTS, _TIMEOUT_SECONDS, _MAX_ERROR_CHARACTERS = 3, 10.0, 1_600
_RETRIED_STATUSES = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
_ZERO_WIDTH_SPACE = "\N{ZERO WIDTH SPACE}"


def post_failure(
    settings: Settings,
    job: str,
    run_id: str,
    days: tuple[date, date] | None,
    errors: list[LivehouseError],
    *,
    is_retried: bool = False,
) -> str | None:
    """Post to LIVEHOUSE_ALERT_WEBHOOK, if that is set, that a run failed.

    Posts `{"text": …}`, the format of Slack and of services compatible with it. Returns one line with the reason if that
    was not possible (never the address, which is a secret), else None. Never raises: the run's own errors come first.
    `is_retried`: Dagster starts the run again.
    """
    if settings.alert_webhook is None:
        return None
    try:
        text = _describe_failure(job, run_id, days, errors, is_retried=is_retried)
        fault = _post(settings.alert_webhook.get_secret_value(), text)
    except LivehouseError as error:  # a proxy or certificates in the environment
        fault = str(error)
    except (ValueError, httpx.InvalidURL):
        fault = "the address is malformed"
    return fault and f"could not post to LIVEHOUSE_ALERT_WEBHOOK: {fault}"


def _describe_failure(
    job: str, run_id: str, days: tuple[date, date] | None, errors: list[LivehouseError], *, is_retried: bool
) -> str:
    """Return the message. Quoted errors come from outside, and must not mention people, link, or format anything."""
    if job.startswith("__"):
        job = "a run of assets"  # a name that Dagster made up
    span = f" of {days[0]} to {days[1]}" if days else ""
    lines = "\n".join(f"• {_neutralize_markup(str(error))}" for error in errors)[:_MAX_ERROR_CHARACTERS]
    remedy = "The run is started again" if is_retried else f"To resume: `{build_resume_command(job, days)}`"
    text = (
        f"livehouse: {job}{span} failed (run {run_id[:8]})\n```\n{lines}\n```\n"
        f"Landed data is kept. {remedy}; `livehouse ui` shows the run."
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
