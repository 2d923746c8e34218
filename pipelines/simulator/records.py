"""The records of a world. Times are milliseconds since 1970 (UTC), which keeps millions of sessions small."""

import bisect
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal

Rounding = Literal["none", "down", "up", "nearest"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_MS = 86_400_000
UPDATED_BEFORE_CREATED_MS = 16
"""A livestream's updated_at was seen this long *before* the created_at of the session that caused it."""
PLACEHOLDER_SECONDS, PLACEHOLDER_MS = 60.0, 45_000
"""Placeholder measures of a new session, and how long the service returns them ("40 to 50 seconds")."""

AUDIENCE_WAVE_SECONDS = 1_800.0
AUDIENCE_WAVE = 0.4


def round_seconds(seconds: float, rounding: Rounding) -> float:
    """Return seconds rounded as in the totals of the service."""
    if rounding == "down":
        return float(math.floor(seconds))
    if rounding == "up":
        return float(math.ceil(seconds))
    return float(math.floor(seconds + 0.5)) if rounding == "nearest" else seconds


def to_ms(moment: datetime) -> int:
    """Return whole milliseconds since 1970; a time without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(milliseconds=1)


def to_datetime(ms: int) -> datetime:
    """Return an aware UTC datetime, exact to the millisecond."""
    return EPOCH + timedelta(milliseconds=ms)


def to_day(ms: int) -> date:
    """Return the UTC date."""
    return to_datetime(ms).date()


def day_start(day: date) -> int:
    """Return midnight UTC of a day, in milliseconds."""
    return (day - EPOCH.date()).days * DAY_MS


@dataclass(slots=True)
class Session:
    """One broadcast of a livestream, or a failed attempt."""

    id: str
    livestream_id: str
    created_ms: int | None
    invoked_ms: int | None = None
    started_ms: int | None = None
    stopped_ms: int | None = None
    updated_ms: int | None = None
    ingest_seconds: float | None = 0.0
    """Seconds of received stream; for a live session with an audience see `measures_at`."""
    viewer_seconds: float | None = 0.0
    """Watched seconds, summed over viewers."""
    err_message: str | None = None
    audience: float | None = None
    """Average number of viewers while live: the measures grow with the clock. None: they are constant."""

    @property
    def reference_ms(self) -> int:
        """The time that decides the day of the session: created_at, else invoked_at, else started_at."""
        for moment in (self.created_ms, self.invoked_ms, self.started_ms):
            if moment is not None:
                return moment
        raise ValueError(f"session {self.id} has no time")

    @property
    def is_live(self) -> bool:
        """Whether the session has started, has not stopped, and has no error."""
        return self.started_ms is not None and self.stopped_ms is None and self.err_message is None

    @property
    def is_open(self) -> bool:
        """Whether the session is invoked or live: neither ended nor failed."""
        return self.stopped_ms is None and self.err_message is None

    def measures_at(self, now_ms: int, *, placeholders: bool = False) -> tuple[float | None, float | None]:
        """Return ingest and viewer seconds; the audience varies, but the totals never decrease.

        placeholders: return 60 and 60 in the first seconds of a live session, as the service does.
        """
        if not self.is_live or self.started_ms is None:
            return self.ingest_seconds, self.viewer_seconds
        if placeholders and now_ms - self.started_ms < PLACEHOLDER_MS:
            return PLACEHOLDER_SECONDS, PLACEHOLDER_SECONDS
        if self.audience is None:
            return self.ingest_seconds, self.viewer_seconds
        ingest = max(0, now_ms - self.started_ms) / 1000
        turn = 2 * math.pi / AUDIENCE_WAVE_SECONDS
        return ingest, self.audience * (ingest - AUDIENCE_WAVE * math.sin(turn * ingest) / turn)

    def end(self, now_ms: int, err_message: str | None = None) -> None:
        """Stop the session (or fail it, with a message): its measures no longer change."""
        self.ingest_seconds, self.viewer_seconds = self.measures_at(now_ms)
        self.stopped_ms = self.updated_ms = now_ms
        self.err_message = err_message


@dataclass(slots=True)
class Livestream:
    """A livestream and its sessions, oldest first."""

    id: str
    app_id: str
    name: str | None
    meeting_id: str | None
    created_ms: int
    updated_ms: int
    status: str
    disabled: bool
    ingest_server: str
    playback_url: str
    stream_key: str
    stale_clock: bool = False
    """updated_ms does not change with the sessions."""
    sessions: list[Session] = field(default_factory=list)

    def touch(self, ms: int) -> None:
        """Advance updated_at, never back, unless the clock is stale."""
        if not self.stale_clock:
            self.updated_ms = max(self.updated_ms, ms)

    @property
    def open_session(self) -> Session | None:
        """The session that is invoked or live now."""
        return next((session for session in reversed(self.sessions) if session.is_open), None)


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage of a day: the number of meeting sessions (or recordings) and their total minutes."""

    count: int
    minutes: float


def _reference_ms(session: Session) -> int:
    return session.reference_ms


def _creation_order(livestream: Livestream) -> tuple[int, str]:
    return livestream.created_ms, livestream.id


@dataclass(slots=True)
class App:
    """One app: its livestreams (oldest first), all its sessions by time, and its daily usage."""

    id: str
    livestreams: list[Livestream] = field(default_factory=list)
    by_id: dict[str, Livestream] = field(default_factory=dict)
    timeline: list[Session] = field(default_factory=list)
    meetings: set[str] = field(default_factory=set)
    meeting_days: dict[date, Usage] = field(default_factory=dict)
    recording_days: dict[date, Usage] = field(default_factory=dict)
    _sessions_by_id: dict[str, Session] | None = None

    def add(self, livestream: Livestream) -> None:
        """Add one livestream with its sessions."""
        bisect.insort(self.livestreams, livestream, key=_creation_order)
        self.by_id[livestream.id] = livestream
        if livestream.meeting_id is not None:
            self.meetings.add(livestream.meeting_id)
        for session in livestream.sessions:
            self._add_to_timeline(session)

    def add_all(self, livestreams: Iterable[Livestream]) -> None:
        """Add many livestreams and sort once."""
        for livestream in livestreams:
            self.livestreams.append(livestream)
            self.by_id[livestream.id] = livestream
            self.timeline.extend(livestream.sessions)
            if livestream.meeting_id is not None:
                self.meetings.add(livestream.meeting_id)
        self.livestreams.sort(key=_creation_order)
        self.timeline.sort(key=_reference_ms)
        self._sessions_by_id = None

    def add_session(self, session: Session) -> None:
        """Add a session to its livestream."""
        bisect.insort(self.by_id[session.livestream_id].sessions, session, key=_reference_ms)
        self._add_to_timeline(session)

    def _add_to_timeline(self, session: Session) -> None:
        bisect.insort(self.timeline, session, key=_reference_ms)
        if self._sessions_by_id is not None:
            self._sessions_by_id[session.id] = session

    def remove(self, livestream: Livestream) -> None:
        """Delete a livestream and its sessions."""
        self.livestreams.remove(self.by_id.pop(livestream.id))
        gone = {session.id for session in livestream.sessions}
        self._set_timeline([session for session in self.timeline if session.id not in gone])

    def remove_sessions(self, gone: set[str]) -> None:
        """Delete these sessions."""
        for livestream in self.livestreams:
            livestream.sessions = [session for session in livestream.sessions if session.id not in gone]
        self._set_timeline([session for session in self.timeline if session.id not in gone])

    def _set_timeline(self, timeline: list[Session]) -> None:
        self.timeline = timeline
        self._sessions_by_id = None

    def session(self, session_id: str) -> Session | None:
        """Return a session by its id; the index is built at the first call."""
        if self._sessions_by_id is None:
            self._sessions_by_id = {session.id: session for session in self.timeline}
        return self._sessions_by_id.get(session_id)

    def sessions_between(self, first_ms: int, last_ms: int) -> list[Session]:
        """Return the sessions whose reference time is in [first_ms, last_ms], oldest first."""
        first = bisect.bisect_left(self.timeline, first_ms, key=_reference_ms)
        last = bisect.bisect_right(self.timeline, last_ms, key=_reference_ms)
        return self.timeline[first:last]
