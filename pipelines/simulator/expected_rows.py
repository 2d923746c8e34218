"""The rows that a warehouse of this world must hold, computed from typed values and not from rendered JSON."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import NamedTuple

from pipelines.simulator.records import (
    DAY_MS,
    App,
    Livestream,
    Rounding,
    Session,
    Usage,
    day_start,
    round_seconds,
    to_datetime,
    to_day,
)

Row = dict[str, object]
"""Columns of the contract without the pipeline's own (fetched_at, first_seen_at, last_seen_at)."""


@dataclass(frozen=True, slots=True)
class MeasureRules:
    """How the service computes measures at a time: whether it has placeholders, and how it rounds totals."""

    now_ms: int
    placeholders: bool
    rounding: Rounding

    def measures_of(self, session: Session) -> tuple[float | None, float | None]:
        """Return ingest and viewer seconds of a session."""
        return session.measures_at(self.now_ms, placeholders=self.placeholders)


class Totals(NamedTuple):
    """Totals of sessions."""

    livestreams: int
    sessions: int
    ingest_seconds: float
    viewer_seconds: float


@dataclass(frozen=True, slots=True)
class ExpectedRows:
    """The rows of each core table, by (app_id, livestream_id), (app_id, session_id) or (app_id, day)."""

    livestreams: dict[tuple[str, str], Row] = field(default_factory=dict)
    """Every livestream of the app except broken ones, independent of the range."""
    livestream_sessions: dict[tuple[str, str], Row] = field(default_factory=dict)
    """Sessions whose day is in the range, except broken ones."""
    livestream_analytics_daily: dict[tuple[str, date], Row] = field(default_factory=dict)
    """Totals of the sessions *created* that day, including broken ones: the service counts what it renders badly.
    Reconciliation therefore shows a difference on the day of a broken session."""
    meeting_sessions_daily: dict[tuple[str, date], Row] = field(default_factory=dict)
    recordings_daily: dict[tuple[str, date], Row] = field(default_factory=dict)
    session_counts: dict[tuple[str, date], int] = field(default_factory=dict)
    """Number of sessions created that day, as in *livestreams/daywise*; zero on a day without sessions."""
    quarantined: set[tuple[str, str]] = field(default_factory=set)
    """(table, record id): every broken livestream, and the broken sessions whose real day is in the range."""

    def tables(self) -> dict[str, dict[tuple[str, str], Row] | dict[tuple[str, date], Row]]:
        """Return the rows by the table's full name."""
        return {
            "core.livestreams": self.livestreams,
            "core.livestream_sessions": self.livestream_sessions,
            "core.livestream_analytics_daily": self.livestream_analytics_daily,
            "core.meeting_sessions_daily": self.meeting_sessions_daily,
            "core.recordings_daily": self.recordings_daily,
        }


def expected_rows_for(
    app: App, broken: set[str], days: tuple[date, date], *, rules: MeasureRules, retention_days: int
) -> ExpectedRows:
    """Return the expected rows of one app from first to last day, inclusive."""
    (first, last), expected = days, ExpectedRows()
    for livestream in app.livestreams:
        if livestream.id in broken:
            expected.quarantined.add(("core.livestreams", livestream.id))
        else:
            expected.livestreams[app.id, livestream.id] = livestream_row(livestream)
    for session in app.sessions_between(day_start(first), day_start(last) + DAY_MS - 1):
        if session.id in broken:
            expected.quarantined.add(("core.livestream_sessions", session.id))
        else:
            expected.livestream_sessions[app.id, session.id] = session_row(app.id, session, rules)
    retention_start = to_day(rules.now_ms) - timedelta(days=retention_days)
    for day in days_between(first, last):
        key = (app.id, day)
        totals = sum_sessions(app, day_start(day), day_start(day) + DAY_MS - 1, rules)
        expected.session_counts[key] = totals.sessions
        if day >= retention_start or any(totals):
            expected.livestream_analytics_daily[key] = {
                "app_id": app.id,
                "day": day,
                "livestream_count": totals.livestreams,
                "ingest_seconds": totals.ingest_seconds,
                "viewer_seconds": totals.viewer_seconds,
            }
        _add_usage(
            expected.meeting_sessions_daily, "session", key, app.meeting_days.get(day), known=day >= retention_start
        )
        _add_usage(
            expected.recordings_daily, "recording", key, app.recording_days.get(day), known=day >= retention_start
        )
    return expected


def sum_sessions(app: App, first_ms: int, last_ms: int, rules: MeasureRules) -> Totals:
    """Return the totals of sessions created in [first_ms, last_ms], and the number of their livestreams."""
    created = [session for session in app.sessions_between(first_ms, last_ms) if session.created_ms is not None]
    figures = [rules.measures_of(session) for session in created]
    ingest = math.fsum(seconds for seconds, _ in figures if seconds is not None)
    viewed = math.fsum(seconds for _, seconds in figures if seconds is not None)
    return Totals(
        livestreams=len({session.livestream_id for session in created}),
        sessions=len(created),
        ingest_seconds=round_seconds(ingest, rules.rounding),
        viewer_seconds=round_seconds(viewed, rules.rounding),
    )


def days_between(first: date, last: date) -> Iterator[date]:
    """Yield every day from first to last, inclusive."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def livestream_row(livestream: Livestream) -> Row:
    """Return a row of core.livestreams."""
    return {
        "app_id": livestream.app_id,
        "livestream_id": livestream.id,
        "name": livestream.name,
        "status": livestream.status,
        "is_disabled": livestream.disabled,
        "meeting_id": livestream.meeting_id,
        "ingest_server": livestream.ingest_server,
        "playback_url": livestream.playback_url,
        "created_at": _naive(livestream.created_ms),
        "updated_at": _naive(livestream.updated_ms),
    }


def session_row(app_id: str, session: Session, rules: MeasureRules) -> Row:
    """Return a row of core.livestream_sessions."""
    ingest_seconds, viewer_seconds = rules.measures_of(session)
    return {
        "app_id": app_id,
        "session_id": session.id,
        "day": to_day(session.reference_ms),
        "livestream_id": session.livestream_id,
        "created_at": _naive(session.created_ms),
        "invoked_at": _naive(session.invoked_ms),
        "started_at": _naive(session.started_ms),
        "stopped_at": _naive(session.stopped_ms),
        "updated_at": _naive(session.updated_ms),
        "ingest_seconds": ingest_seconds,
        "viewer_seconds": viewer_seconds,
        "err_message": session.err_message,
        "is_live": session.is_live,
    }


def _naive(ms: int | None) -> datetime | None:
    return None if ms is None else to_datetime(ms).replace(tzinfo=None)


def _add_usage(
    table: dict[tuple[str, date], Row], what: str, key: tuple[str, date], usage: Usage | None, *, known: bool
) -> None:
    """Add the row of a day: without activity, zeros within the retention period and no row before."""
    if usage is None and not known:
        return
    count, minutes = (usage.count, usage.minutes) if usage else (0, 0.0)
    table[key] = {"app_id": key[0], "day": key[1], f"{what}_count": count, f"{what}_minutes": minutes}
