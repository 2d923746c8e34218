"""Examples are numbered, and each answers a question."""

from collections.abc import Callable
from datetime import date, datetime, timedelta

import pytest

from pipelines.marts.examples import Example, find_examples
from tests.report.conftest import FileWarehouse, session

EXAMPLES = {example.name: example for example in find_examples()}
Change = Callable[[FileWarehouse], object]


def quiet_day(run: "FileWarehouse") -> None:
    run.load("core.livestream_sessions", date(2025, 11, 26))
    run.build_all()


UNUSUAL: dict[str, Change] = {
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


@pytest.mark.long
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
    found = {row["holder"]: (row["state"], row["used_percent"] is None, row["is_assumed"]) for row in rows}
    assert found == {"a": ("over", False, False), "b": ("over", True, True)}


@pytest.mark.long
def test_growth_of_customers_counts_a_month_without_use_as_zero(busy: FileWarehouse) -> None:
    days = [date(2025, 11, 1), date(2025, 11, 2)] + [date(2025, 12, number) for number in range(1, 32)]
    for app_id in "ab":
        for day in days:
            busy.load("core.livestream_sessions", day, app_id=app_id)
    one = session("x", "2025-12-05T10:00:00", "2025-12-05T11:00:00", livestream_id="l9")
    busy.load("core.livestream_sessions", date(2025, 12, 5), one)
    for record_id, customer in (("l9", "new"), ("l2", "lost")):
        busy.insert("ops.customers", {"assigned_by": "livestream", "record_id": record_id, "customer": customer})
    busy.build("monthly_cost")
    rows = {row["customer"]: row for row in busy.query(EXAMPLES["24_customers_by_growth"].fill())}
    assert (rows["new"]["hours_more"], rows["new"]["change_percent"]) == (2.0, None)
    assert rows["lost"]["viewer_hours"] == 0
    assert rows["lost"]["viewer_hours_before"] is not None
    assert [row["hours_more"] for row in busy.query(EXAMPLES["24_customers_by_growth"].fill({"month": "2025-11"}))] == [
        None,
        None,
    ], "October is not loaded"


@pytest.mark.long
def test_an_unknown_viewer_day_is_not_compared(busy: FileWarehouse) -> None:
    unreported = {"viewer_seconds": None}
    day = session("x", "2025-11-05T03:00:00", "2025-11-05T04:00:00") | unreported
    busy.load("core.livestream_sessions", date(2025, 11, 5), day)
    busy.load("core.livestream_sessions", NEW)
    busy.build_all()
    [row] = [row for row in busy.query(EXAMPLES["20_this_week"].fill({"weeks": "3"})) if row["app_id"] == "a"]
    assert (row["viewer_hours_before"], row["viewer_change_percent"]) == (None, None)
    assert row["sessions_before"] is not None
