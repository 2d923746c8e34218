"""The state behind the API: apps, livestreams, sessions, daily usage, and a clock."""

import random
import time
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from threading import RLock
from typing import Self

from pipelines.simulator.expected_rows import ExpectedRows, MeasureRules, expected_rows_for
from pipelines.simulator.records import (
    UPDATED_BEFORE_CREATED_MS,
    App,
    Livestream,
    Rounding,
    Session,
    Usage,
    day_start,
    to_datetime,
    to_ms,
)
from pipelines.simulator.seed import AppPlan, broken_records, new_id, new_livestream, seeded_app
from pipelines.simulator.value_styles import BrokenField, Json, ValueStyle

START_DELAY_MS = 3_000
"""A livestream goes live this long after its start, by the world's clock."""


class World:
    """Several apps and a clock that moves on `advance` or after `start_clock`. Hold `lock` for a consistent view."""

    def __init__(
        self,
        *,
        now: datetime,
        seed: int = 0,
        values: ValueStyle = "mixed",
        rounding: Rounding = "none",
        placeholders: bool = False,
    ) -> None:
        """Start without apps.

        values: format of measures, see value_styles.py. rounding: of totals, to whole seconds. placeholders: sessions
        have 60 and 60 seconds at first.
        """
        self.rounding, self.placeholders = rounding, placeholders
        self.apps: dict[str, App] = {}
        self.values: ValueStyle = values
        self.broken: dict[str, BrokenField] = {}
        self.deleted_ids: set[str] = set()
        self.lock = RLock()
        self._rng = random.Random(f"{seed}/world")
        self._now_ms = to_ms(now)
        self._speed = 0.0
        self._since = 0.0
        self._starting: list[tuple[int, Livestream, Session]] = []

    @classmethod
    def seeded(
        cls,
        seed: int,
        *,
        apps: Sequence[str],
        livestreams: int,
        days: int,
        now: datetime,
        sessions: int | None = None,
        on_air: int | None = None,
        stale_clocks: bool = False,
        broken: bool = True,
        values: ValueStyle = "mixed",
        rounding: Rounding = "none",
        placeholders: bool = False,
    ) -> Self:
        """Return a realistic world, the same for the same arguments.

        Each app has `livestreams`, finished `sessions` within the last `days` (6 per livestream by default), and
        `on_air` live sessions (by default one livestream in 40, at least two).
        `stale_clocks`: the updated_at of some livestreams does not change with their sessions.
        `broken`: three sessions and one livestream of each app have an invalid field.
        """
        world = cls(now=now, seed=seed, values=values, rounding=rounding, placeholders=placeholders)
        plan = AppPlan(
            livestreams=livestreams,
            sessions=6 * livestreams if sessions is None else sessions,
            days=days,
            now_ms=world.now_ms,
            on_air=max(2, livestreams // 40) if on_air is None else on_air,
            stale_clocks=stale_clocks,
        )
        for app_id in apps:
            world.apps[app_id] = seeded_app(app_id, random.Random(f"{seed}/{app_id}"), plan)
            if broken:
                world.broken |= broken_records(world.apps[app_id])
        return world

    @property
    def now_ms(self) -> int:
        """The world's time in milliseconds since 1970."""
        if not self._speed:
            return self._now_ms
        return self._now_ms + int((time.monotonic() - self._since) * 1000 * self._speed)

    @property
    def measure_rules(self) -> MeasureRules:
        """The rules for measures at the current time."""
        return MeasureRules(self.now_ms, self.placeholders, self.rounding)

    @property
    def now(self) -> datetime:
        """The world's time (aware, UTC). Assign to change it."""
        return to_datetime(self.now_ms)

    @now.setter
    def now(self, moment: datetime) -> None:
        with self.lock:
            self._now_ms = to_ms(moment)
            self._since = time.monotonic()
            self.apply_due_events()

    def advance(self, delta: timedelta) -> None:
        """Advance the clock: live sessions grow, invoked ones go live."""
        self.now += delta

    def start_clock(self, speed: float = 1.0) -> None:
        """Run the clock at `speed` times real time; 0 stops it."""
        with self.lock:
            self._now_ms, self._since, self._speed = self.now_ms, time.monotonic(), speed

    def apply_due_events(self) -> None:
        """Apply the events that are due: invoked sessions go live."""
        with self.lock:
            now = self.now_ms
            due = [item for item in self._starting if item[0] <= now]
            self._starting = [item for item in self._starting if item[0] > now]
            for at, livestream, session in due:
                if session.is_open and session.started_ms is None:
                    session.started_ms = session.updated_ms = at
                    livestream.status = "LIVE"
                    livestream.touch(at)

    def add_app(self, app_id: str, meetings: Iterable[str] = ()) -> App:
        """Add an empty app with these meetings."""
        with self.lock:
            return self.apps.setdefault(app_id, App(id=app_id, meetings=set(meetings)))

    def add_livestream(
        self,
        app_id: str,
        *,
        name: str | None = None,
        meeting_id: str | None = None,
        created_at: datetime | None = None,
        status: str = "IDLE",
    ) -> Livestream:
        """Add a livestream, created now by default, with or without a meeting."""
        with self.lock:
            created_ms = self.now_ms if created_at is None else to_ms(created_at)
            livestream = new_livestream(self._rng, app_id, name, meeting_id, created_ms)
            livestream.status = status
            self.apps[app_id].add(livestream)
            return livestream

    def add_session(
        self,
        app_id: str,
        livestream_id: str,
        *,
        created_at: datetime,
        ingest_seconds: float | None = 0.0,
        viewer_seconds: float | None = 0.0,
        err_message: str | None = None,
    ) -> Session:
        """Add a finished session with these measures; this advances its livestream's updated_at."""
        with self.lock:
            created = to_ms(created_at)
            stopped = created + int((ingest_seconds or 0.0) * 1000)
            session = Session(new_id(self._rng), livestream_id, created, None, created, stopped, stopped)
            session.ingest_seconds, session.viewer_seconds = ingest_seconds, viewer_seconds
            session.err_message = err_message
            app = self.apps[app_id]
            app.add_session(session)
            app.by_id[livestream_id].touch(created - UPDATED_BEFORE_CREATED_MS)
            return session

    def invoke(self, app_id: str, livestream_id: str, *, audience: float = 10.0) -> Session:
        """Invoke a livestream: INVOKED now, LIVE three seconds later, with `audience` viewers on average."""
        with self.lock:
            app, now = self.apps[app_id], self.now_ms
            livestream = app.by_id[livestream_id]
            session = Session(new_id(self._rng), livestream_id, now + UPDATED_BEFORE_CREATED_MS, now)
            session.updated_ms, session.audience = session.created_ms, audience
            livestream.status = "INVOKED"
            livestream.touch(now)
            app.add_session(session)
            self._starting.append((now + START_DELAY_MS, livestream, session))
            return session

    def go_live(self, app_id: str, livestream_id: str, *, audience: float = 10.0) -> Session:
        """Make a livestream live at once."""
        with self.lock:
            livestream = self.apps[app_id].by_id[livestream_id]
            session = livestream.open_session or self.invoke(app_id, livestream_id, audience=audience)
            session.started_ms = session.updated_ms = self.now_ms
            livestream.status = "LIVE"
            return session

    def end_session(self, app_id: str, livestream_id: str, *, err_message: str | None = None) -> Session | None:
        """End the open session of a livestream, as a failure if there is a message. Return None if there is no session."""
        with self.lock:
            livestream = self.apps[app_id].by_id[livestream_id]
            session = livestream.open_session
            if session is not None:
                session.end(self.now_ms, err_message)
                livestream.status = "ERRORED" if err_message else "IDLE"
                livestream.touch(self.now_ms)
            return session

    def set_day(
        self, app_id: str, day: date, *, meetings: Usage | None = None, recordings: Usage | None = None
    ) -> None:
        """Set the usage of a day; None means no activity."""
        with self.lock:
            app = self.apps[app_id]
            for days, usage in ((app.meeting_days, meetings), (app.recording_days, recordings)):
                days.pop(day, None)
                if usage is not None:
                    days[day] = usage

    def change_session(
        self, app_id: str, session_id: str, *, ingest_seconds: float | None, viewer_seconds: float | None
    ) -> Session:
        """Change the measures of a session; this advances its updated_at and that of its livestream."""
        with self.lock:
            app = self.apps[app_id]
            session = app.session(session_id)
            if session is None:
                raise KeyError(session_id)
            session.ingest_seconds, session.viewer_seconds = ingest_seconds, viewer_seconds
            session.audience = None
            session.updated_ms = self.now_ms
            app.by_id[session.livestream_id].touch(self.now_ms)
            return session

    def delete_livestream(self, app_id: str, livestream_id: str) -> None:
        """Delete a livestream and its sessions: 404 from now on."""
        with self.lock:
            livestream = self.apps[app_id].by_id[livestream_id]
            self.deleted_ids.update((livestream_id, *(session.id for session in livestream.sessions)))
            self.apps[app_id].remove(livestream)

    def delete_sessions(self, app_id: str, session_ids: Iterable[str]) -> None:
        """Delete sessions; their livestreams stay."""
        with self.lock:
            deleted = set(session_ids)
            self.deleted_ids |= deleted
            self.apps[app_id].remove_sessions(deleted)

    def expire_before(self, app_id: str, day: date) -> None:
        """Delete sessions and usage of the days before this one, as retention does."""
        with self.lock:
            app = self.apps[app_id]
            self.delete_sessions(app_id, [session.id for session in app.sessions_between(0, day_start(day) - 1)])
            app.meeting_days = {at: usage for at, usage in app.meeting_days.items() if at >= day}
            app.recording_days = {at: usage for at, usage in app.recording_days.items() if at >= day}

    def break_record(self, record_id: str, field: str, raw: Json) -> None:
        """Render this field of a livestream or session as the invalid value `raw`."""
        self.broken[record_id] = BrokenField(field, raw)

    def repair_record(self, record_id: str) -> None:
        """Render the record correctly again."""
        self.broken.pop(record_id, None)

    def stream_keys(self) -> set[str]:
        """Return every stream key: none of them may leave the process."""
        with self.lock:
            return {livestream.stream_key for app in self.apps.values() for livestream in app.livestreams}

    def expected_rows(self, app_id: str, first_day: date, last_day: date, *, retention_days: int = 180) -> ExpectedRows:
        """Return the rows that a warehouse must hold for this app and days (inclusive), at the world's time."""
        with self.lock:
            self.apply_due_events()
            return expected_rows_for(
                self.apps[app_id],
                set(self.broken),
                (first_day, last_day),
                rules=self.measure_rules,
                retention_days=retention_days,
            )
