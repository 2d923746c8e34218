"""Known answers of every mart, and: a refresh leaves what a whole build would."""

import random
import re
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest

from pipelines.catalog.core import (
    LIVE_OBSERVATIONS,
    LIVESTREAM_ANALYTICS_DAILY,
    MEETING_SESSIONS_DAILY,
    RECORDINGS_DAILY,
)
from pipelines.catalog.files import WAREHOUSE_FILE
from pipelines.catalog.streams import FACTS
from pipelines.errors import LivehouseError
from pipelines.live.merge import merge_day
from pipelines.marts import build as marts
from pipelines.marts import macros
from pipelines.marts.build import Mart, MartColumn, build_mart, find_marts, order_marts, read_mart
from pipelines.report import figures
from tests.report.conftest import SESSIONS, Row, session

if TYPE_CHECKING:
    from tests.report.conftest import FileWarehouse

OVERALL, MEETINGS, RECORDINGS = (
    table.full_name for table in (LIVESTREAM_ANALYTICS_DAILY, MEETING_SESSIONS_DAILY, RECORDINGS_DAILY)
)
MARTS = {mart.name: mart for mart in find_marts()}
DAY = date(2025, 12, 10)
NEXT = DAY + timedelta(days=1)


def only(rows: list[Row]) -> Row:
    [row] = rows
    return row


def part(row: Row, *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


# --- the files ------------------------------------------------------------------------------------------


def test_marts_are_those_of_the_contract_and_live_audience() -> None:
    assert sorted(MARTS) == [
        "daily_usage",
        "live_audience",
        "livestream_performance",
        "monthly_usage",
        "reconciliation",
        "session_reliability",
        "stream_concurrency",
    ]


@pytest.mark.parametrize("mart", MARTS.values(), ids=MARTS)
def test_a_head_describes_every_column_and_the_database_has_the_comments(
    mart: Mart, warehouse: "FileWarehouse"
) -> None:
    warehouse.build(mart)
    columns = warehouse.query(
        "SELECT column_name, comment, data_type FROM duckdb_columns() "
        f"WHERE schema_name = 'marts' AND table_name = '{mart.name}' ORDER BY column_index"
    )
    assert {row["column_name"]: row["comment"] for row in columns} == {
        name: f"{meaning} ({unit})" for name, (unit, meaning) in mart.columns.items()
    }
    assert [row["column_name"] for row in columns] == list(mart.columns)
    allowed = {
        "seconds": "DOUBLE",
        "minutes": "DOUBLE",
        "hours": "DOUBLE",
        "count": "BIGINT",
        "flag": "BOOLEAN",
    }
    allowed |= {
        "UTC day": "DATE",
        "UTC time": "TIMESTAMP",
        "id": "VARCHAR",
        "text": "VARCHAR",
        "days": "BIGINT",
    }
    for row in columns:
        unit = mart.columns[row["column_name"]][0]
        assert row["data_type"] == allowed.get(unit, row["data_type"]), row
    table = only(warehouse.query(f"SELECT comment FROM duckdb_tables() WHERE table_name = '{mart.name}'"))
    assert table["comment"] == mart.description
    assert mart.description[0].isupper()
    assert set(mart.grain) <= set(mart.columns)


@pytest.mark.parametrize("mart", MARTS.values(), ids=MARTS)
def test_what_a_mart_depends_on_is_read_from_its_sql(mart: Mart) -> None:
    assert set(mart.depends_on) <= {table.full_name for table in WAREHOUSE_FILE}
    facts = SESSIONS if mart.name != "live_audience" else "core.live_observations"
    assert facts in mart.depends_on


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 1 AS day", "needs `-- grain"),
        ("-- grain: app_id\n-- column: app_id (id): app\nSELECT app_id FROM ops.days", "needs `-- grain"),
        ("-- grain: day\n-- column: day (day): d\nSELECT day FROM raw.days", "reads from raw:"),
        ("-- grain: day\n-- column: day (day): d\nSELECT day FROM marts.daily_usage", "reads from marts.daily_usage:"),
        ("-- grain: day\n-- column: day (day): d\nSELECT day FROM marts.mine", "reads from marts.mine:"),
    ],
)
def test_a_file_that_is_no_mart_is_refused(tmp_path: Path, sql: str, message: str) -> None:
    path = tmp_path / "mine.sql"
    path.write_text(sql)
    with pytest.raises(LivehouseError, match=message):
        read_mart(path, {})


HEAD = "-- A mart.\n-- grain: day\n-- column: day (UTC day): day\n"


def write_marts(directory: Path, **queries: str) -> dict[str, Path]:
    paths = {name: directory / f"{name}.sql" for name in queries}
    for name, query in queries.items():
        paths[name].write_text(HEAD + query)
    return paths


def test_marts_are_built_after_those_they_read_whatever_their_names(tmp_path: Path) -> None:
    paths = write_marts(
        tmp_path,
        a="SELECT day FROM marts.c",
        b="SELECT day FROM ops.days",
        c="SELECT day FROM marts.b",
        d="SELECT day FROM ops.days",
    )
    marts = {mart.name: mart for mart in order_marts(paths)}
    names = list(marts)
    assert names.index("b") < names.index("c") < names.index("a")
    assert [mart.name for mart in marts["a"].builds_on] == ["c"]
    assert marts["a"].depends_on == ("ops.days",)


def test_marts_that_read_each_other_are_refused(tmp_path: Path) -> None:
    paths = write_marts(tmp_path, a="SELECT day FROM marts.b", b="SELECT day FROM marts.a")
    with pytest.raises(LivehouseError, match="read each other in a circle: "):
        order_marts(paths)


def test_a_mart_cannot_build_on_one_whose_rows_decide_which_days_it_affects(tmp_path: Path) -> None:
    paths = write_marts(tmp_path, a="SELECT day FROM ops.days", b="SELECT day FROM marts.a")
    paths["a"].write_text("-- affects: day, last_day_reached\n" + paths["a"].read_text())
    with pytest.raises(LivehouseError, match=r"marts\.a \(it affects days by its rows\)"):
        order_marts(paths)


def test_a_changed_macro_changes_the_hash_of_the_marts_that_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: mart.sql_hash for name, mart in MARTS.items()}
    changed = {name: text.replace("'inf'", "'nan'") for name, text in macros.find_macros().items()}
    monkeypatch.setattr(macros, "find_macros", lambda: changed)
    macros.macros_used.cache_clear()
    after = {name: mart.sql_hash for name, mart in MARTS.items()}
    macros.macros_used.cache_clear()
    assert {name for name in before if before[name] == after[name]} == {"session_reliability"}


@pytest.mark.parametrize("name", macros.find_macros())
def test_every_macro_is_used_and_creates_those_it_uses(name: str) -> None:
    report = Path(figures.__file__).parent / "queries"
    queries = [mart.sql for mart in MARTS.values()] + [path.read_text() for path in report.glob("*.sql")]
    assert any(macros.find_macros()[name] in macros.macros_used(sql) for sql in queries)
    with duckdb.connect() as connection:
        macros.create_macros(connection, f"SELECT {name}(")


# --- known answers --------------------------------------------------------------------------------------


def test_daily_usage_adds_up_a_day(warehouse: "FileWarehouse") -> None:
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


def test_zero_and_unknown_are_different_things_in_every_daily_mart(warehouse: "FileWarehouse") -> None:
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


def test_sessions_that_report_no_figure_are_unknown_unless_they_never_started(warehouse: "FileWarehouse") -> None:
    live = session("1", "2025-12-10T10:00:00")
    warehouse.load(SESSIONS, DAY, session("2"))
    warehouse.load(SESSIONS, NEXT, live)
    assert [row["ingest_seconds"] for row in warehouse.mart("daily_usage")] == [0.0, None]


def test_figures_as_large_as_the_rules_take_stop_no_mart(warehouse: "FileWarehouse") -> None:
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


def test_monthly_usage_counts_the_days_it_sums(warehouse: "FileWarehouse") -> None:
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


def test_a_month_with_a_day_loaded_before_it_was_over_is_not_complete(warehouse: "FileWarehouse") -> None:
    for number in range(1, 31):
        for table in (SESSIONS, MEETINGS, RECORDINGS):
            day = date(2025, 11, number)
            rows: list[Row] = [] if table == SESSIONS else [{}]
            early = datetime(2025, 11, 30, 23) if (table, number) == (RECORDINGS, 30) else None
            warehouse.load(table, day, *rows, loaded_at=early)
    assert only(warehouse.mart("monthly_usage"))["is_complete"] is False
    warehouse.load(RECORDINGS, date(2025, 11, 30), {})
    assert only(warehouse.mart("monthly_usage"))["is_complete"] is True


def test_livestream_performance_of_a_month(warehouse: "FileWarehouse") -> None:
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


def test_the_best_place_of_a_livestream_in_its_month(warehouse: "FileWarehouse") -> None:
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


def test_a_name_change_ends_up_in_every_month_whatever_was_loaded(warehouse: "FileWarehouse") -> None:
    for day in (date(2025, 10, 1), DAY):
        warehouse.load(SESSIONS, day, session(f"s{day}", f"{day}T10:00:00", f"{day}T11:00:00"))
    assert [row["name"] for row in warehouse.mart("livestream_performance")] == [None, None]
    for name in ("First", "Second", None):
        warehouse.connection.execute("DELETE FROM core.livestreams")
        warehouse.insert("core.livestreams", {"app_id": "a", "livestream_id": "l1", "name": name})
        assert [row["name"] for row in warehouse.mart("livestream_performance")] == [name, name]
        assert warehouse.build("livestream_performance").refreshed == []


def test_session_reliability_counts_each_way_to_fail(warehouse: "FileWarehouse") -> None:
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


def test_stream_concurrency_over_midnight(warehouse: "FileWarehouse") -> None:
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


def test_streams_of_all_apps_at_once_are_counted_not_added(warehouse: "FileWarehouse") -> None:
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


def test_ingest_of_a_livestream_listed_later_finds_its_place(warehouse: "FileWarehouse") -> None:
    warehouse.load(SESSIONS, DAY, session("1", "2025-12-10T10:00:00", "2025-12-10T11:00:00"))
    names = ("meeting_ingest_seconds", "unlisted_ingest_seconds")
    assert list(part(only(warehouse.mart("daily_usage")), *names).values()) == [0.0, 3600.0]
    warehouse.connection.execute(
        "INSERT INTO core.livestreams BY NAME"
        " SELECT 'a' AS app_id, 'l1' AS livestream_id, 'm' AS meeting_id, ?::TIMESTAMP AS first_seen_at",
        [warehouse.tick()],
    )
    assert list(part(only(warehouse.mart("daily_usage")), *names).values()) == [3600.0, 0.0]


def test_a_stream_on_air_counts_until_it_was_last_received(warehouse: "FileWarehouse") -> None:
    on_air = session("1", "2025-12-10T22:00:00", fetched_at=datetime(2025, 12, 11, 3))
    failed = session("2", "2025-12-10T22:00:00", err_message="lost", updated_at=datetime(2025, 12, 10, 23))
    warehouse.load(SESSIONS, DAY, on_air, failed)
    warehouse.load(SESSIONS, NEXT)
    assert [row["stream_hours"] for row in warehouse.mart("stream_concurrency")] == [3.0, 3.0]


def test_a_session_loaded_again_changes_the_days_it_reached_and_those_it_reaches(
    warehouse: "FileWarehouse",
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


def test_a_session_noted_a_day_after_its_start_changes_the_day_before(warehouse: "FileWarehouse") -> None:
    warehouse.load(SESSIONS, DAY)
    warehouse.build("stream_concurrency")
    warehouse.load(SESSIONS, NEXT, session("1", "2025-12-10T23:59:59", "2025-12-11T00:59:59"))
    rows = warehouse.mart("stream_concurrency")
    assert [row["peak_concurrent_streams"] for row in rows] == [1, 1]


def reconciled(warehouse: "FileWarehouse", overall: Row | None, *sessions: Row) -> Row:
    if overall is not None:
        warehouse.load(OVERALL, DAY, overall)
    warehouse.load(SESSIONS, DAY, *sessions)
    return only(warehouse.mart("reconciliation"))


@pytest.mark.parametrize(
    ("ingest", "viewer", "verdict"),
    [
        (3600.0, 7200.0, "match"),
        (3600.5, 7200.5, "match"),
        (3600.6, 7200.0, "sessions_missing"),
        (3600.0, 7300.0, "sessions_missing"),
        (3500.0, 7300.0, "sessions_missing"),
        (3599.4, 7200.0, "overall_behind"),
        (3600.0, 0.0, "overall_behind"),
        (None, 7200.0, "unknown"),
    ],
)
def test_reconciliation_judges_a_settled_day(
    warehouse: "FileWarehouse", ingest: float | None, viewer: float, verdict: str
) -> None:
    overall = {"livestream_count": 1, "ingest_seconds": ingest, "viewer_seconds": viewer}
    row = reconciled(warehouse, overall, session("1", f"{DAY}T10:00:00", f"{DAY}T11:00:00"))
    assert row["verdict"] == verdict
    assert row["viewer_seconds_difference"] == viewer - 7200


def test_the_tolerance_grows_with_the_figures(warehouse: "FileWarehouse") -> None:
    overall = {"ingest_seconds": 10_000_009.0, "viewer_seconds": 0.0}
    watched = session("1", f"{DAY}T10:00:00", f"{DAY}T11:00:00", ingest_seconds=10_000_000.0, viewer_seconds=0.0)
    assert reconciled(warehouse, overall, watched)["verdict"] == "match"


def test_a_day_with_a_stream_on_air_or_loaded_before_its_end_is_unsettled(warehouse: "FileWarehouse") -> None:
    overall: Row = {"ingest_seconds": 9.0, "viewer_seconds": 9.0}
    assert reconciled(warehouse, overall, session("1", f"{DAY}T10:00:00"))["verdict"] == "unsettled"
    assert reconciled(warehouse, overall)["verdict"] == "sessions_missing"
    early = datetime(2025, 12, 10, 20)
    assert reconciled(warehouse, overall | {"fetched_at": early})["verdict"] == "unsettled"
    warehouse.load(OVERALL, DAY, overall)
    warehouse.load(SESSIONS, DAY, loaded_at=early)
    warehouse.connection.execute("DROP TABLE marts.reconciliation")
    assert only(warehouse.mart("reconciliation"))["verdict"] == "unsettled"


def test_nothing_is_compared_with_what_is_unknown(warehouse: "FileWarehouse") -> None:
    assert reconciled(warehouse, None, session("1"))["verdict"] == "unknown"
    warehouse.load(OVERALL, NEXT, {"ingest_seconds": 1.0, "viewer_seconds": 1.0})
    assert [row["verdict"] for row in warehouse.mart("reconciliation")] == ["unknown", "unknown"]


def test_quarantined_sessions_are_shown_beside_the_difference(warehouse: "FileWarehouse") -> None:
    warehouse.insert("ops.quarantine", {"app_id": "a", "table_name": SESSIONS, "day": DAY, "record_id": "x"})
    row = reconciled(warehouse, {"livestream_count": 2, "ingest_seconds": 1.0, "viewer_seconds": 1.0})
    assert part(row, "sessions_quarantined", "livestreams_difference", "verdict") == {
        "sessions_quarantined": 1,
        "livestreams_difference": 2,
        "verdict": "sessions_missing",
    }


# --- building -------------------------------------------------------------------------------------------


def test_only_what_was_loaded_since_is_built_again(warehouse: "FileWarehouse") -> None:
    for number in range(60):
        warehouse.load(SESSIONS, date(2025, 10, 1) + timedelta(days=number))
    assert warehouse.build("daily_usage") == marts.MartBuild(60, None)
    assert warehouse.build("daily_usage") == marts.MartBuild(60, [])
    for day in (date(2025, 10, 3), date(2025, 10, 9), date(2025, 11, 20)):
        warehouse.load(SESSIONS, day, session(f"s{day}"))
    october, november = date(2025, 10, 1), date(2025, 11, 1)
    refreshed = warehouse.build("daily_usage").refreshed
    assert refreshed == [(date(2025, 10, 3), date(2025, 10, 9)), (date(2025, 11, 20), date(2025, 11, 20))]
    assert warehouse.build("monthly_usage").refreshed is None
    warehouse.load(SESSIONS, date(2025, 11, 20))
    assert warehouse.build("monthly_usage").refreshed == [(november, november)]
    warehouse.load(SESSIONS, date(2025, 10, 20))
    warehouse.load(SESSIONS, date(2025, 11, 20))
    assert warehouse.build("monthly_usage").refreshed == [(october, november)]


def test_a_day_loaded_at_the_moment_of_the_build_is_not_missed(warehouse: "FileWarehouse") -> None:
    warehouse.load(SESSIONS, DAY)
    warehouse.build("daily_usage")
    warehouse.load(SESSIONS, DAY, session("1"), loaded_at=warehouse.now)
    assert only(warehouse.mart("daily_usage"))["sessions"] == 1


@pytest.mark.parametrize("why", ["text", "gone"])
def test_another_text_or_a_missing_table_means_a_whole_build(warehouse: "FileWarehouse", why: str) -> None:
    mart = MARTS["daily_usage"]
    warehouse.load(SESSIONS, DAY, session("1"))
    warehouse.build(mart)
    if why == "text":
        head = "-- column: twice (count): sessions, twice\nWITH held AS"
        sql = mart.sql.replace("WITH held AS", head).replace(
            "    known.loaded_at\nFROM known\nLEFT JOIN core.meeting",
            "    sessions * 2 AS twice\nFROM known\nLEFT JOIN core.meeting",
        )
        mart = replace(mart, sql=sql, columns={"twice": MartColumn("count", "sessions, twice")})
    else:
        warehouse.connection.execute("DROP TABLE marts.daily_usage")
    assert warehouse.build(mart).refreshed is None
    rows = warehouse.query("FROM marts.daily_usage")
    assert [row["sessions"] for row in rows] == [1]
    if why == "text":
        assert rows[0]["twice"] == 2
    assert warehouse.build(mart).refreshed == []


@pytest.mark.parametrize("days", [-30, 30])
def test_a_clock_that_was_wrong_for_one_run_hides_no_change(warehouse: "FileWarehouse", days: int) -> None:
    warehouse.load(SESSIONS, DAY, session("1"))
    warehouse.build("daily_usage")
    right = warehouse.now
    warehouse.now += timedelta(days=days)
    warehouse.load(SESSIONS, NEXT, session("2"))  # and that run ended before it built any mart
    warehouse.now = right
    assert [row["sessions"] for row in warehouse.mart("daily_usage")] == [1, 1]
    assert warehouse.build("daily_usage").refreshed == []


@pytest.mark.parametrize("text", ["SELECT nothing FROM ops.days", "SELECT app_id, day, error('cut') FROM ops.days"])
def test_a_build_that_fails_leaves_the_mart_as_it_was(warehouse: "FileWarehouse", text: str) -> None:
    warehouse.load(SESSIONS, DAY, session("1"))
    before = warehouse.mart("daily_usage")
    noted = warehouse.query("FROM ops.mart_builds")
    with pytest.raises(duckdb.Error):
        warehouse.build(replace(MARTS["daily_usage"], sql=text))
    assert warehouse.query("FROM marts.daily_usage") == before
    assert warehouse.query("FROM ops.mart_builds") == noted


def load_at_random(warehouse: "FileWarehouse", dice: random.Random) -> None:
    start = date(2025, 10, 20)
    for _ in range(dice.randint(1, 6)):
        day = start + timedelta(days=dice.randint(0, 40))
        app_id, table = dice.choice("ab"), dice.choice(FACTS)
        if table.full_name != SESSIONS:
            figures = {column: dice.randint(0, 9) for column in table.measures}
            rows: list[Row] = [figures] if dice.random() < 0.8 else []
        else:
            rows = []
            for number in range(dice.randint(0, 5)):
                begins = datetime(day.year, day.month, day.day) + timedelta(minutes=dice.randint(-5, 1439))
                ends = begins + timedelta(minutes=dice.choice([0, 30, 300, 3000, 30000]))
                started = begins.isoformat() if dice.random() < 0.9 else None
                stopped = ends.isoformat() if started and dice.random() < 0.8 else None
                row = session(f"{app_id}{day}{number}", started, stopped, livestream_id=f"l{dice.randint(1, 3)}")
                row["err_message"] = dice.choice([None, None, "", "lost", "gone"])
                row["updated_at"] = dice.choice([ends, ends, None])
                if dice.random() < 0.2:
                    row["viewer_seconds"] = dice.choice([None, 0.0, 90.5])
                del row["is_live"]
                rows.append(row | {"fetched_at": ends + timedelta(hours=1)})
        known = bool(rows) or dice.random() < 0.5
        warehouse.load(table.full_name, day, *rows, app_id=app_id, is_known=known)
    change_at_random(warehouse, dice, start)


def change_at_random(warehouse: "FileWarehouse", dice: random.Random, start: date) -> None:  # noqa: C901 - a list of cases
    """Changes of tables that are only joined, and of days that are repaired."""
    run = warehouse.connection.execute
    for _ in range(dice.randint(0, 3)):
        one = [dice.choice("ab"), f"l{dice.randint(1, 3)}"]
        day = start + timedelta(days=dice.randint(0, 40))
        table = dice.choice(FACTS).full_name
        match dice.choice(["list", "rename", "move", "touch", "unlist", "quarantine", "repair", "forget", "observe"]):
            case "list":
                run("DELETE FROM core.livestreams WHERE app_id = ? AND livestream_id = ?", one)
                meeting = dice.choice([None, "", "m1"])
                row: Row = {
                    "app_id": one[0],
                    "livestream_id": one[1],
                    "name": f"{dice.random()}",
                    "meeting_id": meeting,
                }
                warehouse.insert("core.livestreams", row)
            case "rename":
                run("UPDATE core.livestreams SET name = ? WHERE (app_id, livestream_id) = (?, ?)", [f"{day}", *one])
            case "move":
                meeting = dice.choice([None, "m1", "m2"])
                run(
                    "UPDATE core.livestreams SET meeting_id = ? WHERE (app_id, livestream_id) = (?, ?)", [meeting, *one]
                )
            case "touch":
                run("UPDATE core.livestreams SET updated_at = now()::TIMESTAMP, last_seen_at = now()::TIMESTAMP")
            case "unlist":
                run("DELETE FROM core.livestreams WHERE (app_id, livestream_id) = (?, ?)", one)
            case "quarantine":
                row = {"app_id": one[0], "table_name": table, "day": day, "record_id": f"{dice.random()}"}
                warehouse.insert("ops.quarantine", row)
            case "repair":
                run("DELETE FROM ops.quarantine WHERE app_id = ? AND random() < 0.5", one[:1])
            case "forget":
                run("DELETE FROM ops.days WHERE (table_name, app_id, day) = (?, ?, ?)", [table, one[0], day])
                run(f"DELETE FROM {table} WHERE (app_id, day) = (?, ?)", [one[0], day])
            case "observe":
                observe(warehouse, dice, one[0], one[1], day)


def observe(warehouse: "FileWarehouse", dice: random.Random, app_id: str, livestream_id: str, day: date) -> None:
    begins = datetime(day.year, day.month, day.day) + timedelta(seconds=dice.choice([0, 40_000, 86_000]))
    ages = [15 * n for n in range(1, dice.randint(2, 60))]
    seen = {
        "livestream_id": livestream_id,
        "session_id": f"{day}{dice.random()}",
        "observed_at": [begins + timedelta(seconds=age) for age in ages],
        "ingest_seconds": [60.0 if age < 50 else float(age) for age in ages],
        "viewer_seconds": [60.0 if age < 50 else age * 7.5 for age in ages],
        "started_at": begins,
    }
    frame = pl.DataFrame(seen, schema_overrides=LIVE_OBSERVATIONS.polars_schema).with_columns(
        pl.lit(app_id).alias("app_id")
    )
    for (at,), rows in frame.group_by(pl.col("observed_at").dt.date(), maintain_order=True):
        assert isinstance(at, date)
        by_hour = dice.random() < 0.3
        merge_day(warehouse.connection, app_id, at, rows=rows, by_hour=by_hour, run_id="run", now=warehouse.tick())


# the seed also chooses how many rows a statement evaluates
@pytest.mark.parametrize("seed", [5, *(pytest.param(n, marks=pytest.mark.long) for n in (0, *range(6, 30)))])
def test_refreshing_after_each_of_many_loads_leaves_what_a_whole_build_makes(
    warehouse: "FileWarehouse", seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(seed)
    monkeypatch.setattr(marts, "MAX_ROWS_PER_STATEMENT", dice.choice([1, 20, 2_000_000]))
    for _ in range(5):
        load_at_random(warehouse, dice)
        for mart in MARTS.values():
            if dice.random() < 0.5:
                warehouse.build(mart)
        refreshed = {name: warehouse.mart(name) for name in MARTS}
        for name, rows in refreshed.items():
            whole = built_whole(warehouse, MARTS[name])
            assert len(rows) == len(whole), name
            for had, made in zip(rows, whole, strict=True):
                assert {n: pytest.approx(v) if isinstance(v, float) else v for n, v in made.items()} == had, name


def built_whole(warehouse: "FileWarehouse", mart: Mart) -> list[Row]:
    """Return the rows of the mart's SQL, without any build."""
    order = ", ".join(mart.grain)
    return warehouse.query(f"SELECT * FROM (\n{mart.sql}\n) ORDER BY {order}")


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


@pytest.mark.parametrize("seed", range(4))
def test_stream_concurrency_is_what_counting_at_every_start_gives(warehouse: "FileWarehouse", seed: int) -> None:
    dice = random.Random(seed)
    for _ in range(12):
        load_at_random(warehouse, dice)
    for row in warehouse.mart("stream_concurrency"):
        sessions = warehouse.query(f"FROM {SESSIONS} WHERE app_id = '{row['app_id']}'")
        peak, hours = concurrency_by_hand(sessions, row["day"])
        if row["peak_concurrent_streams"] is not None:
            assert row["peak_concurrent_streams"] == peak
            assert row["stream_hours"] == pytest.approx(hours)


def test_a_refresh_does_not_read_the_history() -> None:
    connection = duckdb.connect(config={"threads": 1})
    for schema in ("core", "ops"):
        connection.execute(f"CREATE SCHEMA {schema}")
    for table in WAREHOUSE_FILE:
        connection.execute(table.create_sql)
    connection.execute(
        f"""INSERT INTO {SESSIONS} BY NAME
        SELECT 'a' AS app_id, i::VARCHAR AS session_id, 'l' AS livestream_id, false AS is_live,
            DATE '2024-01-01' + (i // 1000)::INT AS day, day + to_seconds(i % 1000) AS started_at,
            started_at + INTERVAL 1 HOUR AS stopped_at, stopped_at AS ended_at
        FROM range(400_000) AS series (i)"""
    )
    connection.execute(
        f"""INSERT INTO ops.days BY NAME
        SELECT '{SESSIONS}' AS table_name, 'a' AS app_id, day, count(*) AS row_count, true AS is_known,
            TIMESTAMP '2026-01-01' AS loaded_at
        FROM {SESSIONS} GROUP BY day"""
    )
    build_mart(connection, MARTS["live_audience"], datetime(2026, 1, 1))
    connection.execute(
        """INSERT INTO marts.live_audience BY NAME
        SELECT 'a' AS app_id, 'l' AS livestream_id, DATE '2024-01-01' + (i // 1000)::INT AS day,
            day + to_minutes(i % 1000) AS minute, 1 AS span_minutes, 60 AS viewer_seconds,
            minute AS observed_from, minute + INTERVAL 1 MINUTE AS observed_until
        FROM range(400_000) AS series (i)"""
    )
    last: date
    [(last,)] = connection.execute(f"SELECT max(day) FROM {SESSIONS}").fetchall()
    build_mart(connection, MARTS["daily_usage"], datetime(2026, 1, 1))
    for mart in MARTS.values():
        first = last - timedelta(days=2) if mart.period == "day" else last.replace(day=1)
        query = f"SELECT * FROM (\n{mart.sql}\n) WHERE {mart.period} BETWEEN DATE '{first}' AND DATE '{last}'"
        macros.create_macros(connection, query)
        [(_, plan)] = connection.execute(f"EXPLAIN (ANALYZE, FORMAT json) {query}").fetchall()
        read = [int(rows) for rows in re.findall(r'"(?:operator_)?rows_scanned": (\d+)', plan)]
        # a row group holds 122,880 rows; a mart by month compares all days, and reads no more of other months
        assert max(read) < 250_000 or mart.period == "month", (mart.name, read)
    built = build_mart(connection, MARTS["stream_concurrency"], datetime(2026, 1, 2))
    assert built.rows == 400
    connection.close()
