"""Who is on air by what was last seen, and how many watch: what `livehouse on-air` shows. Sends no request."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pipelines.clock import utc_now
from pipelines.live import staging as live
from pipelines.live.parse import ENDED, FAILED, PLACEHOLDER_SECONDS
from pipelines.live.steps import KEPT_FOR_ON_AIR
from pipelines.settings.settings import Settings
from pipelines.storage.warehouse import open_warehouse

_HEAD_SECONDS = 300.0
"""A session first seen later than so after its start tells nothing of its beginning: as in marts.live_audience."""

_PENDING = timedelta(minutes=2)
"""A session without figures for longer has none: that is another matter than placeholders."""


@dataclass(frozen=True)
class OnAir:
    """One stream on air."""

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
    """Viewers on average since the look before; None where that is unknown."""
    over_seconds: float | None
    """Time that average is over."""
    trend: list[float | None]
    """The averages of the looks before, oldest first, that one last."""
    stands_still: bool
    """It is live, and the API says the same as at the look before."""
    is_pending: bool = False
    """Its figures are not known yet: in a session's first minute the API gives placeholders."""


@dataclass(frozen=True)
class AppLook:
    """When an app was last looked at, and what was said."""

    app_id: str
    looked_at: datetime | None
    tried_at: datetime
    said: str | None


@dataclass(frozen=True)
class Present:
    """What is known of the present."""

    apps: list[AppLook]
    streams: list[OnAir]


def read_present(settings: Settings, *, now: datetime | None = None) -> Present:
    """Read what the last looks saw, the most watched first."""
    warehouse = open_warehouse(settings)
    warehouse.prepare()
    with live.open_live(warehouse) as connection:
        looks = live.read_looks(connection).to_dicts()
        rows = live.read_since(connection, (now or utc_now()) - KEPT_FOR_ON_AIR).to_dicts()
    apps = [AppLook(**look) for look in looks if look["app_id"] in settings.app_ids]
    history: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        history.setdefault(row["session_id"], []).append(row)
    looked_at = {app.app_id: app.looked_at for app in apps}
    last = [
        row for row in rows if row["looked_at"] == looked_at.get(row["app_id"]) and row["status"] not in (ENDED, FAILED)
    ]
    streams = [_on_air(row, history[row["session_id"]]) for row in last]
    streams.sort(key=lambda one: (-(one.average_viewers or 0.0), -(one.viewer_seconds or 0.0), one.livestream_id))
    return Present(apps, streams)


def _on_air(row: dict[str, Any], history: Sequence[dict[str, Any]]) -> OnAir:
    averages = averages_of([(seen["observed_at"], seen["ingest_seconds"], seen["viewer_seconds"]) for seen in history])
    before = history[-2] if len(history) > 1 else None
    figures = ("ingest_seconds", "viewer_seconds")
    same = before is not None and all(before[name] == row[name] is not None for name in figures)
    is_new = row["started_at"] is None or row["observed_at"] - row["started_at"] < _PENDING
    return OnAir(
        **{name: row[name] for name in ("app_id", "livestream_id", "name", "status", "session_id", "started_at")},
        **{name: row[name] for name in ("observed_at", "ingest_seconds", "viewer_seconds")},
        average_viewers=averages[-1][0],
        over_seconds=averages[-1][1],
        trend=[average for average, _ in averages],
        stands_still=same and (row["status"] or "").upper() == "LIVE",
        is_pending=is_new and all(row[name] is None for name in figures),
    )


def averages_of(
    seen: Sequence[tuple[datetime, float | None, float | None]],
) -> list[tuple[float | None, float | None]]:
    """Average viewers before each observation of a session (when, seconds fed in, seconds watched), and over how long.

    Δ viewer seconds ÷ Δ time. Never negative: where viewer seconds go back, the feed started anew if its seconds
    fed in fit into the time since, and is averaged over them; else the answer is an older one, and tells nothing. After
    placeholders (60 and 60) any figure is the first one.
    """
    averages: list[tuple[float | None, float | None]] = []
    before: tuple[datetime, float] | None = None
    was_placeholder = False
    for moment, ingest, viewed in seen:
        average: tuple[float | None, float | None] = (None, None)
        if viewed is not None:
            if was_placeholder and before and viewed < before[1]:
                before = None
            was_placeholder = ingest == viewed == PLACEHOLDER_SECONDS
            since = (moment - before[0]).total_seconds() if before else _HEAD_SECONDS
            if before and viewed >= before[1]:
                average = ((viewed - before[1]) / since, since) if since > 0 else average
            elif ingest is not None and ingest <= since:
                average = (viewed / ingest, ingest) if ingest > 0 else average
            if before is None or average[0] is not None:
                before = (moment, viewed)
        averages.append(average)
    return averages
