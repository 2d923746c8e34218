"""One rule for each fact that several marts, examples and the page tell: they all tell the same."""

import math
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pipelines.catalog.core import LIVESTREAM_ANALYTICS_DAILY, RECORDINGS_DAILY
from pipelines.marts.examples import find_examples
from pipelines.report import figures
from tests.parameters import long_except
from tests.report.conftest import DAY, SESSIONS, Row, only, session

if TYPE_CHECKING:
    from tests.report.conftest import FileWarehouse

OVERALL, RECORDINGS = LIVESTREAM_ANALYTICS_DAILY.full_name, RECORDINGS_DAILY.full_name
EXAMPLES = {example.name[3:]: example.fill() for example in find_examples()}
TEN, ELEVEN = f"{DAY}T10:00:00", f"{DAY}T11:00:00"


def example(warehouse: "FileWarehouse", name: str) -> list[Row]:
    for mart in warehouse.marts.values():
        if mart.full_name in EXAMPLES[name]:
            warehouse.build(mart)
    return warehouse.query(EXAMPLES[name])


def all_examples(warehouse: "FileWarehouse") -> dict[str, list[Row]]:
    warehouse.build_all()
    return {name: warehouse.query(sql) for name, sql in EXAMPLES.items()}


# --- the end of a session -----------------------------------------------------------------------------------


@pytest.mark.parametrize("updated", [None, "2025-12-10T09:00:00"])
def test_a_failed_session_of_unknown_end_is_on_air_nowhere(warehouse: "FileWarehouse", updated: str | None) -> None:
    at = updated and datetime.fromisoformat(updated)
    warehouse.load(SESSIONS, DAY, session("1", TEN, err_message="lost", updated_at=at))
    assert example(warehouse, "busiest_hour") == []
    assert only(warehouse.mart("stream_concurrency"))["stream_hours"] == 0
    assert only(warehouse.mart("livestream_performance"))["longest_session_seconds"] is None
    assert only(example(warehouse, "longest_sessions"))["hours_on_air"] is None


def test_a_failed_session_ends_at_the_same_moment_everywhere(warehouse: "FileWarehouse") -> None:
    failed = session("1", TEN, err_message="lost", updated_at=datetime(2025, 12, 10, 12))
    warehouse.load(SESSIONS, DAY, failed)
    hours = example(warehouse, "busiest_hour")
    assert {row["hour_of_day"]: row["average_concurrent_streams"] for row in hours} == {10: 1.0, 11: 1.0}
    assert only(warehouse.mart("stream_concurrency"))["stream_hours"] == 2
    assert only(warehouse.mart("livestream_performance"))["longest_session_seconds"] == 7200
    assert only(example(warehouse, "longest_sessions"))["hours_on_air"] == 2


@pytest.mark.parametrize("days", long_except([1, 6, 7, 8, 13, 28, 40], 1, 8, 40))
def test_an_hour_of_the_week_is_divided_by_how_often_it_is_known(warehouse: "FileWarehouse", days: int) -> None:
    for number in range(days):
        day = DAY + timedelta(days=number)
        warehouse.load(
            SESSIONS, day, session(f"{number}", f"{day}T10:00:00", f"{day}T11:00:00"), loaded_at=datetime(2026, 3, 1)
        )
    rows = example(warehouse, "busiest_hour")
    assert {row["average_concurrent_streams"] for row in rows} == {1.0}
    assert len(rows) == min(days, 7)


def test_hours_after_the_last_load_and_unknown_days_are_not_divided_by(warehouse: "FileWarehouse") -> None:
    monday, noon = date(2025, 12, 8), datetime(2025, 12, 15, 12)
    warehouse.load(SESSIONS, monday, session("1", "2025-12-08T10:00:00", "2025-12-08T16:00:00"))
    warehouse.load(SESSIONS, monday + timedelta(days=7), loaded_at=noon)
    warehouse.load(SESSIONS, monday + timedelta(days=14), is_known=False)
    rows = {row["hour_of_day"]: row["average_concurrent_streams"] for row in example(warehouse, "busiest_hour")}
    assert rows == {10: 0.5, 11: 0.5, 12: 1.0, 13: 1.0, 14: 1.0, 15: 1.0}


# --- unknown is not zero ------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    ("watched", "viewers", "is_never_watched"),
    [
        ([None], None, None),
        ([None, None], None, None),
        ([0.0], 0, True),
        ([None, 0.0], 0, None),
        ([None, 5.0], 5, False),
    ],
)
def test_a_figure_that_no_started_session_reports_is_unknown(
    warehouse: "FileWarehouse", watched: list[float | None], viewers: float | None, *, is_never_watched: bool | None
) -> None:
    live = [session(f"{n}", TEN, ELEVEN, viewer_seconds=seconds) for n, seconds in enumerate(watched)]
    attempt = session("failed", err_message="handshake", ingest_seconds=0.0, viewer_seconds=0.0)
    warehouse.load(SESSIONS, DAY, *live, attempt)
    performance = only(warehouse.mart("livestream_performance"))
    assert (performance["viewer_seconds"], performance["is_never_watched"]) == (viewers, is_never_watched)
    for mart in ("daily_usage", "monthly_usage"):
        assert only(warehouse.mart(mart))["viewer_seconds"] == viewers, mart
    assert len(example(warehouse, "never_watched")) == (is_never_watched is True)


def test_attempts_alone_are_zero(warehouse: "FileWarehouse") -> None:
    warehouse.load(SESSIONS, DAY, session("1", err_message="x"), session("2", ingest_seconds=0.0, viewer_seconds=0.0))
    for mart in ("daily_usage", "monthly_usage", "livestream_performance"):
        row = only(warehouse.mart(mart))
        assert (row["ingest_seconds"], row["viewer_seconds"]) == (0, 0), mart


@pytest.mark.long
@pytest.mark.parametrize(
    ("incomplete", "average"),
    [
        ({"viewer_seconds": None}, 10.0),
        ({"ingest_seconds": None, "viewer_seconds": 1e6}, 10.0),
        ({"ingest_seconds": None, "viewer_seconds": None}, 10.0),
        ({"ingest_seconds": 3600.0, "viewer_seconds": 0.0}, 5.0),
    ],
)
def test_viewers_are_averaged_over_sessions_that_report_both(
    warehouse: "FileWarehouse", incomplete: dict[str, float | None], average: float
) -> None:
    warehouse.load(SESSIONS, DAY, session("1", TEN, ELEVEN, viewer_seconds=36_000.0))
    following = DAY + timedelta(days=1)
    warehouse.load(SESSIONS, following, session("2", f"{following}T10:00:00", f"{following}T11:00:00", **incomplete))
    warehouse.build_all()
    for mart in ("monthly_usage", "livestream_performance"):
        assert only(warehouse.mart(mart))["average_concurrent_viewers"] == average, mart
    assert warehouse.mart("daily_usage")[0]["average_concurrent_viewers"] == 10
    shown = figures.read_figures(warehouse.connection)
    assert shown
    assert sum(shown["days"]["paired_viewer"]) / sum(shown["days"]["paired_ingest"]) == average
    rows = shown["streams"]["rows"]
    ingest, viewer = (
        sum(
            next(v for v in (pair, whole, 0.0) if v is not None)
            for pair, whole in zip(rows[f"paired_{name}"], rows[f"{name}_seconds"], strict=True)
        )
        for name in ("ingest", "viewer")
    )
    assert viewer / ingest == average


def test_a_sum_beyond_a_double_is_unknown_if_no_session_started(warehouse: "FileWarehouse") -> None:
    attempts = [session(f"{n}", ingest_seconds=1.7e308, viewer_seconds=1.7e308) for n in range(2)]
    warehouse.load(SESSIONS, DAY, *attempts)
    for mart in ("daily_usage", "monthly_usage", "livestream_performance"):
        row = only(warehouse.mart(mart))
        assert (row["ingest_seconds"], row["viewer_seconds"]) == (None, None), mart


@pytest.mark.long
def test_a_sum_beyond_a_double_is_unknown_and_so_is_the_verdict(warehouse: "FileWarehouse") -> None:
    most = {"ingest_seconds": 3600.0, "viewer_seconds": 1e308}
    warehouse.load(SESSIONS, DAY, *(session(f"{n}", TEN, ELEVEN, **most) for n in range(3)))
    warehouse.load(OVERALL, DAY, {"livestream_count": 1, "ingest_seconds": 10_800.0, "viewer_seconds": 1.7e308})
    for mart in ("daily_usage", "monthly_usage", "livestream_performance"):
        row = only(warehouse.mart(mart))
        assert row["viewer_seconds"] is None, mart
        assert row["average_concurrent_viewers"] is None, mart
        assert row["ingest_seconds"] == 10_800, mart
    row = only(warehouse.mart("reconciliation"))
    assert (row["verdict"], row["sessions_viewer_seconds"]) == ("unknown", None)
    for name, rows in all_examples(warehouse).items():
        for found in rows:
            assert not [cell for cell in found.values() if isinstance(cell, float) and not math.isfinite(cell)], name


# --- definitions --------------------------------------------------------------------------------------------


def load_november(warehouse: "FileWarehouse") -> None:
    for number in range(1, 31):
        load_november_day(warehouse, date(2025, 11, number))


def load_november_day(warehouse: "FileWarehouse", day: date, at: datetime = datetime(2025, 12, 20)) -> None:
    warehouse.load(SESSIONS, day, session(f"s{day}", f"{day}T10:00:00", f"{day}T10:01:40"), loaded_at=at)
    warehouse.load("core.meeting_sessions_daily", day, {"session_count": 0, "session_minutes": 0.0}, loaded_at=at)
    warehouse.load(RECORDINGS, day, {"recording_count": 0, "recording_minutes": 0.0}, loaded_at=at)


@pytest.mark.long
def test_a_month_is_complete_only_when_its_figures_are_final(warehouse: "FileWarehouse") -> None:
    day, received = date(2025, 11, 12), datetime(2025, 11, 13, 0, 30)
    # invoked an hour before it was received: it may yet start
    invoked = session("open", invoked_at=received - timedelta(hours=1), fetched_at=received)

    def days_settled(*, is_complete: bool) -> int:
        row = only(warehouse.mart("monthly_usage"))
        assert row["is_complete"] is is_complete
        return int(row["days_settled"])

    load_november(warehouse)
    assert days_settled(is_complete=True) == 30
    for provisional in (session("open", f"{day}T10:00:00"), invoked):
        warehouse.load(SESSIONS, day, provisional)
        assert days_settled(is_complete=False) == 29
    load_november_day(warehouse, day)
    for table, settled in ((RECORDINGS, 30), (SESSIONS, 29)):
        warehouse.insert("ops.quarantine", {"app_id": "a", "table_name": table, "day": day, "record_id": "x"})
        assert days_settled(is_complete=False) == settled
        warehouse.connection.execute("DELETE FROM ops.quarantine")
    assert days_settled(is_complete=True) == 30
    load_november_day(warehouse, day, at=datetime(2025, 11, 12, 12))
    assert days_settled(is_complete=False) == 29


@pytest.mark.long
def test_months_are_compared_only_where_each_day_is_final(warehouse: "FileWarehouse") -> None:
    for number in range(31):
        day = date(2025, 10, 1) + timedelta(days=number)
        warehouse.load(SESSIONS, day, session(f"o{day}", f"{day}T10:00:00", f"{day}T10:01:40"))
    load_november(warehouse)
    assert [row["viewer_change_percent"] for row in example(warehouse, "month_over_month")] == [-3.2, None]
    load_november_day(warehouse, date(2025, 11, 30), at=datetime(2025, 11, 30, 12))
    assert [row["viewer_change_percent"] for row in example(warehouse, "month_over_month")] == [None, None]


def test_a_week_is_compared_with_the_week_before_or_with_none(warehouse: "FileWarehouse") -> None:
    for weeks, seconds in ((0, 4), (1, 6), (5, 9)):
        day = date(2025, 10, 6) + timedelta(weeks=weeks)
        begin = datetime(day.year, day.month, day.day, 10)
        row = session(f"{weeks}", begin.isoformat(), ELEVEN, invoked_at=begin - timedelta(seconds=seconds))
        warehouse.load(SESSIONS, day, row)
    rows = example(warehouse, "time_to_live_by_week")
    assert [row["p95_seconds_more"] for row in rows] == [None, 2.0, None]


def test_streams_of_a_day_that_is_not_over_are_averaged_over_what_is(warehouse: "FileWarehouse") -> None:
    warehouse.load(
        SESSIONS, DAY, session("1", f"{DAY}T06:00:00", f"{DAY}T09:00:00"), loaded_at=datetime(2025, 12, 10, 12)
    )
    assert only(warehouse.mart("stream_concurrency"))["average_concurrent_streams"] == 0.25
    warehouse.load(SESSIONS, DAY, session("1", f"{DAY}T06:00:00", f"{DAY}T09:00:00"))
    assert only(warehouse.mart("stream_concurrency"))["average_concurrent_streams"] == 0.125
    warehouse.load(SESSIONS, DAY, app_id="b", is_known=False)
    assert [row["account_apps"] for row in warehouse.mart("stream_concurrency")] == [1, 1]


@pytest.mark.long
def test_no_figure_is_minus_zero(warehouse: "FileWarehouse") -> None:
    figures_of_day = {"ingest_seconds": 3600.3, "viewer_seconds": 7200.1}
    warehouse.load(
        SESSIONS,
        DAY,
        *(session(f"{n}", TEN, ELEVEN, ingest_seconds=s, viewer_seconds=s) for n, s in enumerate((0.1, 0.2))),
    )
    warehouse.load(OVERALL, DAY, figures_of_day | {"ingest_seconds": 0.3, "viewer_seconds": 0.0})
    for name, rows in all_examples(warehouse).items():
        for row in rows:
            assert "-0.0" not in [str(cell) for cell in row.values()], name
    assert "-0.0" not in [str(cell) for cell in only(warehouse.mart("reconciliation")).values()]


@pytest.mark.long
def test_the_livestream_with_most_sessions_is_in_the_page(
    warehouse: "FileWarehouse", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(figures.LIMITS, "stream_rows", 30)
    for number in range(5):
        day = DAY + timedelta(days=number)
        begin, end = f"{day}T10:00:00", f"{day}T11:00:00"
        often = (session(f"{day}-{n}", begin, end, livestream_id="often") for n in range(20))
        rare = (session(f"{day}-{n}r", begin, end, livestream_id=f"rare{n}", viewer_seconds=0.2) for n in range(4))
        warehouse.load(SESSIONS, day, *often, *rare)
    warehouse.build_all()
    shown = figures.read_figures(warehouse.connection)
    assert shown
    assert set(shown["streams"]["keys"]["livestream_id"]) == {"often", *(f"rare{n}" for n in range(4))}


@pytest.mark.long
def test_cost_knows_three_classes_of_livestreams(warehouse: "FileWarehouse") -> None:
    warehouse.insert("core.livestreams", {"app_id": "a", "livestream_id": "l1", "meeting_id": "m"})
    warehouse.insert("core.livestreams", {"app_id": "a", "livestream_id": "l2"})
    minutes = {"l1": 30, "l2": 10, "unlisted": 600}
    rows = [session(name, TEN, ELEVEN, livestream_id=name, ingest_seconds=60.0 * n) for name, n in minutes.items()]
    warehouse.load(SESSIONS, DAY, *rows)
    warehouse.build_all()
    shown = figures.read_figures(warehouse.connection)
    assert shown
    names = ("exported_seconds", "direct_seconds", "unplaced_seconds")
    assert [shown["days"][name] for name in names] == [[1800.0], [600.0], [36_000.0]]


@pytest.mark.long
def test_a_session_that_has_not_ended_makes_its_day_provisional_in_the_page(warehouse: "FileWarehouse") -> None:
    warehouse.load(SESSIONS, DAY, session("1", TEN, ELEVEN))
    following = DAY + timedelta(days=1)
    warehouse.load(SESSIONS, following, session("2", f"{following}T10:00:00", ingest_seconds=60.0, viewer_seconds=60.0))
    warehouse.build_all()
    shown = figures.read_figures(warehouse.connection)
    assert shown
    coverage = shown["coverage"]
    states = zip(coverage["table_name"], coverage["state"], strict=True)
    assert [state for table, state in states if table == SESSIONS] == ["known", "provisional"]


@pytest.mark.long
def test_the_page_shows_where_overall_is_older_than_the_sessions(warehouse: "FileWarehouse") -> None:
    at = datetime(2025, 12, 11, 3)
    warehouse.load(OVERALL, DAY, {"ingest_seconds": 1.0, "viewer_seconds": 1.0, "fetched_at": at})
    for later, is_older in ((timedelta(minutes=5), False), (timedelta(days=2), True)):
        warehouse.load(SESSIONS, DAY, session("1", TEN, ELEVEN, fetched_at=at + later))
        warehouse.build_all()
        shown = figures.read_figures(warehouse.connection)
        assert shown
        assert shown["reconciliation"]["is_older"] == [is_older]


@pytest.mark.long
def test_the_page_counts_sessions_by_the_rule_of_the_verdict(warehouse: "FileWarehouse") -> None:
    counts = [4, 3, 2, 1, None]
    for number, count in enumerate(counts):
        day = DAY + timedelta(days=number)
        ten, eleven = f"{day}T10:00:00", f"{day}T11:00:00"
        warehouse.load(OVERALL, day, {"ingest_seconds": 9.0, "viewer_seconds": 9.0, "session_count": count})
        warehouse.load(
            SESSIONS,
            day,
            session(f"{number}-1", ten, eleven),
            session(f"{number}-2", ten, eleven),
            session(f"{number}-3", invoked_at=datetime.fromisoformat(ten)),
        )
    warehouse.build_all()
    shown = figures.read_figures(warehouse.connection)
    assert shown
    judged = shown["reconciliation"]
    assert judged["verdict"] == ["sessions_missing", *4 * ["overall_behind"]]
    assert judged["missing_sessions"] == [1, 0, 0, 1, 0]
