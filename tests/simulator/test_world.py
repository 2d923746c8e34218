"""Worlds: repeatable, realistic, and true to themselves."""

import math
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest

from pipelines.simulator.records import Usage
from pipelines.simulator.server import demo_world
from pipelines.simulator.world import World

NOW = datetime(2025, 11, 20, 15, 30, tzinfo=UTC)
FIRST, LAST = date(2025, 9, 1), date(2025, 11, 20)


def seeded(seed: int = 7, *, stale_clocks: bool = False, broken: bool = True) -> World:
    return World.seeded(
        seed, apps=["a", "b"], livestreams=200, days=90, now=NOW, stale_clocks=stale_clocks, broken=broken
    )


def empty() -> tuple[World, str]:
    world = World(now=NOW)
    world.add_app("a", meetings=["m"])
    return world, world.add_livestream("a", created_at=NOW - timedelta(days=9)).id


def test_same_seed_builds_the_same_world() -> None:
    one, other = seeded(), seeded()
    assert one.expected_rows("a", FIRST, LAST) == other.expected_rows("a", FIRST, LAST)
    assert one.stream_keys() == other.stream_keys()
    assert one.expected_rows("a", FIRST, LAST) != seeded(8).expected_rows("a", FIRST, LAST)


def test_large_world_is_built_quickly() -> None:
    began = time.process_time()
    World.seeded(1, apps=["a"], livestreams=2_000, sessions=12_000, days=365, now=NOW)
    assert time.process_time() - began < 2


def test_seeded_world_is_realistic() -> None:
    app = seeded().apps["a"]
    assert len(app.timeline) == 6 * 200 + 5
    assert set(Counter(livestream.status for livestream in app.livestreams)) == {
        "LIVE",
        "IDLE",
        "ERRORED",
        "INVOKED",
        "OFFLINE",
    }
    assert {livestream.meeting_id is None for livestream in app.livestreams} == {True, False}
    assert any(not livestream.sessions for livestream in app.livestreams)
    assert any(livestream.name is None for livestream in app.livestreams)
    assert any("onerror" in (livestream.name or "") for livestream in app.livestreams)
    assert any("\x1b" in (livestream.name or "") for livestream in app.livestreams)
    failed = [session for session in app.timeline if session.err_message]
    assert {session.started_ms is None for session in failed} == {True, False}
    assert any(session.viewer_seconds != int(session.viewer_seconds or 0) for session in app.timeline)
    assert all(session.reference_ms <= to_ms(NOW) for session in app.timeline)
    assert 0 < len(app.recording_days) < len(app.meeting_days) < 90


def to_ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def test_weekends_have_fewer_sessions() -> None:
    per_weekday = Counter(
        datetime.fromtimestamp(session.reference_ms / 1000, UTC).weekday() for session in seeded().apps["a"].timeline
    )
    assert max(per_weekday[5], per_weekday[6]) < min(per_weekday[day] for day in range(5))


def test_livestream_updated_at_precedes_the_session_by_16_ms() -> None:
    live = [row for row in seeded().apps["a"].livestreams if row.status == "LIVE"]
    assert live
    for row in live:
        session = row.open_session
        assert session is not None
        assert session.created_ms == row.updated_ms + 16
        assert session.started_ms == session.created_ms - 1_700


def test_sessions_of_a_livestream_do_not_overlap() -> None:
    for row in seeded().apps["a"].livestreams:
        for before, after in zip(row.sessions, row.sessions[1:], strict=False):
            assert (before.stopped_ms or before.reference_ms) <= after.reference_ms


def test_stale_clock_keeps_updated_at() -> None:
    world = seeded(stale_clocks=True)
    stale = next(row for row in world.apps["a"].livestreams if row.stale_clock and row.sessions)
    assert stale.updated_ms == stale.created_ms
    world.add_session("a", stale.id, created_at=NOW)
    assert stale.updated_ms == stale.created_ms
    assert not any(row.stale_clock for row in seeded().apps["a"].livestreams)


def test_expected_rows_of_each_app_are_consistent() -> None:
    world = seeded()
    for app_id, app in world.apps.items():
        truth = world.expected_rows(app_id, date(2024, 1, 1), LAST)
        tables = Counter(table for table, _ in truth.quarantined)
        assert tables == {"core.livestreams": 1, "core.livestream_sessions": 3}
        assert len(truth.livestreams) == len(app.livestreams) - 1
        assert len(truth.livestream_sessions) == len(app.timeline) - 3
        for (_, day), row in truth.livestream_analytics_daily.items():
            of_day = [row for row in truth.livestream_sessions.values() if row["day"] == day]
            landed = math.fsum(float(str(row["ingest_seconds"] or 0)) for row in of_day)
            quarantined = any(
                app_session.id in world.broken
                and datetime.fromtimestamp(app_session.reference_ms / 1000, UTC).date() == day
                for app_session in app.timeline
            )
            assert math.isclose(landed, float(str(row["ingest_seconds"])), abs_tol=1e-6) or quarantined


def test_expected_rows_have_the_types_of_the_contract() -> None:
    world = seeded()
    truth = world.expected_rows("a", FIRST, LAST)
    session = next(row for row in truth.livestream_sessions.values() if row["invoked_at"])
    assert type(session["ingest_seconds"]) is float
    assert type(session["day"]) is date
    created = session["created_at"]
    assert isinstance(created, datetime)
    assert created.tzinfo is None
    assert session["day"] == created.date()
    assert type(next(iter(truth.livestreams.values()))["is_disabled"]) is bool
    assert type(next(iter(truth.recordings_daily.values()))["recording_count"]) is int
    assert set(truth.tables()) == {
        "core.livestreams",
        "core.livestream_sessions",
        "core.livestream_analytics_daily",
        "core.meeting_sessions_daily",
        "core.recordings_daily",
    }


def test_expected_rows_of_a_day_exclude_other_days() -> None:
    world, livestream = empty()
    moments = (datetime(2025, 11, 3, tzinfo=UTC), datetime(2025, 11, 3, 23, 59, 59, 999_000, tzinfo=UTC))
    ids = {world.add_session("a", livestream, created_at=at, ingest_seconds=1.5).id for at in moments}
    world.add_session("a", livestream, created_at=datetime(2025, 11, 4, tzinfo=UTC), ingest_seconds=9)
    truth = world.expected_rows("a", date(2025, 11, 3), date(2025, 11, 3))
    assert {session_id for _, session_id in truth.livestream_sessions} == ids
    assert truth.livestream_analytics_daily["a", date(2025, 11, 3)] == {
        "app_id": "a",
        "day": date(2025, 11, 3),
        "livestream_count": 1,
        "ingest_seconds": 3.0,
        "viewer_seconds": 0.0,
    }


def test_idle_days_are_zero_within_the_retention_and_absent_before() -> None:
    world, _ = empty()
    truth = world.expected_rows("a", date(2025, 1, 1), LAST, retention_days=10)
    assert min(day for _, day in truth.recordings_daily) == date(2025, 11, 10)
    assert set(truth.recordings_daily) == set(truth.meeting_sessions_daily) == set(truth.livestream_analytics_daily)
    world.set_day("a", date(2025, 2, 2), recordings=Usage(2, 7.25))
    truth = world.expected_rows("a", date(2025, 1, 1), LAST, retention_days=10)
    assert truth.recordings_daily["a", date(2025, 2, 2)]["recording_minutes"] == 7.25
    assert ("a", date(2025, 2, 2)) not in truth.meeting_sessions_daily


def test_clock_advances_live_sessions() -> None:
    world, livestream = empty()
    session = world.invoke("a", livestream, audience=4.0)
    assert world.apps["a"].by_id[livestream].status == "INVOKED"
    assert session.measures_at(world.now_ms) == (0.0, 0.0)
    world.advance(timedelta(seconds=3))
    assert world.apps["a"].by_id[livestream].status == "LIVE"
    sums = []
    for _ in range(120):
        world.advance(timedelta(minutes=1))
        sums.append(session.measures_at(world.now_ms))
    assert sums == sorted(sums)
    assert sums[-1][0] == 7_200
    assert math.isclose(sums[-1][1] or 0, 4 * 7_200)
    world.end_session("a", livestream)
    world.advance(timedelta(days=1))
    assert session.measures_at(world.now_ms) == sums[-1]
    assert world.end_session("a", livestream) is None


def test_clock_can_run_in_real_time() -> None:
    world, _ = empty()
    assert world.now == world.now == NOW
    world.start_clock(3_600)
    time.sleep(0.05)
    world.start_clock(0)
    assert NOW + timedelta(minutes=2) < world.now < NOW + timedelta(hours=2)
    assert world.now == world.now


def test_expected_rows_reflect_failures_and_corrections() -> None:
    world, livestream = empty()
    session = world.go_live("a", livestream)
    world.advance(timedelta(seconds=90))
    world.end_session("a", livestream, err_message="gone")
    row = world.expected_rows("a", LAST, LAST).livestream_sessions["a", session.id]
    assert (row["err_message"], row["is_live"], row["ingest_seconds"]) == ("gone", False, 90.0)
    assert world.apps["a"].by_id[livestream].status == "ERRORED"
    world.change_session("a", session.id, ingest_seconds=80.0, viewer_seconds=None)
    row = world.expected_rows("a", LAST, LAST).livestream_sessions["a", session.id]
    assert (row["ingest_seconds"], row["viewer_seconds"]) == (80.0, None)
    with pytest.raises(KeyError):
        world.change_session("a", "nobody", ingest_seconds=0, viewer_seconds=0)


def test_deleted_and_expired_records_are_absent() -> None:
    world = seeded()
    app = world.apps["a"]
    livestream = next(row for row in app.livestreams if len(row.sessions) > 2)
    first, *others = [session.id for session in livestream.sessions]
    world.delete_sessions("a", [first])
    assert first not in {session.id for session in livestream.sessions}
    world.delete_livestream("a", livestream.id)
    assert not set(others) & {session_id for _, session_id in world.expected_rows("a", FIRST, LAST).livestream_sessions}
    world.expire_before("a", date(2025, 11, 1))
    assert min(session.reference_ms for session in app.timeline) >= to_ms(datetime(2025, 11, 1, tzinfo=UTC))
    assert min(app.meeting_days) >= date(2025, 11, 1)
    assert {first, livestream.id, *others} <= world.deleted_ids


def test_broken_records_can_be_repaired() -> None:
    world, livestream = empty()
    world.break_record(livestream, "disabled", "maybe")
    assert world.expected_rows("a", LAST, LAST).quarantined == {("core.livestreams", livestream)}
    world.repair_record(livestream)
    assert not world.expected_rows("a", LAST, LAST).quarantined


def test_demo_world_has_two_apps_with_recent_broken_records() -> None:
    world = demo_world(NOW)
    assert len(world.apps) == 2
    for app_id in world.apps:
        truth = world.expected_rows(app_id, LAST - timedelta(days=29), LAST)
        assert len(truth.quarantined) == 4
        assert len(truth.livestream_sessions) > 300
