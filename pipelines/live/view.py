"""The streams on air by the last poll, and their average viewers: what `livehouse on-air` shows. Sends no request."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipelines.clock import utc_now
from pipelines.live.observations import ENDED, FAILED, MAX_GAP, PLACEHOLDER_SECONDS
from pipelines.live.staging import open_staging
from pipelines.live.steps import STAGING_RETENTION
from pipelines.settings.settings import Settings

_MAX_PENDING = timedelta(minutes=2)
"""A session without figures for longer has none: that is another matter than placeholders."""


@dataclass(frozen=True)
class OnAirStream:
    """One stream on air. The fields are keys of `on-air --json`, so their names stay."""

    app_id: str
    livestream_id: str
    name: str | None
    status: str | None
    session_id: str
    started_at: datetime | None
    observed_at: datetime
    ingest_seconds: float | None
    viewer_seconds: float | None
    average_viewers: float | None
    """Average viewers since the poll before; None if unknown."""
    over_seconds: float | None
    """Seconds that the average covers."""
    trend: list[float | None]
    """Averages of all polls of the last two hours, oldest first, including the current one."""
    stands_still: bool
    """The stream is live, and its figures are those of the poll before."""
    is_pending: bool = False
    """The API does not know the figures yet: in the first minute of a session it gives placeholders."""


@dataclass(frozen=True)
class AppPoll:
    """The last poll of an app: a row of ops.looks. The fields are keys of `on-air --json`, so their names stay."""

    app_id: str
    looked_at: datetime | None
    tried_at: datetime
    said: str | None  # public name


@dataclass(frozen=True)
class LiveSnapshot:
    """The streams on air by the last poll of each app."""

    apps: list[AppPoll]
    streams: list[OnAirStream]


def read_snapshot(settings: Settings, *, now: datetime | None = None) -> LiveSnapshot:
    """Return the streams that the last poll of each app found on air, the most watched first."""
    with open_staging(settings) as staging:
        polls = staging.read_polls().to_dicts()
        rows = staging.read_observations_since((now or utc_now()) - STAGING_RETENTION).to_dicts()
    apps = [AppPoll(**poll) for poll in polls if poll["app_id"] in settings.app_ids]
    history: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        history.setdefault(row["session_id"], []).append(row)
    last_polls = {app.app_id: app.looked_at for app in apps}
    current = [
        row
        for row in rows
        if row["looked_at"] == last_polls.get(row["app_id"]) and row["status"] not in (ENDED, FAILED)
    ]
    streams = [_describe_stream(row, history[row["session_id"]]) for row in current]
    streams.sort(key=lambda one: (-(one.average_viewers or 0.0), -(one.viewer_seconds or 0.0), one.livestream_id))
    return LiveSnapshot(apps, streams)


def _describe_stream(row: dict[str, Any], history: Sequence[dict[str, Any]]) -> OnAirStream:
    averages = average_viewers([(one["observed_at"], one["ingest_seconds"], one["viewer_seconds"]) for one in history])
    before = history[-2] if len(history) > 1 else None
    figures = ("ingest_seconds", "viewer_seconds")
    is_unchanged = before is not None and all(before[name] == row[name] is not None for name in figures)
    is_new = row["started_at"] is None or row["observed_at"] - row["started_at"] < _MAX_PENDING
    return OnAirStream(
        **{name: row[name] for name in ("app_id", "livestream_id", "name", "status", "session_id", "started_at")},
        **{name: row[name] for name in ("observed_at", "ingest_seconds", "viewer_seconds")},
        average_viewers=averages[-1][0],
        over_seconds=averages[-1][1],
        trend=[average for average, _ in averages],
        stands_still=is_unchanged and (row["status"] or "").upper() == "LIVE",
        is_pending=is_new and all(row[name] is None for name in figures),
    )


def average_viewers(
    observations: Sequence[tuple[datetime, float | None, float | None]],
) -> list[tuple[float | None, float | None]]:
    """Return, for each observation of a session, the average viewers since the one before and the seconds it covers.

    `observations` are (observed_at, ingest_seconds, viewer_seconds), oldest first. The average is Δ viewer seconds ÷ Δ time,
    and None if unknown. It is never negative. Where viewer seconds fall, the feed was restarted if its ingest seconds fit
    into the time since, and the average covers those; otherwise the reply is an outdated one, and is skipped. Figures that
    follow placeholders (60 and 60) count as the first ones.

    marts.live_audience applies the same rules in SQL, by minute, to merged observations; these are not merged yet. Unlike the
    mart it has no limit for gaps: an average over a longer time is exact too, and `over_seconds` names the time.
    """
    averages: list[tuple[float | None, float | None]] = []
    before: tuple[datetime, float] | None = None
    was_placeholder = False
    for moment, ingest, viewed in observations:
        average: tuple[float | None, float | None] = (None, None)
        if viewed is not None:
            if was_placeholder and before and viewed < before[1]:
                before = None
            was_placeholder = ingest == viewed == PLACEHOLDER_SECONDS
            since = (moment - before[0]).total_seconds() if before else MAX_GAP.total_seconds()
            if before and viewed >= before[1]:
                average = ((viewed - before[1]) / since, since) if since > 0 else average
            elif ingest is not None and ingest <= since:
                average = (viewed / ingest, ingest) if ingest > 0 else average
            if before is None or average[0] is not None:
                before = (moment, viewed)
        averages.append(average)
    return averages
