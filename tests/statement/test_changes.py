"""Differences from a closed month: each cause by itself, and parts that add up to the difference."""

import random
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from pipelines.statement.changes import UNKNOWN, Change
from pipelines.statement.close import close_month
from pipelines.statement.figures import to_dollars
from pipelines.statement.read import By, Statement, read_statement
from tests.parameters import long_except
from tests.report.conftest import NOON, SESSIONS, FileWarehouse, Row, session
from tests.report.random_loads import load_at_random

OCTOBER, DAY, OTHER_DAY = date(2025, 10, 1), date(2025, 10, 5), date(2025, 10, 9)
MEETINGS, RECORDINGS = "core.meeting_sessions_daily", "core.recordings_daily"
CLOSED_AT = datetime(2025, 11, 2)


def streamed(session_id: str, livestream_id: str = "l1", day: date = DAY, **figures: Any) -> Row:
    return session(
        session_id,
        f"{day}T10:00:00",
        f"{day}T10:10:00",
        livestream_id=livestream_id,
        **{"ingest_seconds": 600.0, "viewer_seconds": 6000.0} | figures,
    )


@pytest.fixture(scope="module")
def closed_october(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app with three sessions of two livestreams, one of them of a meeting; closed."""
    path = tmp_path_factory.mktemp("october") / "october.duckdb"
    made = FileWarehouse(path)
    made.insert("core.livestreams", {"app_id": "a", "livestream_id": "l1"})
    made.insert("core.livestreams", {"app_id": "a", "livestream_id": "l2", "meeting_id": "m2"})
    allowance = {"holder_type": "app", "holder": "a", "measure": "viewer_minutes", "included_minutes": 250.0}
    made.insert("ops.allowances", allowance | {"overage_rate": 0.5})
    made.load(SESSIONS, DAY, streamed("s1"), streamed("s2", "l2"), streamed("s3"))
    made.load(SESSIONS, OTHER_DAY)
    made.load(RECORDINGS, DAY, {"recording_count": 1, "recording_minutes": 20.0})
    made.load(MEETINGS, DAY, {"session_count": 1, "session_minutes": 10.0})
    made.build("monthly_allowance")
    assert close_month(made.connection, OCTOBER, CLOSED_AT) == 1
    made.connection.close()
    return path


@pytest.fixture
def october(closed_october: Path, tmp_path: Path) -> Iterator[FileWarehouse]:
    """That warehouse, to be written to."""
    copyfile(closed_october, tmp_path / "october.duckdb")
    copied = FileWarehouse(tmp_path / "october.duckdb", NOON + timedelta(days=1))  # loads have later times
    yield copied
    copied.connection.close()


def state(warehouse: FileWarehouse, by: By = "app") -> Statement:
    warehouse.build("monthly_allowance")
    return read_statement(warehouse.connection, OCTOBER, by)


def parts(changes: list[Change], holder: str | None = "a") -> dict[str, dict[str, float]]:
    """Return the causes of each changed figure with their parts."""
    return {
        change.item: {cause.cause: round(cause.change, 6) for cause in change.causes}
        for change in changes
        if change.holder == holder
    }


@pytest.mark.long
def test_nothing_has_changed(october: FileWarehouse) -> None:
    for by in ("app", "customer"):
        statement = state(october, by)
        assert statement.changes == []
        assert statement.closed is not None
        assert statement.closed.number == 1
        assert statement.closed.closed_at == CLOSED_AT


def correct(run: FileWarehouse) -> None:
    run.load(SESSIONS, DAY, streamed("s1", viewer_seconds=6600.0), streamed("s2", "l2"), streamed("s3"))


def correct_meeting(run: FileWarehouse) -> None:
    run.load(SESSIONS, DAY, streamed("s1"), streamed("s2", "l2", ingest_seconds=660.0), streamed("s3"))


def add_late(run: FileWarehouse) -> None:
    run.load(SESSIONS, OTHER_DAY, streamed("s4", day=OTHER_DAY))


def load_later(run: FileWarehouse) -> None:
    run.load(SESSIONS, date(2025, 10, 31), streamed("s4", day=date(2025, 10, 31)))


def forget(run: FileWarehouse) -> None:
    run.load(SESSIONS, DAY, streamed("s1"), streamed("s2", "l2"))


def move(run: FileWarehouse) -> None:
    forget(run)
    run.load(SESSIONS, date(2025, 11, 1), streamed("s3", day=date(2025, 11, 1)))


def correct_day(run: FileWarehouse) -> None:
    run.load(RECORDINGS, DAY, {"recording_count": 1, "recording_minutes": 25.0})


def load_day_later(run: FileWarehouse) -> None:
    run.load(MEETINGS, OTHER_DAY, {"session_count": 1, "session_minutes": 30.0})


def price(run: FileWarehouse) -> None:
    run.connection.execute("UPDATE ops.rates SET export_rate = 0.02 WHERE app_id = 'a'")


def assign_meeting(run: FileWarehouse) -> None:
    run.connection.execute("UPDATE core.livestreams SET meeting_id = 'm1' WHERE livestream_id = 'l1'")


def tamper(run: FileWarehouse) -> None:
    run.connection.execute("UPDATE ops.statements SET viewer_seconds = viewer_seconds - 60")


BEYOND = "viewer_minutes beyond the allowance"


CAUSES: list[tuple[Callable[[FileWarehouse], object], dict[str, dict[str, float]]]] = [
    (
        correct,
        {
            "viewer_minutes": {"late session correction": 10},
            BEYOND: {"usage changed": 10},
            f"{BEYOND}, cost": {"usage changed": 5},
        },
    ),
    (
        correct_meeting,
        {
            "ingest_minutes": {"late session correction": 1},
            "meeting_ingest_minutes": {"late session correction": 1},
            "cost": {"late session correction": 0.01},
        },
    ),
    (
        add_late,
        {
            "sessions": {"late session": 1},
            "viewer_minutes": {"late session": 100},
            "ingest_minutes": {"late session": 10},
            BEYOND: {"usage changed": 100},
            f"{BEYOND}, cost": {"usage changed": 50},
        },
    ),
    (
        load_later,
        {
            "sessions": {"day loaded later": 1},
            "viewer_minutes": {"day loaded later": 100},
            "ingest_minutes": {"day loaded later": 10},
            BEYOND: {"usage changed": 100},
            f"{BEYOND}, cost": {"usage changed": 50},
        },
    ),
    (
        forget,
        {
            "sessions": {"record no longer in the warehouse": -1},
            "viewer_minutes": {"record no longer in the warehouse": -100},
            "ingest_minutes": {"record no longer in the warehouse": -10},
            BEYOND: {"usage changed": -50},
            f"{BEYOND}, cost": {"usage changed": -25},
        },
    ),
    (
        move,
        {
            "sessions": {"session moved to another month": -1},
            "viewer_minutes": {"session moved to another month": -100},
            "ingest_minutes": {"session moved to another month": -10},
            BEYOND: {"usage changed": -50},
            f"{BEYOND}, cost": {"usage changed": -25},
        },
    ),
    (
        correct_day,
        {"recording_minutes": {"late correction of a day": 5}, "cost": {"late correction of a day": 0.05}},
    ),
    (load_day_later, {"meeting_minutes": {"day loaded later": 30}, "cost": {"day loaded later": 0.06}}),
    (price, {"cost": {"rate changed": 0.3}}),
    (
        assign_meeting,
        {
            "meeting_ingest_minutes": {"livestream assigned to a meeting, or no longer": 20},
            "cost": {"livestream assigned to a meeting, or no longer": 0.2},
        },
    ),
    (tamper, {"viewer_minutes": {UNKNOWN: 1}}),
]


@pytest.mark.parametrize(
    ("change", "expected"), long_except(CAUSES, *(case for case in CAUSES if case[0] in {correct, move, price}))
)
def test_each_cause_is_found(
    change: Callable[[FileWarehouse], None], expected: dict[str, dict[str, float]], october: FileWarehouse
) -> None:
    change(october)
    changes = state(october).changes
    assert parts(changes) == expected
    of_usage = {item: causes for item, causes in expected.items() if not item.startswith(BEYOND)}
    assert parts(changes, None) == of_usage, "the total"


def test_changed_allowance_is_distinguished_from_changed_usage(october: FileWarehouse) -> None:
    correct(october)
    october.connection.execute("UPDATE ops.allowances SET included_minutes = 300, overage_rate = 1.0")
    expected = {BEYOND: {"usage changed": 10, "allowance changed": -50}}
    expected[f"{BEYOND}, cost"] = {"usage changed": 5, "allowance changed": -20}
    found = parts(state(october).changes)
    assert {item: found[item] for item in expected} == expected


@pytest.mark.long
def test_repaired_record_is_distinguished_from_late_one(october: FileWarehouse) -> None:
    quarantined = {"app_id": "a", "table_name": SESSIONS, "record_id": "s4", "day": OTHER_DAY}
    october.insert("ops.quarantine", quarantined, quarantined | {"record_id": "s5", "day": None})
    october.insert("ops.quarantine", quarantined | {"record_id": "s1", "day": DAY})
    october.build("monthly_allowance")
    assert close_month(october.connection, OCTOBER, CLOSED_AT) == 2
    october.connection.execute("DELETE FROM ops.quarantine")
    correct(october)
    october.load(SESSIONS, OTHER_DAY, streamed("s4", day=OTHER_DAY), streamed("s5", day=OTHER_DAY))
    found = parts(state(october).changes)
    assert found["sessions"] == {"quarantined record repaired": 2}
    assert found["viewer_minutes"] == {"quarantined record repaired": 210}


def test_another_customer_changes_customers_but_not_the_app(october: FileWarehouse) -> None:
    october.insert("ops.customers", {"assigned_by": "meeting", "record_id": "m2", "customer": "Nord"})
    assert state(october).changes == []
    changes = state(october, "customer").changes
    moved = {
        "sessions": 1.0,
        "viewer_minutes": 100.0,
        "ingest_minutes": 10.0,
        "meeting_ingest_minutes": 10.0,
        "cost": 0.1,
    }
    assert parts(changes, "Nord") == {item: {"customer mapping changed": part} for item, part in moved.items()}
    assert parts(changes, "unassigned") == {item: {"customer mapping changed": -part} for item, part in moved.items()}
    assert parts(changes, None) == {}


def test_causes_name_records_and_days(october: FileWarehouse) -> None:
    late = [streamed(f"s{number}", day=OTHER_DAY) for number in range(4, 9)]
    october.load(SESSIONS, OTHER_DAY, *late)
    [cause] = next(change.causes for change in state(october).changes if change.item == "sessions")
    assert (cause.records, cause.first_day, cause.last_day) == (5, OTHER_DAY, OTHER_DAY)
    assert cause.examples == ["s4", "s5", "s6"]


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long), pytest.param(3, marks=pytest.mark.long)])
def test_parts_add_up_after_any_loads(seed: int) -> None:
    dice = random.Random(seed)
    made = FileWarehouse()
    for _ in range(3):
        load_at_random(made, dice)
    made.build("monthly_allowance")
    close_month(made.connection, OCTOBER, CLOSED_AT)
    for _ in range(3):
        load_at_random(made, dice)
    for by in ("app", "customer"):
        for change in state(made, by).changes:
            total = sum(cause.change for cause in change.causes)
            difference = float(change.now or 0) - float(change.stated or 0)
            assert total == pytest.approx(difference, abs=1e-4), change
            assert UNKNOWN not in {cause.cause for cause in change.causes}, change


def test_amounts_add_up_exactly(october: FileWarehouse) -> None:
    lines = state(october).lines
    amounts = [
        line.dollars for line in lines if line.level == "app" and line.item != "cost" and line.dollars is not None
    ]
    [total] = [line.dollars for line in lines if line.level == "total" and line.item == "cost"]
    assert total == sum(amounts) == to_dollars(0.1 + 0.2 + 0.02)


@pytest.mark.long
def test_an_app_without_the_month_is_named(october: FileWarehouse) -> None:
    october.load(SESSIONS, date(2025, 11, 1), app_id="b")
    statement = state(october)
    assert [(app.app_id, app.first_month) for app in statement.unloaded_apps] == [("b", date(2025, 11, 1))]
    assert statement.is_complete == state(october, "customer").is_complete
    for day in range(1, 32):
        for table in (SESSIONS, MEETINGS, RECORDINGS):
            october.load(table, date(2025, 10, day), loaded_at=CLOSED_AT)
    assert state(october).is_complete, "the other app begins later"
    october.load(SESSIONS, date(2025, 9, 1), app_id="b")
    assert not state(october).is_complete, "a gap"
