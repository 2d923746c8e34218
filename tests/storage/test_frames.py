"""Frames to DuckDB and back, without pyarrow."""

import sys
from datetime import date, datetime

import duckdb
import polars as pl
import pytest

from pipelines.catalog.polars_types import POLARS_TYPES
from pipelines.catalog.types import SQL_TYPES
from pipelines.storage.frames import read_frame, temporary_view

FRAME = pl.DataFrame(
    {
        "seconds": [0.1, 1e300, None],
        "minutes": [0.0, 365.66666666666697, None],
        "count": [2**63 - 1, 2**53 + 1, None],
        "flag": [True, False, None],
        "timestamp": [datetime(2025, 3, 10, 0, 0, 0, 1), datetime(1970, 1, 1), None],
        "day": [date(2025, 3, 10), date(1970, 1, 1), None],
        "id": ["ü😀", "a\0b", None],
        "text": ["", "'; --", None],
        "number": [-0.5, 1e300, None],
    },
    schema=dict(POLARS_TYPES.items()),
)


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_every_kind_survives_the_way_there_and_back(rows: int) -> None:
    frame = FRAME.head(rows)
    with duckdb.connect() as connection:
        columns = ", ".join(f"{kind} {SQL_TYPES[kind]}" for kind in SQL_TYPES)
        connection.execute(f"CREATE TABLE held ({columns})")
        with temporary_view(connection, "sent", frame):
            connection.execute("INSERT INTO held BY NAME SELECT * FROM sent")
        assert read_frame(connection, "FROM held").equals(frame)
        assert read_frame(connection, "SELECT id FROM held WHERE id = ?", ["ü😀"]).height == min(rows, 1)


def test_a_frame_can_be_read_more_than_once() -> None:
    with duckdb.connect() as connection, temporary_view(connection, "sent", FRAME):
        for _ in range(2):
            assert connection.execute("SELECT count(*) FROM sent").fetchall() == [(3,)]


def test_the_name_is_gone_afterwards_whatever_happened() -> None:
    with duckdb.connect() as connection:
        with pytest.raises(ZeroDivisionError), temporary_view(connection, "sent", FRAME):
            raise ZeroDivisionError
        with pytest.raises(duckdb.CatalogException):
            connection.execute("FROM sent")


def test_pyarrow_is_not_needed() -> None:
    assert sys.modules.get("pyarrow") is None


def test_nothing_is_searched_for_when_days_are_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen: DuckDB looked for pandas nine times for each day bound, 40 ms of searching for a year's days."""
    searched: list[str] = []

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            searched.append(name)

    with duckdb.connect() as connection:
        monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
        connection.execute("SELECT $days::DATE[]", {"days": [date(2026, 1, 1), date(2026, 1, 2)]}).fetchall()
        with temporary_view(connection, "frame", FRAME):
            connection.execute("FROM frame").fetchall()
    assert not {"pandas", "pyarrow"} & set(searched)
