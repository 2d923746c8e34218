"""Missing days by ops.days: of every table and app, within the retention of the source."""

from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.catalog.files import WAREHOUSE_FILE
from pipelines.catalog.streams import FACTS
from pipelines.load.gaps import failed_attempts, missing_days, note_attempts
from pipelines.storage.migrations import migrate_schema

FIRST = date(2026, 3, 1)
NOW = datetime(2026, 3, 20, 2, 30)
TABLES = [table.full_name for table in FACTS]
LISTED = st.sets(st.tuples(st.sampled_from(["a", "b", "other"]), st.sampled_from(TABLES), st.integers(0, 12)))


@pytest.fixture(scope="module")
def connection() -> Any:
    with duckdb.connect() as connection:
        migrate_schema(connection, WAREHOUSE_FILE)
        yield connection


def list_days(connection: duckdb.DuckDBPyConnection, listed: set[tuple[str, str, int]], run_id: str = "run") -> None:
    connection.execute("DELETE FROM ops.days")
    for app_id, table, number in sorted(listed):
        row = [table, app_id, FIRST + timedelta(days=number), run_id]
        connection.execute(
            "INSERT INTO ops.days (table_name, app_id, day, row_count, is_known, run_id) VALUES (?, ?, ?, 1, true, ?)",
            row,
        )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LISTED, st.integers(-3, 14), st.integers(0, 14))
def test_missing_days_are_those_that_any_table_lacks(
    connection: duckdb.DuckDBPyConnection, listed: set[tuple[str, str, int]], oldest: int, before: int
) -> None:
    list_days(connection, listed)
    own = [number for app_id, _, number in listed if app_id != "other"]
    span = range(max(min(own), oldest), before) if own else range(0)
    lacking = {
        app_id: days
        for app_id in ("a", "b")
        if (days := [n for n in span if any((app_id, table, n) not in listed for table in TABLES)])
    }
    found = missing_days(
        connection, ["a", "b"], oldest=FIRST + timedelta(days=oldest), before=FIRST + timedelta(days=before)
    )
    assert found == {app_id: [FIRST + timedelta(days=n) for n in days] for app_id, days in lacking.items()}


def test_a_day_loaded_before_it_was_over_is_missing(connection: duckdb.DuckDBPyConnection) -> None:
    """A backfill at noon, and then no night within the lookback: the afternoon would never be loaded."""
    list_days(connection, {("a", table, number) for table in TABLES for number in (0, 1, 2)})
    noon, after = datetime.combine(FIRST, datetime.min.time()) + timedelta(hours=12), FIRST + timedelta(days=2)
    connection.execute("UPDATE ops.days SET loaded_at = ? WHERE table_name = ?", [noon + timedelta(days=1), TABLES[2]])
    assert missing_days(connection, ["a"], oldest=FIRST, before=after) == {"a": [FIRST + timedelta(days=1)]}
    connection.execute("UPDATE ops.days SET loaded_at = ?", [NOW])
    assert missing_days(connection, ["a"], oldest=FIRST, before=after) == {}


def test_attempts_are_counted_where_the_run_loaded_something_of_that_table(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    day, next_day = FIRST, FIRST + timedelta(days=1)
    whole = {("a", table, 1) for table in TABLES}
    for number in range(1, 3):
        list_days(connection, whole, run_id=f"{number}")
        note_attempts(connection, "a", [day, next_day], run_id=f"{number}", now=NOW)
        assert failed_attempts(connection, "a") == {day: (number, NOW)}
    note_attempts(connection, "a", [day], run_id="down as a whole", now=NOW + timedelta(days=1))
    assert failed_attempts(connection, "a") == {day: (2, NOW)}, "a night without the app says nothing about a day"
    list_days(connection, whole | {("a", table, 0) for table in TABLES})
    note_attempts(connection, "a", [day], run_id="run", now=NOW)
    assert failed_attempts(connection, "a") == {}
