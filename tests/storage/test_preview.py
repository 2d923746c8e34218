"""Previews of tables: row counts by day, the newest rows, totals by period with bars."""

import math
from collections.abc import Iterator
from datetime import date

import duckdb
import pytest

from pipelines.storage.preview import MAX_ROWS, read_preview, sum_by_period

DAY, NEXT = date(2026, 1, 1), date(2026, 1, 2)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute("CREATE TABLE facts (app_id VARCHAR, day DATE, seconds DOUBLE)")
        yield made


def test_preview_of_a_range_has_row_counts_by_day_and_newest_rows(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "INSERT INTO facts SELECT 'a', DATE '2025-12-31' + CAST(n // 4 AS INTEGER), n FROM range(12) AS numbers(n)"
    )
    preview = read_preview(connection, "facts", (DAY, NEXT))
    assert (preview.rows, preview.by_day) == (8, {DAY: 4, NEXT: 4})
    assert preview.columns == {"app_id": "VARCHAR", "day": "DATE", "seconds": "DOUBLE"}
    assert len(preview.newest) == MAX_ROWS
    assert [row[1] for row in preview.newest] == [NEXT] * 4 + [DAY]
    whole = read_preview(connection, "facts")
    assert (whole.rows, whole.by_day) == (12, {})


def test_preview_of_an_empty_table_is_empty(connection: duckdb.DuckDBPyConnection) -> None:
    preview = read_preview(connection, "facts", (DAY, NEXT))
    assert (preview.rows, preview.by_day, preview.newest) == (0, {}, [])
    assert sum_by_period(connection, "facts", "day", "seconds") == []


def test_sum_is_null_when_one_app_has_no_value(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "INSERT INTO facts VALUES ('a', ?, 1), ('b', ?, NULL), ('a', ?, 4), ('b', ?, 4)", [DAY, DAY, NEXT, NEXT]
    )
    (newest, total, bar), oldest = sum_by_period(connection, "facts", "day", "seconds")
    assert (newest, total, bar.strip()) == (NEXT, 8, "█" * 40)
    assert oldest == (DAY, None, None)


def test_zero_sum_has_an_empty_bar(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("INSERT INTO facts VALUES ('a', ?, 0)", [DAY])
    [(_, total, bar)] = sum_by_period(connection, "facts", "day", "seconds")
    assert (total, bar.strip()) == (0, "")


def test_infinite_sum_has_no_bar(connection: duckdb.DuckDBPyConnection) -> None:
    most = 1.7e308
    connection.execute(
        "INSERT INTO facts VALUES ('a', $day, $most), ('b', $day, $most), ('a', $next, $most)",
        {"day": DAY, "next": NEXT, "most": most},
    )
    (_, total, bar), (_, beyond, none) = sum_by_period(connection, "facts", "day", "seconds")
    assert (total, bar.strip()) == (most, "█" * 40)
    assert (beyond, none) == (math.inf, None)
