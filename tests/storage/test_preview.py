"""What is shown of a table after a run: how many rows, of which days, the newest, and how things go."""

import math
from collections.abc import Iterator
from datetime import date

import duckdb
import pytest

from pipelines.storage.preview import ROWS_SHOWN, drawn, glance

DAY, NEXT = date(2026, 1, 1), date(2026, 1, 2)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute("CREATE TABLE facts (app_id VARCHAR, day DATE, seconds DOUBLE)")
        yield made


def test_a_range_counts_its_days_and_shows_the_newest(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "INSERT INTO facts SELECT 'a', DATE '2025-12-31' + CAST(n // 4 AS INTEGER), n FROM range(12) AS numbers(n)"
    )
    seen = glance(connection, "facts", (DAY, NEXT))
    assert (seen.rows, seen.by_day) == (8, {DAY: 4, NEXT: 4})
    assert seen.columns == ["app_id", "day", "seconds"]
    assert len(seen.newest) == ROWS_SHOWN
    assert [row[1] for row in seen.newest] == [NEXT] * 4 + [DAY]
    whole = glance(connection, "facts")
    assert (whole.rows, whole.by_day) == (12, {})


def test_nothing_is_shown_as_nothing(connection: duckdb.DuckDBPyConnection) -> None:
    seen = glance(connection, "facts", (DAY, NEXT))
    assert (seen.rows, seen.by_day, seen.newest) == (0, {}, [])
    assert drawn(connection, "facts", "day", "seconds") == []


def test_a_day_unknown_of_one_app_has_no_sum_and_no_bar(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "INSERT INTO facts VALUES ('a', ?, 1), ('b', ?, NULL), ('a', ?, 4), ('b', ?, 4)", [DAY, DAY, NEXT, NEXT]
    )
    (newest, total, bar), oldest = drawn(connection, "facts", "day", "seconds")
    assert (newest, total, bar.strip()) == (NEXT, 8, "█" * 40)
    assert oldest == (DAY, None, None)


def test_days_without_anything_have_no_bar(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("INSERT INTO facts VALUES ('a', ?, 0)", [DAY])
    [(_, total, bar)] = drawn(connection, "facts", "day", "seconds")
    assert (total, bar.strip()) == (0, "")


def test_a_sum_beyond_all_numbers_has_no_bar(connection: duckdb.DuckDBPyConnection) -> None:
    most = 1.7e308
    connection.execute(
        "INSERT INTO facts VALUES ('a', $day, $most), ('b', $day, $most), ('a', $next, $most)",
        {"day": DAY, "next": NEXT, "most": most},
    )
    (_, total, bar), (_, beyond, none) = drawn(connection, "facts", "day", "seconds")
    assert (total, bar.strip()) == (most, "█" * 40)
    assert (beyond, none) == (math.inf, None)
