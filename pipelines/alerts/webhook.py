"""Post messages to the alert webhook: the only place that does. Nothing here raises an error that could fail a run.

Two formats: Slack's `{"text": …}`, and JSON with the message's own fields. With LIVEHOUSE_ALERT_SECRET set, the header
`Livehouse-Signature: t=UNIX_SECONDS,v1=HEX` carries the HMAC-SHA256 of `UNIX_SECONDS.BODY`. The address and the secret never enter
a message or an error.
"""

import hmac
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.settings.settings import Settings
from pipelines.text import printable
from pipelines.transport.delivery import deliver

_ZERO_WIDTH_SPACE = "\N{ZERO WIDTH SPACE}"

LONGEST_TEXT = 3_000
"""Characters of a message. Slack cuts texts above 4,000 into several messages; escaping may lengthen a text."""


@dataclass(frozen=True)
class Message:
    """A message: its text, and the fields that the JSON format adds. `id` is the same if the message is posted again."""

    kind: str
    id: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)


def post_message(settings: Settings, message: Message) -> str | None:
    """Post a message to LIVEHOUSE_ALERT_WEBHOOK, if that is set. Return one line with the reason if it was not accepted."""
    if settings.alert_webhook is None:
        return None
    content = _build_body(settings, message)

    def build_headers() -> dict[str, str]:
        headers = {"Content-Type": "application/json"}
        if settings.alert_secret is not None:
            signature = sign(settings.alert_secret.get_secret_value(), round(time.time()), content)
            headers["Livehouse-Signature"] = signature
        return headers

    fault = deliver("POST", settings.alert_webhook.get_secret_value(), content, build_headers)
    return fault and f"could not post to LIVEHOUSE_ALERT_WEBHOOK: {fault}"


def fit_lines(lines: Sequence[str], remainder: str) -> str:
    """Join lines. If they exceed `LONGEST_TEXT`, the last one is the number of those left out, followed by `remainder`."""
    length = 0
    for number, line in enumerate(lines):
        length += len(line) + 1
        if length > LONGEST_TEXT:
            return "\n".join([*lines[:number], f"… and {len(lines) - number} more{remainder}"])
    return "\n".join(lines)


def neutralize_markup(text: str) -> str:
    """Return text from outside on one line, with mentions and links broken, which chat programs recognize even in a code block."""
    text = (
        printable(text).replace("`", "'").replace("@", f"@{_ZERO_WIDTH_SPACE}").replace("](", f"]{_ZERO_WIDTH_SPACE}(")
    )
    text = re.sub(r"(?i)(?<![^\W_])(https?|ftp|mailto|slack|tel|sms|www)([:.])", rf"\1{_ZERO_WIDTH_SPACE}\2", text)
    return re.sub(r"(?<=\w)://", f"{_ZERO_WIDTH_SPACE}://", text)  # schemes of other programs


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """Return the signature header of a body."""
    digest = hmac.digest(secret.encode(), f"{timestamp}.".encode() + body, "sha256").hex()
    return f"t={timestamp},v1={digest}"


def _build_body(settings: Settings, message: Message) -> bytes:
    if settings.alert_format == "json":
        body = {"id": message.id, "type": message.kind, "text": message.text, **message.fields}
        return json.dumps(body, allow_nan=False).encode()
    text = message.text
    for sign_, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # Slack reads <…> as links and mentions
        text = text.replace(sign_, escaped)
    return json.dumps({"text": text}).encode()
