"""On-call hears of a bad evening the next morning, and when it is over; the days of incidents are recomputed in plain Python."""

import random
import statistics
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from pipelines.clock import days_from
from pipelines.simulator.records import Session, to_day
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests.fixed_clock import NOW
from tests.night_runner import NightRunner, at_hour
from tests.pipeline_runner import query
from tests.webhook_receiver import Receiver

APPS = ("aula", "stage")
BAD_DAY = NOW.date() - timedelta(days=3)
FIRST = BAD_DAY - timedelta(days=28)
SESSIONS = 24

Days = dict[tuple[str, str], set[date]]
"""Days in violation by rule and app."""


def add_sessions(world: World, app_id: str, day: date, rng: random.Random, *, is_bad: bool = False) -> None:
    """Add a day of an app: a usual one, or one on which many sessions fail, start late, and are hardly watched."""
    for number in range(SESSIONS):
        livestream = world.apps[app_id].livestreams[number % 2]
        session = world.add_session(
            app_id,
            livestream.id,
            created_at=at_hour(day, 0.5 + number * 0.9),
            ingest_seconds=600.0,
            viewer_seconds=rng.uniform(5_000, 7_000) * (0.1 if is_bad else 1),
            err_message="encoder lost" if number < (6 if is_bad else 1) else None,
        )
        assert session.started_ms
        session.invoked_ms = session.started_ms - rng.randrange(1_000, 90_000 if is_bad else 25_000)


def violations(world: World, first: date, last: date) -> Days:
    """Return the days from first to last that violate each default rule about days, from the simulator's own sessions."""
    found: Days = {}
    for app_id, app in world.apps.items():
        by_day: dict[date, list[Session]] = {}
        for session in app.timeline:
            by_day.setdefault(to_day(session.reference_ms), []).append(session)
        hours = {day: sum(one.viewer_seconds or 0 for one in sessions) / 3600 for day, sessions in by_day.items()}
        for day in days_from(first, last):
            sessions = by_day.get(day, [])
            failed = sum(bool(one.err_message) for one in sessions)
            waits = sorted(
                (one.started_ms - one.invoked_ms) / 1000 for one in sessions if one.started_ms and one.invoked_ms
            )
            before = [hours.get(day - timedelta(weeks=n), 0.0) for n in (1, 2, 3, 4)]
            is_violated = {
                "error_rate": len(sessions) >= 20 and failed / len(sessions) > 0.05,
                "slow_start": len(sessions) >= 20 and statistics.quantiles(waits, n=20, method="inclusive")[-1] > 30,
                "viewer_hours_halved": hours.get(day, 0.0) < statistics.median(before) / 2
                and statistics.median(before) >= 1,
            }
            for rule, violated in is_violated.items():
                if violated:
                    found.setdefault((rule, app_id), set()).add(day)
    return found


def days_of_incidents(night: NightRunner) -> Days:
    found: Days = {}
    for rule, app_id, first, last in query(
        night.settings, "SELECT rule, app_id, first_day, last_day FROM ops.incidents"
    ):
        found.setdefault((rule, app_id), set()).update(days_from(first, last))
    return found


def load_until(night: NightRunner, last: date) -> None:
    """Load the night after a day, as `livehouse nightly` does by default."""
    night.load((last - timedelta(days=2), last), at=at_hour(last + timedelta(days=1), 2.75))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NightRunner, Receiver]]:
    """An account with four usual days, a week apart, which were loaded before the webhook was set, and a bad day not loaded yet."""
    rng = random.Random(1)
    world = World(now=NOW, values="numbers")
    for app_id in APPS:
        world.add_app(app_id)
        for number in range(2):
            world.add_livestream(app_id, name=f"l{number}", created_at=at_hour(FIRST, -48))
        for weeks in (4, 3, 2, 1):  # the other days are without sessions, and so without violations
            add_sessions(world, app_id, BAD_DAY - timedelta(weeks=weeks), rng)
        add_sessions(world, app_id, BAD_DAY, rng, is_bad=app_id == "aula")
    with Simulator(world) as simulator, Receiver.listening() as receiver:
        home = tmp_path_factory.mktemp("story") / "home"
        night = NightRunner(simulator, home, LIVEHOUSE_ALERT_WEBHOOK=receiver.address)
        before = BAD_DAY - timedelta(days=1)
        night.load((FIRST, before), at=at_hour(BAD_DAY, 2.75), backfill=True)
        assert receiver.take_texts() == []
        yield night, receiver


@pytest.mark.long
def test_on_call_hears_of_a_bad_evening_the_next_morning_and_when_it_is_over(
    story: tuple[NightRunner, Receiver],
) -> None:
    night, receiver = story
    load_until(night, BAD_DAY)
    [text] = receiver.take_texts()
    assert text.splitlines()[0] == "livehouse: 3 new incidents, 0 closed"
    assert f"opened: error_rate: error rate 25 % (above 5 %) on {BAD_DAY} in app aula. More than one session" in text
    assert "stage" not in text
    posted = query(
        night.settings, "SELECT count(open_posted_at), count(close_posted_at), count(closed_at) FROM ops.incidents"
    )
    assert posted == [(3, 0, 0)], "readers see them in the copy of the same night"

    load_until(night, BAD_DAY)  # again, as after a failed night
    assert receiver.take_texts() == []

    good = BAD_DAY + timedelta(days=1)
    for app_id in APPS:
        add_sessions(night.world, app_id, good, random.Random(2))
    load_until(night, good)
    [text] = receiver.take_texts()
    assert text.splitlines()[0] == "livehouse: 0 new incidents, 3 closed"
    assert (
        f"closed: error_rate: error rate 25 % (above 5 %) on {BAD_DAY} in app aula; it is over: 4.167 % on {good}"
        in text
    )
    load_until(night, good)
    assert receiver.take_texts() == []
    assert days_of_incidents(night) == violations(night.world, BAD_DAY - timedelta(days=6), good)
    assert query(night.settings, "SELECT count(*) FROM ops.incidents WHERE close_posted_at IS NULL") == [(0,)]
