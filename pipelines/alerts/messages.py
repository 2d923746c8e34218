"""The message about incidents that opened or closed. Names in it come from outside: they mention nobody and link nowhere."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from pipelines.alerts.incidents import NOTIFIED_CLOSINGS, Incident
from pipelines.alerts.rules import Rule
from pipelines.alerts.webhook import Message, fit_lines, neutralize_markup

_LONGEST_LINE = 1_200


@dataclass(frozen=True)
class Notice:
    """An incident of which something is to be posted."""

    incident: Incident
    is_new: bool
    """Whether its opening was not posted yet."""
    is_closed: bool


def list_notices(incidents: Collection[Incident], recent: datetime) -> list[Notice]:
    """Return what is to be posted: each opening and each closing once.

    An opening from before `recent` was not posted because there was no webhook then: it is too old to alert on.
    """
    notices = []
    for incident in incidents:
        is_new = incident.open_posted_at is None and incident.opened_at >= recent
        is_closed = incident.closing in NOTIFIED_CLOSINGS and incident.close_posted_at is None
        if incident.closing is not None and not is_closed:
            continue
        if is_new or (is_closed and incident.open_posted_at is not None):
            notices.append(Notice(incident, is_new, is_closed))
    return notices


def build_message(notices: Sequence[Notice], rules: Mapping[str, Rule]) -> Message:
    """Return one message about all of them. Its id is the same if the same notices are posted again."""
    lines = [_describe(notice, rules) for notice in notices]
    opened = sum(not notice.is_closed for notice in notices)
    head = f"livehouse: {opened} new incident{'s' * (opened != 1)}, {len(notices) - opened} closed"
    text = fit_lines([head, *lines], ": `livehouse alerts` lists them")
    entries = [entry for notice in notices for entry in _list_entries(notice, rules)]
    ids = "|".join(f"{entry['id']} {entry['event']}" for entry in entries)
    return Message("incidents", f"incidents-{sha256(ids.encode()).hexdigest()[:12]}", text, {"incidents": entries})


def _describe(notice: Notice, rules: Mapping[str, Rule]) -> str:
    incident = notice.incident
    state = "opened" if not notice.is_closed else "opened and closed" if notice.is_new else "closed"
    why = f". {rules[incident.rule].why}" if notice.is_new and incident.rule in rules else ""
    text = neutralize_markup(f"{state}: {incident.rule}: {incident.text}{why}")
    return f"• {text[:_LONGEST_LINE]} [{incident.incident_id}]"


def _list_entries(notice: Notice, rules: Mapping[str, Rule]) -> list[dict[str, Any]]:
    """Return the events of a notice for programs: opened, closed, or both."""
    incident = notice.incident
    entry = {
        "id": incident.incident_id,
        "rule": incident.rule,
        "why": rules[incident.rule].why if incident.rule in rules else None,
        "app_id": incident.app_id,
        "scope": incident.scope,
        "first_day": incident.first_day and f"{incident.first_day}",
        "last_day": incident.last_day and f"{incident.last_day}",
        "value": incident.last_value,
        "threshold": incident.threshold,
        "opened_at": f"{incident.opened_at.isoformat(timespec='seconds')}Z",
        "closed_at": incident.closed_at and f"{incident.closed_at.isoformat(timespec='seconds')}Z",
        "closing": incident.closing,
        "text": neutralize_markup(incident.text),
    }
    events = ["opened"] * notice.is_new + ["closed"] * notice.is_closed
    return [{"event": event, **entry} for event in events]
