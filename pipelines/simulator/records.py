"""What a world is made of. Times are milliseconds since 1970 (UTC): small, for millions of sessions."""

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
"""Figures of a session until the service knows them, and how long that takes ("40 to 50 seconds")."""

AUDIENCE_WAVE_SECONDS = 1_800.0
AUDIENCE_WAVE = 0.4


def round_seconds(seconds: float, rounding: Rounding) -> float:
    """Return seconds as the totals of the service have them."""
    if rounding == "down":
        return float(math.floor(seconds))
    if rounding == "up":
        return float(math.ceil(seconds))
    return float(math.floor(seconds + 0.5)) if rounding == "nearest" else seconds


def to_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970 of a moment; one without a time zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(milliseconds=1)


def to_datetime(ms: int) -> datetime:
    """Return the same moment as an aware UTC datetime, exact to the millisecond."""
    return EPOCH + timedelta(milliseconds=ms)


def to_day(ms: int) -> date:
    """UTC date of a moment."""
    return to_datetime(ms).date()


def day_start(day: date) -> int:
    """Midnight UTC of a day, in milliseconds."""
    return (day - EPOCH.date()).days * DAY_MS


@dataclass(slots=True)
class Session:
    """One time that a livestream ran (or tried to)."""

    id: str
    livestream_id: str
    created_ms: int | None
    invoked_ms: int | None = None
    started_ms: int | None = None
    stopped_ms: int | None = None
    updated_ms: int | None = None
    ingest_seconds: float | None = 0.0
    """Seconds the stream was fed in; of a session on the air with an audience, see `figures`."""
    viewer_seconds: float | None = 0.0
    """Seconds watched, summed over viewers."""
    err_message: str | None = None
    audience: float | None = None
    """Viewers on average while on the air: the figures then grow with the clock. None: they stand still."""

    @property
    def reference_ms(self) -> int:
        """What decides its day: created_at, else invoked_at, else started_at."""
        for moment in (self.created_ms, self.invoked_ms, self.started_ms):
            if moment is not None:
                return moment
        raise ValueError(f"session {self.id} has no time at all")

    @property
    def is_live(self) -> bool:
        """Started, not stopped, no error."""
        return self.started_ms is not None and self.stopped_ms is None and self.err_message is None

    @property
    def is_open(self) -> bool:
        """Invoked or live: neither ended nor failed."""
        return self.stopped_ms is None and self.err_message is None

    def measures_at(self, now_ms: int, *, placeholders: bool = False) -> tuple[float | None, float | None]:
        """Ingest and viewer seconds as of now; the audience swells and ebbs but the sums never go back.

        placeholders: in its first seconds on the air a session has 60 and 60, whatever is true.
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
        """Stop (or fail) it now: its figures stand still from here on."""
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
    """updated_ms does not move with the sessions."""
    sessions: list[Session] = field(default_factory=list)

    def touch(self, ms: int) -> None:
        """Move updated_at, never back, unless the clock is stale."""
        if not self.stale_clock:
            self.updated_ms = max(self.updated_ms, ms)

    @property
    def open_session(self) -> Session | None:
        """The session that is invoked or live now."""
        return next((session for session in reversed(self.sessions) if session.is_open), None)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a day had: how many sessions (or recordings), and their minutes together."""

    count: int
    minutes: float


def _timestamp(session: Session) -> int:
    return session.reference_ms


def _age(livestream: Livestream) -> tuple[int, str]:
    return livestream.created_ms, livestream.id


@dataclass(slots=True)
class App:
    """One app: its livestreams (oldest first), all its sessions in order of time, and its days."""

    id: str
    livestreams: list[Livestream] = field(default_factory=list)
    by_id: dict[str, Livestream] = field(default_factory=dict)
    timeline: list[Session] = field(default_factory=list)
    meetings: set[str] = field(default_factory=set)
    meeting_days: dict[date, Usage] = field(default_factory=dict)
    recording_days: dict[date, Usage] = field(default_factory=dict)
    _sessions_by_id: dict[str, Session] | None = None

    def add(self, livestream: Livestream) -> None:
        """Take in one livestream with its sessions."""
        bisect.insort(self.livestreams, livestream, key=_age)
        self.by_id[livestream.id] = livestream
        if livestream.meeting_id is not None:
            self.meetings.add(livestream.meeting_id)
        for session in livestream.sessions:
            self._take(session)

    def add_all(self, livestreams: Iterable[Livestream]) -> None:
        """Take in many at once: sorted once, not once each."""
        for livestream in livestreams:
            self.livestreams.append(livestream)
            self.by_id[livestream.id] = livestream
            self.timeline.extend(livestream.sessions)
            if livestream.meeting_id is not None:
                self.meetings.add(livestream.meeting_id)
        self.livestreams.sort(key=_age)
        self.timeline.sort(key=_timestamp)
        self._sessions_by_id = None

    def add_session(self, session: Session) -> None:
        """Give a livestream of this app one more session."""
        bisect.insort(self.by_id[session.livestream_id].sessions, session, key=_timestamp)
        self._take(session)

    def _take(self, session: Session) -> None:
        bisect.insort(self.timeline, session, key=_timestamp)
        if self._sessions_by_id is not None:
            self._sessions_by_id[session.id] = session

    def remove(self, livestream: Livestream) -> None:
        """Forget a livestream and its sessions."""
        self.livestreams.remove(self.by_id.pop(livestream.id))
        gone = {session.id for session in livestream.sessions}
        self._keep([session for session in self.timeline if session.id not in gone])

    def remove_sessions(self, gone: set[str]) -> None:
        """Forget these sessions."""
        for livestream in self.livestreams:
            livestream.sessions = [session for session in livestream.sessions if session.id not in gone]
        self._keep([session for session in self.timeline if session.id not in gone])

    def _keep(self, timeline: list[Session]) -> None:
        self.timeline = timeline
        self._sessions_by_id = None

    def session(self, session_id: str) -> Session | None:
        """One session by its id; the index is made at the first question."""
        if self._sessions_by_id is None:
            self._sessions_by_id = {session.id: session for session in self.timeline}
        return self._sessions_by_id.get(session_id)

    def sessions_between(self, first_ms: int, last_ms: int) -> list[Session]:
        """Sessions whose moment lies in [first_ms, last_ms], oldest first."""
        first = bisect.bisect_left(self.timeline, first_ms, key=_timestamp)
        last = bisect.bisect_right(self.timeline, last_ms, key=_timestamp)
        return self.timeline[first:last]
