"""Checks fail on what they are for and on nothing else; examples answer a question."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from shutil import copyfile

import pytest

from pipelines.catalog.streams import FACTS
from pipelines.marts.build import find_marts
from pipelines.marts.checks import find_checks
from pipelines.marts.examples import Example, find_examples
from tests.report.conftest import FileWarehouse, session

CHECKS = {f"{check.table}__{check.rule}": check for check in find_checks()}
EXAMPLES = {example.name: example for example in find_examples()}
RAW = ("raw.livestreams", "raw.livestream_sessions", "raw.livestream_analytics", "raw.app_analytics")
DAY = date(2025, 11, 20)
Offence = Callable[[FileWarehouse], object]


def twice(table: str) -> Offence:
    return lambda run: run.connection.execute(f"INSERT INTO {table} FROM {table} LIMIT 1")


def shrunk(table: str) -> Offence:
    def commit(run: FileWarehouse) -> None:
        run.load(table, DAY, run_id="later")
        run.insert("ops.shrinks", {"app_id": "a", "table_name": table, "day": DAY, "record_id": "x", "run_id": "y"})

    return commit


def gap(table: str) -> Offence:
    return lambda run: run.load(table, date(2026, 1, 1))


def torn(table: str) -> Offence:
    return lambda run: run.connection.execute(f"DELETE FROM {table} WHERE app_id = 'b' AND day = ?", [DAY])


def quarantined(table: str) -> Offence:
    return lambda run: run.insert("ops.quarantine", {"app_id": "a", "table_name": table, "record_id": "x"})


def at(hour: int) -> datetime:
    return datetime(2025, 12, 1) + timedelta(hours=hour)


def loads(run: FileWarehouse, table: str, *received: int) -> None:
    """Add hourly loads of a table, each within its hour."""
    for hour, records in enumerate(received):
        row = {"run_id": f"run{hour}", "table_name": table, "app_id": "a", "rows_received": records}
        run.insert("ops.loads", row | {"rows_landed": records, "rows_quarantined": 0, "rows_duplicate": 0})
        run.connection.execute(
            "UPDATE ops.loads SET started_at = ?, finished_at = ? WHERE run_id = ? AND table_name = ?",
            [at(hour), at(hour + 1), row["run_id"], table],
        )


def seen(run: FileWarehouse, table: str, field: str, json_type: str, records: int, *span: int) -> None:
    """Note a field: in how many records it came, in which hour first, in which last."""
    first, last = span
    run.insert(
        "ops.field_types",
        {
            "table_name": table,
            "field": field,
            "json_type": json_type,
            "records": records,
            "first_seen_at": at(first) + timedelta(minutes=5),
            "last_seen_at": at(last) + timedelta(minutes=5),
        },
    )


def new_field(table: str) -> Offence:
    def commit(run: FileWarehouse) -> None:
        loads(run, table, 100, 100)
        seen(run, table, "id", "string", 200, 0, 1)
        seen(run, table, "surprise", "object", 1, 1, 1)

    return commit


def unbalanced(run: FileWarehouse) -> None:
    loads(run, "core.livestreams", 10)
    run.connection.execute("UPDATE ops.loads SET rows_landed = 9")


def twice_in_mart(mart: str, *, is_null: bool = False) -> Offence:
    def commit(run: FileWarehouse) -> None:
        run.build(mart)
        if is_null:
            run.connection.execute(f"UPDATE marts.{mart} SET app_id = NULL WHERE rowid = 0")
        else:
            run.connection.execute(f"INSERT INTO marts.{mart} FROM marts.{mart} LIMIT 1")

    return commit


def twice_in_audience(run: FileWarehouse) -> None:
    run.build("live_audience")
    for _ in range(2):
        run.connection.execute("INSERT INTO marts.live_audience BY NAME SELECT 'a' AS app_id, DATE '2026-01-01' AS day")


def unreconciled(run: FileWarehouse) -> None:
    run.load("core.livestream_analytics_daily", DAY, {"ingest_seconds": 1e9, "viewer_seconds": 1e9})
    run.build("reconciliation")


def list_shrunk(run: FileWarehouse) -> None:
    loads(run, "core.livestreams", 10)
    missing = {"app_id": "a", "table_name": "core.livestreams", "record_id": "x", "run_id": "run0"}
    run.insert("ops.shrinks", missing)


OFFENCES: dict[str, Offence] = {
    "core.livestreams__never_shrinks": list_shrunk,
    "core.livestreams__unique_key": twice("core.livestreams"),
    "core.livestreams__quarantine_empty": quarantined("core.livestreams"),
    "marts.reconciliation__reconciles": unreconciled,
    "ops.loads__balances": unbalanced,
    **{f"{table}__known_fields": new_field(table) for table in RAW},
    "marts.live_audience__unique_grain": twice_in_audience,
}
for number, mart in enumerate(sorted({mart.name for mart in find_marts()} - {"live_audience"})):
    OFFENCES[f"marts.{mart}__unique_grain"] = twice_in_mart(mart, is_null=number % 2 == 0)
for fact in (table.full_name for table in FACTS):
    OFFENCES |= {
        f"{fact}__unique_key": twice(fact),
        f"{fact}__never_shrinks": shrunk(fact),
        f"{fact}__day_gaps": gap(fact),
        f"{fact}__ledger_matches": torn(fact),
        f"{fact}__quarantine_empty": quarantined(fact),
    }


def offenders(run: FileWarehouse, check: str) -> list[dict[str, object]]:
    return run.query(CHECKS[check].sql)


def reconcile(run: FileWarehouse) -> None:
    """Make overall say what the sessions say."""
    run.connection.execute(
        """UPDATE core.livestream_analytics_daily AS overall
        SET ingest_seconds = sums.ingest, viewer_seconds = sums.viewer, session_count = sums.sessions
        FROM (
            SELECT app_id, day, sum(ingest_seconds) AS ingest, sum(viewer_seconds) AS viewer, count(*) AS sessions
            FROM core.livestream_sessions GROUP BY ALL
        ) AS sums
        WHERE overall.app_id = sums.app_id AND overall.day = sums.day"""
    )
    run.connection.execute("DELETE FROM ops.mart_builds")
    run.build("reconciliation")


def test_every_check_has_an_offence_here() -> None:
    assert set(CHECKS) == set(OFFENCES)


@pytest.fixture(scope="module")
def made_reconciled(
    made_busy: tuple[Path, datetime], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, datetime]:
    """The busy warehouse with an *overall* that says what the sessions say: every check passes."""
    busy, now = made_busy
    path = tmp_path_factory.mktemp("reconciled") / "reconciled.duckdb"
    copyfile(busy, path)
    run = FileWarehouse(path, now)
    reconcile(run)
    assert {check: offenders(run, check) for check in CHECKS} == {check: [] for check in CHECKS}
    run.connection.close()
    return path, run.now


@pytest.mark.parametrize("check", OFFENCES)
def test_a_check_passes_until_its_offence_is_committed(
    check: str, made_reconciled: tuple[Path, datetime], tmp_path: Path
) -> None:
    path, now = made_reconciled
    copyfile(path, tmp_path / "reconciled.duckdb")
    run = FileWarehouse(tmp_path / "reconciled.duckdb", now)
    OFFENCES[check](run)
    assert offenders(run, check) != []
    run.connection.close()


def test_every_check_passes_on_an_empty_warehouse(warehouse: FileWarehouse) -> None:
    warehouse.build_all()
    assert {check: offenders(warehouse, check) for check in CHECKS} == {check: [] for check in CHECKS}


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_describes_its_purpose_and_whether_it_blocks(check: str) -> None:
    found = CHECKS[check]
    assert len(found.description) > 40
    assert "{" not in found.description + found.sql
    assert found.is_blocking == (found.rule in {"unique_key", "unique_grain", "ledger_matches", "balances"})


@pytest.mark.parametrize("table", RAW)
def test_a_new_field_is_reported_once_and_not_on_the_first_load(warehouse: FileWarehouse, table: str) -> None:
    check = f"{table}__known_fields"
    loads(warehouse, table, 100)
    seen(warehouse, table, "id", "string", 100, 0, 0)
    assert offenders(warehouse, check) == []
    loads(warehouse, table, 100, 100)
    seen(warehouse, table, "status", "string:OFFLINE", 1, 1, 1)
    assert [row["json_type"] for row in offenders(warehouse, check)] == ["string:OFFLINE"]
    loads(warehouse, table, 100, 100, 100)
    warehouse.connection.execute("UPDATE ops.field_types SET last_seen_at = ? WHERE field = 'id'", [at(2)])
    assert offenders(warehouse, check) == []


@pytest.mark.parametrize(
    ("json_type", "records", "received", "last", "is_missed"),
    [
        ("number", 500, 10, 4, True),  # every record had it, ten do not
        ("number", 250, 10, 4, False),  # one in two had it: ten without it are no surprise
        ("number", 250, 40, 4, True),  # forty are
        ("number", 500, 10, 0, True),
        ("null", 5, 400, 4, False),
        ("string:IDLE", 400, 40, 4, True),  # and no other status either
        ("string:OFFLINE", 400, 40, 4, True),
        ("string:LIVE", 40, 400, 4, False),  # at night nobody may be on air
    ],
)
def test_a_missing_type_is_reported_only_where_its_absence_is_significant(
    warehouse: FileWarehouse, json_type: str, records: int, received: int, last: int, *, is_missed: bool
) -> None:
    loads(warehouse, "raw.livestreams", 100, 100, 100, 100, 100, received)
    seen(warehouse, "raw.livestreams", "id", "string", 500 + received, 0, 5)
    seen(warehouse, "raw.livestreams", "status", json_type, records, 0, last)
    rows = offenders(warehouse, "raw.livestreams__known_fields")
    assert [row["what"] for row in rows] == (["stopped coming"] if is_missed else [])


@pytest.mark.parametrize(
    ("known", "now", "reported"),
    [
        # a field without a value gets one, or loses it; a stream goes on air or off
        ("null", "string", []),
        ("null", "number", []),
        ("null", "boolean", []),
        ("string:LIVE", "string:IDLE", []),
        ("string:IDLE", "string:INVOKED", []),
        # drift
        ("null", "object", [("new", "object")]),
        ("null", "array", [("new", "array")]),
        ("number", "string", [("new", "string"), ("stopped coming", "number")]),
        ("string", "null", [("stopped coming", "string")]),
        ("string:LIVE", "string:OFFLINE", [("new", "string:OFFLINE")]),
        ("string:OFFLINE", "string:IDLE", [("stopped coming", "string:OFFLINE")]),
        ("string:LIVE", "null", [("stopped coming", "string:LIVE")]),
    ],
)
def test_harmless_changes_of_a_value_are_no_drift(
    warehouse: FileWarehouse, known: str, now: str, reported: list[tuple[str, str]]
) -> None:
    loads(warehouse, "raw.livestreams", 100, 100, 100)
    seen(warehouse, "raw.livestreams", "id", "string", 300, 0, 2)
    seen(warehouse, "raw.livestreams", "status", known, 200, 0, 1)
    seen(warehouse, "raw.livestreams", "status", now, 100, 2, 2)
    found = offenders(warehouse, "raw.livestreams__known_fields")
    assert [(row["what"], row["json_type"]) for row in found] == reported


def test_a_null_beside_a_known_type_is_no_drift_and_a_new_field_is(warehouse: FileWarehouse) -> None:
    loads(warehouse, "raw.livestreams", 100, 100)
    seen(warehouse, "raw.livestreams", "name", "string", 150, 0, 1)
    seen(warehouse, "raw.livestreams", "name", "null", 50, 1, 1)
    assert offenders(warehouse, "raw.livestreams__known_fields") == []
    seen(warehouse, "raw.livestreams", "surprise", "null", 100, 1, 1)
    assert [row["field"] for row in offenders(warehouse, "raw.livestreams__known_fields")] == ["surprise"]


def test_what_stopped_coming_is_normal_after_seven_loads(warehouse: FileWarehouse) -> None:
    seen(warehouse, "raw.livestreams", "id", "string", 1000, 0, 9)
    seen(warehouse, "raw.livestreams", "name", "string", 200, 0, 1)
    counts = []
    for runs in range(3, 11):
        warehouse.connection.execute("DELETE FROM ops.loads")
        loads(warehouse, "raw.livestreams", *[100] * runs)
        warehouse.connection.execute(
            "UPDATE ops.field_types SET records = ?, last_seen_at = ? WHERE field = 'id'",
            [100 * runs, at(runs)],
        )
        counts.append(len(offenders(warehouse, "raw.livestreams__known_fields")))
    assert counts == [1] * 7 + [0]


def test_shrinks_are_reported_for_the_latest_run_only(busy: FileWarehouse) -> None:
    check = "core.livestream_sessions__never_shrinks"
    OFFENCES[check](busy)
    busy.load("core.livestream_sessions", date(2025, 11, 21), run_id="the next")
    assert offenders(busy, check) == []


# --- examples -------------------------------------------------------------------------------------------


def quiet_day(run: "FileWarehouse") -> None:
    run.load("core.livestream_sessions", date(2025, 11, 26))
    run.build_all()


UNUSUAL: dict[str, Offence] = {
    "17_quiet_days": quiet_day,
    "21_late_corrections": lambda run: run.connection.execute(
        "UPDATE core.livestream_sessions SET updated_at = ended_at + INTERVAL 2 HOUR"
    ),
    "22_changed_lately": lambda run: run.connection.execute("UPDATE core.livestream_sessions SET updated_at = now()"),
}
"""Questions about what the busy warehouse lacks."""


def test_the_examples_are_numbered() -> None:
    assert [name[:2] for name in EXAMPLES] == [f"{number:02}" for number in range(1, len(EXAMPLES) + 1)]


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_an_example_has_a_question_and_answers_it(example: Example, busy: FileWarehouse) -> None:
    assert "?" in example.question
    assert not example.question.startswith("-")
    if unusual := UNUSUAL.get(example.name):
        assert busy.query(example.fill()) == []
        unusual(busy)
    assert busy.query(example.fill())


def test_every_example_runs_on_an_empty_warehouse(warehouse: FileWarehouse) -> None:
    warehouse.build_all()
    assert {name: warehouse.query(example.fill()) for name, example in EXAMPLES.items()} == {
        name: [] for name in EXAMPLES
    }


def test_known_answers(busy: FileWarehouse) -> None:
    def first(name: str) -> dict[str, object]:
        return busy.query(EXAMPLES[name].fill())[0]

    hour = first("03_busiest_hour")
    # each day 10:00 to 11:30, 12:00 to 12:05 and 23:00 to 01:00
    assert hour["average_concurrent_streams"] == 1.0
    assert hour["hour_of_day"] in (0, 10, 23)
    assert first("05_longest_sessions")["hours_on_air"] == 2.0
    assert first("06_never_watched")["livestream_id"] == "l2"
    assert first("07_top_livestreams")["percent_of_app"] == 100.0
    assert first("08_error_messages")["err_message"] == "encoder lost"
    assert first("09_time_to_live_by_week")["p50_seconds"] == 10.0
    assert first("10_weekday_rhythm")["sessions_a_day"] == 4.0
    assert first("12_peak_streams")["peak_concurrent_streams"] == 1


NEW = date(2025, 12, 1)
"""The day after those of the busy warehouse."""


def test_a_session_that_never_went_live_does_not_count_as_working_again(busy: FileWarehouse) -> None:
    failed = [session(f"f{hour}", f"{NEW}T0{hour}:00:00", err_message="lost") for hour in (1, 2)]
    later: dict[str, object] = {"created_at": datetime(2025, 12, 1, 9), "livestream_id": "l9"}
    busy.load("core.livestream_sessions", NEW, *(row | {"livestream_id": "l9"} for row in failed), session("n") | later)
    rows = busy.query(EXAMPLES["15_repeated_failures"].fill())
    assert [row["works_again"] for row in rows if row["livestream_id"] == "l9"] == [False]


def test_a_stream_from_before_the_chosen_days_is_no_gap(busy: FileWarehouse) -> None:
    busy.load("core.livestream_sessions", NEW - timedelta(days=1))
    busy.load("core.livestream_sessions", NEW, session("x", f"{NEW}T10:00:00", f"{NEW}T11:00:00"))
    busy.load("core.livestream_sessions", date(2025, 11, 2), session("long", "2025-11-02T00:00:00", f"{NEW}T09:00:00"))
    rows = busy.query(EXAMPLES["18_longest_gap"].fill())
    assert [row["gap_hours"] for row in rows if row["app_id"] == "a"] == [1.0]


def test_a_week_without_use_is_zero_hours(busy: FileWarehouse) -> None:
    old = session("old", "2025-11-03T03:00:00", "2025-11-03T04:00:00", livestream_id="l9")
    busy.connection.execute("DELETE FROM core.livestream_sessions")
    busy.load("core.livestream_sessions", date(2025, 11, 3), old)
    rows = busy.query(EXAMPLES["19_hours_by_age"].fill())
    assert [row["viewer_hours"] for row in rows] == [2.0, 0.0, 0.0, 0.0]


def test_any_use_of_an_allowance_of_zero_is_over(busy: FileWarehouse) -> None:
    rows = busy.query(EXAMPLES["13_allowance_use"].fill({"allowance_hours": "0"}))
    assert {(row["state"], row["used_percent"]) for row in rows} == {("over", None)}


def test_an_unknown_viewer_day_is_not_compared(busy: FileWarehouse) -> None:
    unreported = {"viewer_seconds": None}
    day = session("x", "2025-11-05T03:00:00", "2025-11-05T04:00:00") | unreported
    busy.load("core.livestream_sessions", date(2025, 11, 5), day)
    busy.load("core.livestream_sessions", NEW)
    busy.build_all()
    [row] = [row for row in busy.query(EXAMPLES["20_this_week"].fill({"weeks": "3"})) if row["app_id"] == "a"]
    assert (row["viewer_hours_before"], row["viewer_change_percent"]) == (None, None)
    assert row["sessions_before"] is not None
