"""Known answers of marts.stream_concurrency, and what counting at every start gives."""

import random
from datetime import date, datetime, timedelta

import pytest

from tests.report.conftest import DAY, NEXT, SESSIONS, FileWarehouse, Row, part, session
from tests.report.random_loads import load_at_random


def test_stream_concurrency_over_midnight(warehouse: FileWarehouse) -> None:
    warehouse.load(
        SESSIONS,
        DAY,
        session("1", "2025-12-10T10:00:00", "2025-12-10T11:00:00"),
        session("2", "2025-12-10T11:00:00", "2025-12-10T12:00:00"),  # as 1 ends: not at once
        session("3", "2025-12-10T10:30:00", "2025-12-10T11:30:00"),
        session("4", "2025-12-10T23:00:00", "2025-12-11T02:00:00"),
        session("5", "2025-12-10T13:00:00", "2025-12-10T13:00:00"),  # no time at all
        session("6"),
    )
    warehouse.load(SESSIONS, NEXT, session("7", "2025-12-11T01:30:00", "2025-12-12T00:00:00"))
    warehouse.load(SESSIONS, NEXT + timedelta(days=1))
    first, second, third = warehouse.mart("stream_concurrency")
    assert first == {
        "app_id": "a",
        "day": DAY,
        "peak_concurrent_streams": 2,
        "peak_at": datetime(2025, 12, 10, 10, 30),
        "stream_hours": 4.0,
        "average_concurrent_streams": 4 / 24,
        "busiest_hour": 10,
        "busiest_hour_stream_hours": 1.5,
        "peak_concurrent_viewers": None,
        "viewers_peak_at": None,
        "account_peak_concurrent_streams": 2,
        "account_peak_at": datetime(2025, 12, 10, 10, 30),
        "account_peak_concurrent_viewers": None,
        "account_viewers_peak_at": None,
        "account_apps": 1,
        "first_day_reached": DAY,
        "last_day_reached": NEXT,
    }
    names = ("peak_concurrent_streams", "peak_at", "stream_hours", "busiest_hour", "last_day_reached")
    assert list(part(second, *names).values()) == [2, datetime(2025, 12, 11, 1, 30), 24.5, 1, NEXT]
    assert list(part(third, *names).values()) == [0, None, 0.0, None, None]


def test_streams_of_all_apps_at_once_are_counted_not_added(warehouse: FileWarehouse) -> None:
    warehouse.load(SESSIONS, DAY, session("1", "2025-12-10T10:00:00", "2025-12-10T11:00:00"))
    warehouse.load(
        SESSIONS,
        DAY,
        session("2", "2025-12-10T10:30:00", "2025-12-10T11:30:00", app_id="b"),
        session("3", "2025-12-10T12:00:00", "2025-12-10T13:00:00", app_id="b"),
        session("4", "2025-12-10T12:00:00", "2025-12-10T13:00:00", app_id="b"),
        app_id="b",
    )
    names = ("app_id", "peak_concurrent_streams", "account_peak_concurrent_streams", "account_peak_at")
    found = [list(part(row, *names).values()) for row in warehouse.mart("stream_concurrency")]
    assert found == [["a", 1, 2, datetime(2025, 12, 10, 10, 30)], ["b", 2, 2, datetime(2025, 12, 10, 10, 30)]]


def test_a_stream_on_air_counts_until_it_was_last_received(warehouse: FileWarehouse) -> None:
    on_air = session("1", "2025-12-10T22:00:00", fetched_at=datetime(2025, 12, 11, 3))
    failed = session("2", "2025-12-10T22:00:00", err_message="lost", updated_at=datetime(2025, 12, 10, 23))
    warehouse.load(SESSIONS, DAY, on_air, failed)
    warehouse.load(SESSIONS, NEXT)
    assert [row["stream_hours"] for row in warehouse.mart("stream_concurrency")] == [3.0, 3.0]


@pytest.mark.long
def test_a_session_loaded_again_changes_the_days_it_reached_and_those_it_reaches(
    warehouse: FileWarehouse,
) -> None:
    days = [DAY + timedelta(days=number) for number in range(60)]
    for day in days:
        warehouse.load(SESSIONS, day)

    def hours(stopped: date) -> list[float]:
        row = session("1", f"{DAY}T12:00:00", f"{stopped}T12:00:00")
        warehouse.load(SESSIONS, DAY, row)
        return [row["stream_hours"] for row in warehouse.mart("stream_concurrency")]

    warehouse.build("stream_concurrency")
    assert hours(days[50]) == [12.0] + [24.0] * 49 + [12.0] + [0.0] * 9
    assert hours(days[2]) == [12.0, 24.0, 12.0] + [0.0] * 57
    assert hours(days[30]) == [12.0] + [24.0] * 29 + [12.0] + [0.0] * 29


@pytest.mark.long
def test_a_session_noted_a_day_after_its_start_changes_the_day_before(warehouse: FileWarehouse) -> None:
    warehouse.load(SESSIONS, DAY)
    warehouse.build("stream_concurrency")
    warehouse.load(SESSIONS, NEXT, session("1", "2025-12-10T23:59:59", "2025-12-11T00:59:59"))
    rows = warehouse.mart("stream_concurrency")
    assert [row["peak_concurrent_streams"] for row in rows] == [1, 1]


def concurrency_by_hand(sessions: list[Row], day: date) -> tuple[int, float]:
    midnight = datetime(day.year, day.month, day.day)
    spans = []
    for row in sessions:
        if row["started_at"] is not None:
            end = row["stopped_at"]
            if end is None and not row["err_message"]:
                end = row["fetched_at"]
            elif end is None and row["updated_at"] and row["updated_at"] >= row["started_at"]:
                end = row["updated_at"]
            if end is None:
                continue
            spans.append((max(row["started_at"], midnight), min(end, midnight + timedelta(days=1))))
    spans = [(begins, ends) for begins, ends in spans if begins < ends]
    peak = max((sum(b <= moment < e for b, e in spans) for moment, _ in spans), default=0)
    return peak, sum((ends - begins).total_seconds() for begins, ends in spans) / 3600


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.long) for n in (1, 2, 3))])
def test_stream_concurrency_is_what_counting_at_every_start_gives(warehouse: FileWarehouse, seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(12):
        load_at_random(warehouse, dice)
    for row in warehouse.mart("stream_concurrency"):
        sessions = warehouse.query(f"FROM {SESSIONS} WHERE app_id = '{row['app_id']}'")
        peak, hours = concurrency_by_hand(sessions, row["day"])
        if row["peak_concurrent_streams"] is not None:
            assert row["peak_concurrent_streams"] == peak
            assert row["stream_hours"] == pytest.approx(hours)
