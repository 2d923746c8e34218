"""The morning digest: the figures of a day against the same weekday before, what is unusual, and how complete they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from typing import Any

import duckdb

from pipelines.alerts.incidents import Incident
from pipelines.alerts.metrics import format_number
from pipelines.alerts.webhook import Message, fit_lines, neutralize_markup

_FIGURES = {
    "viewer_hours": ("viewer hours", "viewer_seconds / 3600"),
    "stream_hours": ("stream hours", "ingest_seconds / 3600"),
    "sessions": ("sessions", "sessions"),
    "failed_sessions": ("failed sessions", "failed_sessions"),
}
_APPS_SHOWN, _LINES_SHOWN, _LONGEST_LINE = 8, 5, 200


@dataclass(frozen=True)
class DayFigures:
    """The figures of one or several apps on a day; None is unknown. `is_final`: none of them can change any more."""

    figures: dict[str, float | None]
    is_final: bool


@dataclass(frozen=True)
class Digest:
    """Everything that a digest reports."""

    day: date
    now: dict[str, DayFigures]
    """The figures of the day, by app."""
    before: dict[str, DayFigures]
    """Those of the same weekday of the week before."""
    incidents: Sequence[Incident]
    findings: Sequence[str]
    report_url: str | None


def read_day(connection: duckdb.DuckDBPyConnection, apps: Sequence[str], day: date) -> dict[str, DayFigures]:
    """Return the figures of a day by app. An app of which the day is not loaded has unknown figures."""
    columns = ", ".join(f"{expression} AS {name}" for name, (_, expression) in _FIGURES.items())
    query = f"SELECT app_id, is_settled, {columns} FROM marts.daily_usage WHERE day = $day"
    found = {
        app_id: DayFigures(dict(zip(_FIGURES, figures, strict=True)), bool(is_settled))
        for app_id, is_settled, *figures in connection.execute(query, {"day": day}).fetchall()
    }
    unknown = DayFigures(dict.fromkeys(_FIGURES), is_final=False)
    return {app_id: found.get(app_id, unknown) for app_id in apps}


def sum_apps(by_app: dict[str, DayFigures]) -> DayFigures:
    """Return the sums over apps: unknown if one of them is, final if all of them are."""
    sums: dict[str, float | None] = {}
    for name in _FIGURES:
        values = [one.figures[name] for one in by_app.values()]
        known = [value for value in values if value is not None]
        total = sum(known)
        sums[name] = total if len(known) == len(values) and math.isfinite(total) else None
    return DayFigures(sums, all(one.is_final for one in by_app.values()))


def build_message(digest: Digest) -> Message:
    """Return the digest as a message. Its id is the same for the same day and apps."""
    now, before = sum_apps(digest.now), sum_apps(digest.before)
    state = "final" if now.is_final else "provisional, these figures will change"
    lines = [f"livehouse: {digest.day:%A} {digest.day} ({state})", _describe_figures(now, before, digest.day)]
    if len(digest.now) > 1:
        lines += [
            f"• {app_id}: {_describe_figures(figures, digest.before[app_id], digest.day)}"
            for app_id, figures in list(digest.now.items())[:_APPS_SHOWN]
        ]
    if (left_out := len(digest.now) - _APPS_SHOWN) > 0:
        lines.append(f"• … and {left_out} more app{'s' * (left_out > 1)}")
    lines += _describe_completeness(digest)
    lines += _count_and_list("open incident", [incident.text for incident in digest.incidents])
    lines += _count_and_list("finding", digest.findings)
    text = fit_lines([neutralize_markup(line) for line in lines], " lines")
    if digest.report_url:
        text += f"\nReport: {digest.report_url}"
    apps = sha256(",".join(digest.now).encode()).hexdigest()[:8]
    return Message("digest", f"digest-{digest.day}-{apps}", text, _build_fields(digest, now, before))


def _describe_figures(now: DayFigures, before: DayFigures, day: date) -> str:
    """Return the figures in words; with the change only if both days are final: a part of a day is no drop."""
    is_comparable = now.is_final and before.is_final
    parts = []
    for name, (label, _) in _FIGURES.items():
        value, earlier = now.figures[name], before.figures[name]
        shown = "unknown" if value is None else format_number(value)
        change = ""
        if is_comparable and value is not None and earlier:
            change = f" ({(value / earlier - 1) * 100:+.0f} %)"
        parts.append(f"{label} {shown}{change}")
    compared = f"; changes against {day - timedelta(weeks=1)}" if is_comparable else ""
    return ", ".join(parts) + compared


def _describe_completeness(digest: Digest) -> list[str]:
    waiting = [app_id for app_id, figures in digest.now.items() if not figures.is_final]
    if not waiting:
        return ["Complete: the sessions of every app are known and final."]
    return [f"Not final yet: {', '.join(waiting[:_LINES_SHOWN])}{' …' if len(waiting) > _LINES_SHOWN else ''}"]


def _count_and_list(what: str, lines: Sequence[str]) -> list[str]:
    """Return a heading with the number of lines, and the first of them."""
    if not lines:
        return [f"No {what}."]
    more = [f"  … and {len(lines) - _LINES_SHOWN} more"] if len(lines) > _LINES_SHOWN else []
    return [
        f"{len(lines)} {what}{'s' * (len(lines) > 1)}:",
        *(f"  {line[:_LONGEST_LINE]}" for line in lines[:_LINES_SHOWN]),
        *more,
    ]


def _build_fields(digest: Digest, now: DayFigures, before: DayFigures) -> dict[str, Any]:
    return {
        "day": f"{digest.day}",
        "is_final": now.is_final,
        "figures": now.figures,
        "week_before": before.figures if before.is_final else None,
        "apps": {app_id: {**one.figures, "is_final": one.is_final} for app_id, one in digest.now.items()},
        "open_incidents": [incident.incident_id for incident in digest.incidents],
        "findings": [neutralize_markup(line) for line in digest.findings],
        "report_url": digest.report_url,
    }
