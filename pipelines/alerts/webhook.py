"""Post messages to the alert webhook: the only place that does. Nothing here raises an error that could fail a run.

Two formats: Slack's `{"text": …}`, and JSON with the message's own fields. With LIVEHOUSE_ALERT_SECRET set, the header
`Livehouse-Signature: t=UNIX_SECONDS,v1=HEX` carries the HMAC-SHA256 of `UNIX_SECONDS.BODY`. The address and the secret never enter
a message or an error.
"""

import hmac
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.settings.settings import Settings
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


def neutralize_markup(text: str) -> str:
    """Break mentions and links, which chat programs recognize even inside a code block; a reader sees no difference."""
    text = text.replace("`", "'").replace("@", f"@{_ZERO_WIDTH_SPACE}").replace("](", f"]{_ZERO_WIDTH_SPACE}(")
    return re.sub(r"(?i)\b(https?|ftp|mailto|slack|tel|www)([:.])", rf"\1{_ZERO_WIDTH_SPACE}\2", text)


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
