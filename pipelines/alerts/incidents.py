"""Open, extend and close incidents from the readings of a rule.

An incident covers consecutive days in violation of a rule, or a current state. It closes when a later day is not in violation
(over), or when its own days no longer are, because their figures changed (corrected). Days without a reading change nothing.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from hashlib import sha256
from itertools import groupby

from pipelines.alerts.evaluation import Key, Reading
from pipelines.alerts.metrics import METRICS, format_number
from pipelines.alerts.rules import Rule

OVER, CORRECTED, RULE_REMOVED, APP_REMOVED = "over", "corrected", "rule_removed", "app_removed"
NOTIFIED_CLOSINGS = (OVER, CORRECTED)
"""The ways of closing that are posted. A removed rule or app says nothing about figures."""


@dataclass(frozen=True)
class Incident:
    """A row of ops.incidents; by default one that is open, and not posted."""

    incident_id: str
    rule: str
    app_id: str | None
    scope: str | None
    first_day: date | None
    last_day: date | None
    opened_at: datetime
    closed_at: datetime | None = None
    closing: str | None = None
    first_value: float | None = None
    last_value: float | None = None
    threshold: float | None = None
    open_posted_at: datetime | None = None
    close_posted_at: datetime | None = None
    text: str = ""

    @property
    def key(self) -> Key:
        """The app and livestream that it is about."""
        return self.app_id, self.scope

    def covers(self, day: date) -> bool:
        """Return whether a day is one of its days."""
        return self.first_day is not None and self.last_day is not None and self.first_day <= day <= self.last_day


def update_incidents(
    known: Collection[Incident], rule: Rule, readings: Iterable[Reading], *, recent: date, now: datetime
) -> list[Incident]:
    """Return the incidents of a rule that are new or changed. Only violations from the day `recent` on open one.

    `known`: its open incidents, and the closed ones that cover recent days.
    """
    changed = []
    by_key = groupby(sorted(readings, key=_sort_key), key=lambda reading: (reading.app_id, reading.scope))
    for key, group in by_key:
        mine = [incident for incident in known if incident.key == key]
        changed += _update_key(mine, rule, list(group), recent=recent, now=now)
    return changed


def close_incidents(incidents: Iterable[Incident], closing: str, now: datetime) -> list[Incident]:
    """Return incidents as closed for a reason other than their figures."""
    return [replace(incident, closed_at=now, closing=closing) for incident in incidents]


def _sort_key(reading: Reading) -> tuple[bool, str, bool, str, date]:
    app_id, scope = reading.app_id, reading.scope
    return app_id is None, app_id or "", scope is None, scope or "", reading.day or date.min


def _update_key(
    known: Sequence[Incident], rule: Rule, readings: Sequence[Reading], *, recent: date, now: datetime
) -> list[Incident]:
    current = next((incident for incident in known if incident.closed_at is None), None)
    covering = [incident for incident in known if incident.closing == OVER]
    if current is None:
        changed, current = _walk(None, rule, readings, covering, recent=recent, now=now)
        return [*changed, *([current] if current else [])]
    before = current
    current, begun = _review(current, rule, readings, now)
    # Days before it may have settled only now.
    earlier = [one for one in readings if one.day and before.first_day and one.day < before.first_day]
    changed, adjoining = _walk(None, rule, earlier, covering, recent=recent, now=now)
    if adjoining:
        joined = replace(current, first_day=adjoining.first_day, first_value=adjoining.first_value)
        current = replace(joined, text=describe(rule, joined)) if current.closed_at is None else current
    if current.closed_at is not None:
        changed.append(current)
        covering += [current] * (current.closing == OVER)
        current = None
    later = [one for one in readings if one.day is None or one.day >= begun]
    closed, current = _walk(current, rule, later, covering, recent=recent, now=now)
    changed += closed
    if current is not None and current != before:
        changed.append(current)
    return changed


def _walk(
    current: Incident | None,
    rule: Rule,
    readings: Sequence[Reading],
    covering: Collection[Incident],
    *,
    recent: date,
    now: datetime,
) -> tuple[list[Incident], Incident | None]:
    """Open, extend and close incidents, reading by reading. Return the closed ones, and the one that is open at the end."""
    closed = []
    for reading in readings:
        if current is not None and not reading.is_violation:
            closed.append(_close(current, rule, reading, OVER, now))
            current = None
        elif current is not None:
            current = _extend(current, rule, reading)
        elif reading.is_violation and _can_open(reading, covering, recent):
            current = _open(rule, reading, now)
    return closed, current


def _review(incident: Incident, rule: Rule, readings: Sequence[Reading], now: datetime) -> tuple[Incident, date]:
    """Return an open incident as its own days are now, and the first day that may continue or end it."""
    if incident.first_day is None or incident.last_day is None:
        return incident, date.min
    own = [reading for reading in readings if reading.day is not None and incident.covers(reading.day)]
    bad = [reading for reading in own if reading.is_violation]
    judged = {reading.day for reading in own}
    if not bad:
        if not {incident.first_day, incident.last_day} <= judged:
            return incident, _day_after(incident.last_day)
        return _close(incident, rule, own[-1], CORRECTED, now), _day_after(incident.last_day)
    last = bad[-1]
    if last.day != incident.last_day and incident.last_day not in judged:  # nothing is known of its last day
        return incident, _day_after(incident.last_day)
    return _extend(incident, rule, last), _day_after(last.day)


def _day_after(day: date | None) -> date:
    return date.fromordinal(day.toordinal() + 1) if day else date.min


def _can_open(reading: Reading, covering: Collection[Incident], recent: date) -> bool:
    if reading.day is None:
        return reading.can_open
    return reading.day >= recent and not any(incident.covers(reading.day) for incident in covering)


def _open(rule: Rule, reading: Reading, now: datetime) -> Incident:
    name = "|".join(map(str, (rule.name, reading.app_id, reading.scope, reading.day, now)))
    incident = Incident(
        incident_id=sha256(name.encode()).hexdigest()[:12],
        rule=rule.name,
        app_id=reading.app_id,
        scope=reading.scope,
        first_day=reading.day,
        last_day=reading.day,
        opened_at=now,
        first_value=reading.value,
    )
    return _extend(incident, rule, reading)


def _extend(incident: Incident, rule: Rule, reading: Reading) -> Incident:
    extended = replace(
        incident,
        first_day=incident.first_day or reading.day,
        last_day=reading.day or incident.last_day,
        last_value=reading.value,
        threshold=reading.threshold,
    )
    return replace(extended, text=describe(rule, extended))


def _close(incident: Incident, rule: Rule, reading: Reading, closing: str, now: datetime) -> Incident:
    at = f" on {reading.day}" if reading.day else " now"
    value = "no longer in violation" if reading.value is None else format_value(rule, reading.value)
    reason = "the figures were corrected" if closing == CORRECTED else "it is over"
    text = f"{describe(rule, incident)}; {reason}: {value}{at}"
    return replace(incident, closed_at=now, closing=closing, text=text)


def describe(rule: Rule, incident: Incident) -> str:
    """Return an incident in words: the figure, the threshold, the days, the app."""
    metric = METRICS[rule.metric] if rule.metric else None
    parts = [metric.label if metric else rule.name]
    if incident.last_value is not None:
        parts.append(format_value(rule, incident.last_value))
    if incident.threshold is not None:
        side = "below" if rule.below is not None else "above" if rule.above is not None else "threshold"
        parts.append(f"({side} {format_value(rule, incident.threshold)}{_describe_median(rule)})")
    if incident.first_day:
        days = incident.first_day == incident.last_day
        parts.append(f"on {incident.first_day}" if days else f"from {incident.first_day} to {incident.last_day}")
    parts.append(f"in app {incident.app_id}" if incident.app_id is not None else "in the account")
    if incident.scope is not None:
        parts.append(f"({incident.scope})")
    return " ".join(parts)


def _describe_median(rule: Rule) -> str:
    if rule.median_of_weekdays is None:
        return ""
    return f", {rule.limit:g} times the median of {rule.median_of_weekdays} same weekdays"


def format_value(rule: Rule, value: float) -> str:
    """Return a value in the unit of the rule's metric."""
    return METRICS[rule.metric].format_value(value) if rule.metric else format_number(value)
