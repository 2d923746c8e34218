"""Known answers of the marts of usage, performance and reliability."""

from datetime import date, datetime, timedelta

import pytest

from pipelines.catalog.core import LIVESTREAM_ANALYTICS_DAILY, MEETING_SESSIONS_DAILY, RECORDINGS_DAILY
from tests.report.conftest import DAY, NEXT, SESSIONS, FileWarehouse, Row, only, part, session

OVERALL, MEETINGS, RECORDINGS = (
    LIVESTREAM_ANALYTICS_DAILY.full_name,
    MEETING_SESSIONS_DAILY.full_name,
    RECORDINGS_DAILY.full_name,
)


def test_daily_usage_adds_up_a_day(warehouse: FileWarehouse) -> None:
    warehouse.load(
        SESSIONS,
        DAY,
        session("1", "2025-12-10T10:00:00", "2025-12-10T11:00:00"),
        session("2", "2025-12-10T10:00:00", "2025-12-10T10:30:00", livestream_id="l2", err_message="lost"),
        session("3", err_message="", invoked_at=datetime(2025, 12, 30)),
    )
    warehouse.load(MEETINGS, DAY, {"session_count": 4, "session_minutes": 365.5})
    warehouse.load(RECORDINGS, DAY, {"recording_count": 0, "recording_minutes": 0.0})
    assert only(warehouse.mart("daily_usage")) == {
        "app_id": "a",
        "day": DAY,
        "sessions": 3,
        "failed_sessions": 1,
        "livestreams_active": 2,
        "ingest_seconds": 5400.0,
        "meeting_ingest_seconds": 0.0,
        "unlisted_ingest_seconds": 5400.0,
        "sessions_without_figures": 0,
        "viewer_seconds": 10800.0,
        "average_concurrent_viewers": 2.0,
        "paired_ingest_seconds": 5400.0,
        "paired_viewer_seconds": 10800.0,
        "meeting_sessions": 4,
        "meeting_minutes": 365.5,
        "recordings": 0,
        "recording_minutes": 0.0,
        "provisional_sessions": 0,
        "quarantined_records": 0,
        "is_settled": True,
        "is_complete": True,
        "loaded_at": warehouse.now - timedelta(minutes=1),
    }


def test_zero_and_unknown_are_different_things_in_every_daily_mart(warehouse: FileWarehouse) -> None:
    zero, unknown, elsewhere = DAY, DAY + timedelta(days=1), DAY + timedelta(days=2)
    warehouse.load(SESSIONS, zero)
    warehouse.load(SESSIONS, unknown, is_known=False)
    warehouse.load(MEETINGS, elsewhere, {"session_count": 1, "session_minutes": 1.0})
    counted = {
        "daily_usage": (
            "sessions",
            "failed_sessions",
            "livestreams_active",
            "ingest_seconds",
            "viewer_seconds",
        ),
        "session_reliability": ("sessions", "never_started", "failed_after_live", "unfinished", "on_air"),
        "stream_concurrency": ("peak_concurrent_streams", "stream_hours", "average_concurrent_streams"),
        "reconciliation": ("sessions", "sessions_ingest_seconds", "sessions_viewer_seconds"),
    }
    for name, columns in counted.items():
        rows = {row["day"]: part(row, *columns) for row in warehouse.mart(name)}
        assert rows[zero] == dict.fromkeys(columns, 0), name
        assert rows[unknown] == dict.fromkeys(columns), name
        assert set(rows) - {zero, unknown} == ({elsewhere} if name == "daily_usage" else set()), name
    usage = {row["day"]: row for row in warehouse.mart("daily_usage")}
    assert usage[elsewhere]["sessions"] is None
    assert usage[elsewhere]["meeting_sessions"] == 1
    assert usage[zero]["meeting_sessions"] is None
    assert usage[zero]["average_concurrent_viewers"] is None


def test_sessions_that_report_no_figure_are_unknown_unless_they_never_started(warehouse: FileWarehouse) -> None:
    live = session("1", "2025-12-10T10:00:00")
    warehouse.load(SESSIONS, DAY, session("2"))
    warehouse.load(SESSIONS, NEXT, live)
    assert [row["ingest_seconds"] for row in warehouse.mart("daily_usage")] == [0.0, None]


@pytest.mark.long
def test_figures_as_large_as_the_rules_take_stop_no_mart(warehouse: FileWarehouse) -> None:
    most = {"ingest_seconds": 1.7e308, "viewer_seconds": 1.7e308}
    for day in (DAY, NEXT):
        begin, end = f"{day}T10:00:00", f"{day}T11:00:00"
        warehouse.load(SESSIONS, day, *(session(f"{day}/{n}", begin, end, **most) for n in range(2)))
        warehouse.load(OVERALL, day, {"livestream_count": 2**63 - 1, **most})
        warehouse.load(MEETINGS, day, {"session_count": 2**63 - 1, "session_minutes": 1.7e308})
        warehouse.load(RECORDINGS, day, {"recording_count": 2**63 - 1, "recording_minutes": 1.7e308})
        observation = {"livestream_id": "l", "session_id": "s", "observed_at": datetime.fromisoformat(begin), **most}
        warehouse.insert("core.live_observations", {"app_id": "a", "day": day, **observation})
    warehouse.build_all()
    month = only(warehouse.mart("monthly_usage"))
    assert part(month, "meeting_sessions", "recordings") == {"meeting_sessions": None, "recordings": None}
    assert [row["meeting_sessions"] for row in warehouse.mart("daily_usage")] == [2**63 - 1] * 2


@pytest.mark.long
def test_monthly_usage_counts_the_days_it_sums(warehouse: FileWarehouse) -> None:
    for number in range(1, 31):
        day = date(2025, 11, number)
        warehouse.load(SESSIONS, day, session(f"s{number}", f"{day}T10:00:00", f"{day}T10:01:40"))
        warehouse.load(MEETINGS, day, {"session_count": 1, "session_minutes": 0.5})
        warehouse.load(RECORDINGS, day, {"recording_count": 2, "recording_minutes": 1.5})
    warehouse.load(SESSIONS, DAY, session("x", "2025-12-10T10:00:00", "2025-12-10T10:01:40"))
    warehouse.load(SESSIONS, NEXT, is_known=False)
    warehouse.load(SESSIONS, date(2026, 1, 2), is_known=False)
    whole, partly, unknown = warehouse.mart("monthly_usage")
    assert whole | {"loaded_at": None} == {
        "app_id": "a",
        "month": date(2025, 11, 1),
        "sessions": 30,
        "failed_sessions": 0,
        "livestreams_active": 1,
        "ingest_seconds": 3000.0,
        "viewer_seconds": 6000.0,
        "average_concurrent_viewers": 2.0,
        "meeting_sessions": 30,
        "meeting_minutes": 15.0,
        "recordings": 60,
        "recording_minutes": 45.0,
        "days_in_month": 30,
        "days_known": 30,
        "meeting_days_known": 30,
        "recording_days_known": 30,
        "provisional_sessions": 0,
        "quarantined_records": 0,
        "days_settled": 30,
        "is_complete": True,
        "loaded_at": None,
    }
    names = ("sessions", "ingest_seconds", "meeting_sessions", "days_in_month", "days_known", "is_complete")
    assert list(part(partly, *names).values()) == [1, 100.0, None, 31, 1, False]
    assert list(part(unknown, *names).values()) == [None, None, None, 31, 0, False]


@pytest.mark.long
def test_a_month_with_a_day_loaded_before_it_was_over_is_not_complete(warehouse: FileWarehouse) -> None:
    for number in range(1, 31):
        for table in (SESSIONS, MEETINGS, RECORDINGS):
            day = date(2025, 11, number)
            rows: list[Row] = [] if table == SESSIONS else [{}]
            early = datetime(2025, 11, 30, 23) if (table, number) == (RECORDINGS, 30) else None
            warehouse.load(table, day, *rows, loaded_at=early)
    assert only(warehouse.mart("monthly_usage"))["is_complete"] is False
    warehouse.load(RECORDINGS, date(2025, 11, 30), {})
    assert only(warehouse.mart("monthly_usage"))["is_complete"] is True


def test_livestream_performance_of_a_month(warehouse: FileWarehouse) -> None:
    warehouse.insert("core.livestreams", {"app_id": "a", "livestream_id": "l1", "name": "Kickoff"})
    sessions = [
        session("1", "2025-12-10T10:00:00", "2025-12-10T11:00:00"),
        session("2", "2025-12-10T12:00:00", "2025-12-10T12:30:00", err_message="lost"),
        session("3", invoked_at=datetime(2025, 12, 10, 9)),
    ]
    sessions[0]["invoked_at"] = datetime(2025, 12, 10, 9, 59, 40)
    late = session("4", "2025-12-11T10:00:00", "2025-12-11T10:01:00", livestream_id="l2", viewer_seconds=0.0)
    late["invoked_at"] = datetime(2025, 12, 11, 10, 0, 1)
    warehouse.load(SESSIONS, DAY, *sessions)
    warehouse.load(SESSIONS, NEXT, late)
    watched, unwatched = warehouse.mart("livestream_performance")
    assert watched == {
        "app_id": "a",
        "livestream_id": "l1",
        "month": date(2025, 12, 1),
        "name": "Kickoff",
        "sessions": 3,
        "failed_sessions": 1,
        "ingest_seconds": 5400.0,
        "viewer_seconds": 10800.0,
        "average_concurrent_viewers": 2.0,
        "longest_session_seconds": 3600.0,
        "first_session_at": datetime(2025, 12, 10, 10),
        "last_session_at": datetime(2025, 12, 10, 12),
        "time_to_live_p50_seconds": 15.0,
        "time_to_live_p95_seconds": 19.5,
        "is_never_watched": False,
        "best_place": 1,
        "days_active": 1,
        "days_known": 2,
        "days_in_month": 31,
    }
    assert (unwatched["name"], unwatched["is_never_watched"], unwatched["best_place"]) == (None, True, 2)
    assert unwatched["time_to_live_p50_seconds"] == 0.0


def test_the_best_place_of_a_livestream_in_its_month(warehouse: FileWarehouse) -> None:
    def of(livestream: str, n: int, hours: int, watched: float | None) -> Row:
        end = f"{DAY}T{hours:02}:00:00"
        return session(f"{livestream}{n}", f"{DAY}T00:00:00", end, livestream_id=livestream, viewer_seconds=watched)

    warehouse.load(
        SESSIONS,
        DAY,
        of("watched", 0, 2, 9_000.0),
        of("long", 0, 20, 50.0),
        of("often", 0, 1, 10.0),
        of("often", 1, 1, 10.0),
        of("often", 2, 1, 10.0),
        of("unknown", 0, 1, None),
    )
    warehouse.load(SESSIONS, DAY, of("elsewhere", 0, 23, 1e6), app_id="b")
    found = {row["livestream_id"]: row["best_place"] for row in warehouse.mart("livestream_performance")}
    assert found == {"watched": 1, "long": 1, "often": 1, "unknown": 3, "elsewhere": 1}


def test_a_name_change_ends_up_in_every_month_whatever_was_loaded(warehouse: FileWarehouse) -> None:
    for day in (date(2025, 10, 1), DAY):
        warehouse.load(SESSIONS, day, session(f"s{day}", f"{day}T10:00:00", f"{day}T11:00:00"))
    assert [row["name"] for row in warehouse.mart("livestream_performance")] == [None, None]
    for name in ("First", "Second", None):
        warehouse.connection.execute("DELETE FROM core.livestreams")
        warehouse.insert("core.livestreams", {"app_id": "a", "livestream_id": "l1", "name": name})
        assert [row["name"] for row in warehouse.mart("livestream_performance")] == [name, name]
        assert warehouse.build("livestream_performance").refreshed == []


def test_session_reliability_counts_each_way_to_fail(warehouse: FileWarehouse) -> None:
    warehouse.load(
        SESSIONS,
        DAY,
        session("1", "2025-12-10T10:00:00", "2025-12-10T11:00:00"),
        session("2", "2025-12-10T10:00:00", "2025-12-10T11:00:00", err_message="b"),
        session("3", "2025-12-10T10:00:00", err_message="a"),
        session("4", err_message="b"),
        session("5", err_message="a"),
        session("6", "2025-12-10T10:00:00", fetched_at=datetime(2025, 12, 11, 10)),
        session("7", "2025-12-10T10:00:00", fetched_at=datetime(2025, 12, 11, 10, 0, 1)),
        session("8", invoked_at=datetime(2025, 12, 10), fetched_at=datetime(2025, 12, 10, 1)),
    )
    assert only(warehouse.mart("session_reliability")) == {
        "app_id": "a",
        "day": DAY,
        "sessions": 8,
        "never_started": 3,
        "failed_sessions": 4,
        "failed_before_live": 2,
        "failed_after_live": 2,
        "error_rate": 0.5,
        "time_to_live_p50_seconds": 10.0,
        "time_to_live_p95_seconds": 10.0,
        "time_to_live_histogram": {9979: 5},  # within a percent of ten seconds
        "on_air": 2,
        "unfinished": 3,
        "unfinished_over_24h": 1,
        "most_common_error": "a",
        "most_common_error_sessions": 2,
    }


def test_ingest_of_a_livestream_listed_later_finds_its_place(warehouse: FileWarehouse) -> None:
    warehouse.load(SESSIONS, DAY, session("1", "2025-12-10T10:00:00", "2025-12-10T11:00:00"))
    names = ("meeting_ingest_seconds", "unlisted_ingest_seconds")
    assert list(part(only(warehouse.mart("daily_usage")), *names).values()) == [0.0, 3600.0]
    warehouse.connection.execute(
        "INSERT INTO core.livestreams BY NAME"
        " SELECT 'a' AS app_id, 'l1' AS livestream_id, 'm' AS meeting_id, ?::TIMESTAMP AS first_seen_at",
        [warehouse.tick()],
    )
    assert list(part(only(warehouse.mart("daily_usage")), *names).values()) == [3600.0, 0.0]
