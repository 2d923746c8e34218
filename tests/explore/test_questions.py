"""Questions from form fields: their SQL runs, and counts what is unknown."""

from collections.abc import Iterator
from datetime import date

import duckdb
import pytest

from pipelines.explore.questions import FIRST_TABLE, SUMMARIES, Question, Source, build_query, find_sources
from tests.pipeline_runner import LoadedWarehouse

pytestmark = pytest.mark.file_only

SOURCES = find_sources()


@pytest.fixture(scope="module")
def warehouse(loaded_once: LoadedWarehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(loaded_once.settings.warehouse, read_only=True) as connection:
        yield connection


@pytest.mark.long
def test_columns_have_the_types_of_the_warehouse(warehouse: duckdb.DuckDBPyConnection) -> None:
    for source in SOURCES.values():
        described = {name: kind for name, kind, *_ in warehouse.execute(f"DESCRIBE {source.name}").fetchall()}
        assert source.types == described, source.name


@pytest.mark.long
@pytest.mark.parametrize("name", SOURCES)
def test_every_column_of_a_table_fits_into_a_question(name: str, warehouse: duckdb.DuckDBPyConnection) -> None:
    source = SOURCES[name]
    question = Question(
        groups=list(source.groupings),
        figures=source.figures,
        first_day="2000-01-01",
        last_day="2100-01-01",
        only={"app_id": "aula"} if "app_id" in source.types else {},
    )
    for summary in SUMMARIES:
        warehouse.execute(build_query(source, Question(figures=source.figures, summary=summary))).fetchall()
    warehouse.execute(build_query(source, question)).fetchall()


def test_groups_range_and_text_select_rows_and_unknown_figures_are_counted() -> None:
    source = Source(FIRST_TABLE, "Usage. More", {"app_id": "VARCHAR", "day": "DATE", "hours": "DOUBLE"}, {})
    assert source.title == "Usage"
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE SCHEMA marts; CREATE TABLE marts.daily_usage (app_id VARCHAR, day DATE, hours DOUBLE)"
        )
        connection.execute("""INSERT INTO marts.daily_usage VALUES
            ('o''x', '2026-11-02', 1), ('o''x', '2026-11-09', NULL), ('o''x', '2026-11-10', NULL),
            ('o''x', '2026-11-16', 4), ('b', '2026-11-02', 100)""")
        question = Question(["day, weekday"], ["hours"], "sum", "2026-11-01", "2026-11-15", {"app_id": "o'x"})
        cursor = connection.execute(build_query(source, question))
        assert [column[0] for column in cursor.description or ()] == [
            "day, weekday",
            "hours_sum",
            "hours_unknown_rows",
            "rows",
        ]
        assert cursor.fetchall() == [("1 Monday", 1.0, 1, 2), ("2 Tuesday", None, 1, 1)]
        by_week = connection.execute(build_query(source, Question(["day, week"], ["hours"], "largest")))
        assert by_week.fetchall()[0] == (date(2026, 11, 2), 100.0, 0, 2)
        assert connection.execute(build_query(source, Question())).fetchall() == [(5,)]
