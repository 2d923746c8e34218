"""Builds a realistic app from a seed: weekday pattern, popular and unused livestreams, failures, live sessions, hostile names."""

# ruff: noqa: PLR2004  (each number is a share or size of the invented world, explained by its line)

import math
import random
from dataclasses import dataclass
from itertools import pairwise

from pipelines.simulator.records import (
    DAY_MS,
    UPDATED_BEFORE_CREATED_MS,
    App,
    Livestream,
    Session,
    Usage,
    to_datetime,
    to_day,
)
from pipelines.simulator.value_styles import BrokenField, Json

INGEST_SERVER = "rtmps://live.cloudflare.com:443/live/"
HOUR_MS = 3_600_000
HOURS = (1, 1, 1, 1, 1, 2, 3, 5, 8, 10, 10, 9, 8, 9, 10, 10, 9, 8, 8, 9, 9, 7, 4, 2)
WEEKDAYS = (1.0, 1.05, 1.1, 1.1, 0.95, 0.45, 0.35)

PLAIN_NAMES = (
    "Town hall",
    "Weekly meeting",
    "Product launch",
    "Chess open",
    "Morning yoga",
    "Lecture 7",
    "prdmmp-xhycsl",
)
HOSTILE_NAMES = (
    "Bühne 🎤 live — 100 %",
    "بث مباشر من القاهرة",
    "<img src=x onerror=alert(1)>",
    "\x1b[31mred\x1b[0m alert",
    "'; DROP TABLE livestreams; --",
    '=HYPERLINK("http://x.example","click")',
    "日本語の配信",
    "two\nlines",
    "2024",
    " ",
    "",
    "null",
    "x" * 300,
)
ERRORS_BEFORE_START = (
    "ingest connection timed out",
    "RTMP handshake failed: no data",
    "Stream-Key ungültig 🔑",
)
ERRORS_ON_AIR = ("encoder disconnected", "bitrate fell below 100 kbit/s", 'upstream sent "gone"; <b>410</b>')


@dataclass(frozen=True, slots=True)
class AppPlan:
    """The contents of a seeded app."""

    livestreams: int
    sessions: int
    days: int
    now_ms: int
    on_air: int
    stale_clocks: bool


def new_id(rng: random.Random) -> str:
    """Return a version 4 UUID, like the identifiers of the service."""
    digits = f"{rng.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def new_livestream(
    rng: random.Random, app_id: str, name: str | None, meeting_id: str | None, created_ms: int
) -> Livestream:
    """Return an idle livestream with its own key and URLs."""
    return Livestream(
        id=new_id(rng),
        app_id=app_id,
        name=name,
        meeting_id=meeting_id,
        created_ms=created_ms,
        updated_ms=created_ms,
        status="IDLE",
        disabled=False,
        ingest_server=INGEST_SERVER,
        playback_url=f"https://customer-s8oj0c1n5ek8ah1e.cloudflarestream.com/{rng.getrandbits(128):032x}/manifest/video.m3u8",
        stream_key=f"{rng.getrandbits(256):064x}",
    )


def seeded_app(app_id: str, rng: random.Random, plan: AppPlan) -> App:
    """Return an app that follows the plan, the same for the same random numbers."""
    livestreams = [_livestream(rng, app_id, number, plan) for number in range(plan.livestreams)]
    appeal = [0.0 if rng.random() < 0.06 else rng.paretovariate(1.4) for _ in livestreams]
    if livestreams and not any(appeal):
        appeal[0] = 1.0
    days = range(plan.days)
    midnight = plan.now_ms - plan.now_ms % DAY_MS
    busyness = [WEEKDAYS[to_day(midnight - day * DAY_MS).weekday()] * (1.2 - day / plan.days) for day in days]
    count = plan.sessions if livestreams else 0
    for livestream, day in zip(
        rng.choices(livestreams, appeal, k=count), rng.choices(days, busyness, k=count), strict=True
    ):
        hour = rng.choices(range(24), HOURS)[0]
        moment = midnight - day * DAY_MS + hour * HOUR_MS + rng.randrange(HOUR_MS)
        livestream.sessions.append(_session(rng, livestream, moment, plan.now_ms))
    for livestream in livestreams:
        _finish_livestream(rng, livestream)
    for livestream in rng.sample(livestreams, min(plan.on_air, len(livestreams))):
        _put_on_air(rng, livestream, plan.now_ms)
    app = App(id=app_id)
    app.add_all(livestreams)
    app.meetings.update(new_id(rng) for _ in range(5))
    _set_daily_usage(rng, app, plan, midnight)
    return app


def _livestream(rng: random.Random, app_id: str, number: int, plan: AppPlan) -> Livestream:
    """Return a livestream without sessions."""
    created = plan.now_ms - HOUR_MS - rng.randrange(plan.days * DAY_MS)
    name: str | None = None
    if rng.random() < 0.7:
        plain = f"{rng.choice(PLAIN_NAMES)} {rng.randrange(1, 400)}"
        name = HOSTILE_NAMES[number // 7 % len(HOSTILE_NAMES)] if number % 7 == 0 else plain
    livestream = new_livestream(rng, app_id, name, new_id(rng) if rng.random() < 0.55 else None, created)
    livestream.disabled = rng.random() < 0.04
    livestream.stale_clock = plan.stale_clocks and rng.random() < 0.4
    if livestream.disabled or rng.random() < 0.02:
        livestream.status = "OFFLINE"
    return livestream


def _session(rng: random.Random, livestream: Livestream, moment: int, now_ms: int) -> Session:
    """Return a finished session: most succeeded, some failed before or after going live."""
    length = min(int(rng.lognormvariate(7.6, 0.9) * 1000), 10 * HOUR_MS)
    if moment + length + HOUR_MS > now_ms:
        moment -= DAY_MS
    session = Session(id=new_id(rng), livestream_id=livestream.id, created_ms=moment)
    if livestream.meeting_id is None:
        session.started_ms = moment - rng.randrange(200, 1_900)
    else:
        session.invoked_ms = moment - rng.randrange(4, 40)
        session.started_ms = moment + rng.randrange(3_000, 25_000)
    fate = rng.random()
    if fate < 0.03:
        session.started_ms = None
        session.stopped_ms = moment + 30_000 if fate < 0.015 else None
        session.err_message = rng.choice(ERRORS_BEFORE_START)
        session.ingest_seconds = session.viewer_seconds = None if fate < 0.01 else 0.0
        session.updated_ms = moment + 30_000
        return session
    session.stopped_ms = session.updated_ms = session.started_ms + length
    if fate < 0.07:
        session.err_message = rng.choice(ERRORS_ON_AIR)
        session.stopped_ms = session.stopped_ms if fate < 0.05 else None
    whole = rng.random() < 0.3
    session.ingest_seconds = float(length // 1000) if whole else length / 1000
    watched = session.ingest_seconds * rng.lognormvariate(2.2, 1.1)
    session.viewer_seconds = float(round(watched)) if whole else watched
    return session


def _finish_livestream(rng: random.Random, livestream: Livestream) -> None:
    """Sort the sessions of a livestream, cut overlaps, and derive its own times and status."""
    livestream.sessions.sort(key=lambda session: session.reference_ms)
    for session, following in pairwise(livestream.sessions):
        latest = following.reference_ms - 5_000
        if session.started_ms is not None and session.stopped_ms is not None and session.stopped_ms > latest:
            session.started_ms = min(session.started_ms, latest)
            session.stopped_ms = session.updated_ms = latest
            session.ingest_seconds = (latest - session.started_ms) / 1000
            session.viewer_seconds = session.ingest_seconds * math.pi
    if not livestream.sessions:
        return
    first, last = livestream.sessions[0], livestream.sessions[-1]
    livestream.created_ms = first.reference_ms - rng.choice((50, 9_000, HOUR_MS, 3 * DAY_MS))
    livestream.updated_ms = livestream.created_ms
    livestream.touch((last.updated_ms or last.reference_ms) - UPDATED_BEFORE_CREATED_MS)
    if livestream.status != "OFFLINE":
        livestream.status = "ERRORED" if last.err_message else "IDLE"


def _put_on_air(rng: random.Random, livestream: Livestream, now_ms: int) -> None:
    """Add a session that is live now, or (one in four) invoked and not yet started."""
    over = max((session.updated_ms or session.reference_ms for session in livestream.sessions), default=0)
    begun = max(now_ms - rng.randrange(60_000, 3 * HOUR_MS), over + 60_000)
    waiting = rng.random() < 0.25
    session = Session(id=new_id(rng), livestream_id=livestream.id, created_ms=begun, invoked_ms=begun - 10)
    session.started_ms = None if waiting else begun - 1_700
    session.updated_ms = begun
    session.audience = rng.lognormvariate(2.5, 1.0)
    livestream.sessions.append(session)
    livestream.disabled = False
    livestream.status = "INVOKED" if waiting else "LIVE"
    livestream.created_ms = min(livestream.created_ms, begun - 50)
    livestream.touch(begun - UPDATED_BEFORE_CREATED_MS)


def _set_daily_usage(rng: random.Random, app: App, plan: AppPlan, midnight: int) -> None:
    """Set meetings and recordings of each day; some days have none."""
    for number in range(plan.days):
        day = to_datetime(midnight - number * DAY_MS).date()
        busy = WEEKDAYS[day.weekday()]
        if rng.random() < 0.9:
            count = rng.randrange(1, 1 + int(30 * busy))
            app.meeting_days[day] = Usage(count, count * rng.uniform(5, 55))
        if rng.random() < 0.5:
            count = rng.randrange(1, 1 + int(8 * busy))
            app.recording_days[day] = Usage(count, count * rng.uniform(2, 40))


def broken_records(app: App) -> dict[str, BrokenField]:
    """Choose three sessions and one livestream of an app, and an invalid value for a field of each."""
    rng = random.Random(app.id)
    ended = [
        session
        for session in app.timeline
        if session.stopped_ms is not None
        and session.started_ms is not None
        and to_day(session.started_ms) == to_day(session.reference_ms)
        and not session.err_message
    ]
    recent = ended[-max(len(ended) // 4, 3) :]
    invalid_values: tuple[tuple[str, Json], ...] = (
        ("viewer_seconds", "n/a"),
        ("ingest_seconds", -5.25),
        ("created_at", "yesterday"),
    )
    chosen = zip(rng.sample(recent, min(3, len(recent))), invalid_values, strict=False)
    broken = {session.id: BrokenField(field, raw) for session, (field, raw) in chosen}
    if len(app.livestreams) > len(invalid_values):
        broken[rng.choice(app.livestreams).id] = BrokenField("disabled", "maybe")
    return broken
