"""Metrics over windows and weekdays, and queries: which days they judge, and the one line for each that is refused."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest

from pipelines.alerts import limit_query
from pipelines.alerts.evaluation import Reading, Scope, check_rule, evaluate_rule
from pipelines.alerts.rules import Rule
from pipelines.errors import QueryError
from tests.alerts.conftest import BAD_DAY, MORNING, load_day
from tests.report.conftest import SESSIONS, FileWarehouse

SCOPE = Scope(
    apps=("aula", "stage"), first=BAD_DAY - timedelta(days=6), recent=BAD_DAY - timedelta(days=6), now=MORNING
)


def rule(**given: Any) -> Rule:
    return Rule(**{"name": "x", "why": "x", **given})


def day(number: int) -> date:
    return BAD_DAY + timedelta(days=number)


@pytest.fixture(scope="module")
def figures() -> Iterator[duckdb.DuckDBPyConnection]:
    """Return five weeks of one weekday, a bad day, and the day before it, of which one livestream is not read."""
    warehouse = FileWarehouse()
    for week in range(1, 5):
        load_day(warehouse, -7 * week, hours=week / 4)  # viewer hours 48, 36, 24, 12: median 30
    load_day(warehouse, 0, failed=6, hours=0.25)
    load_day(warehouse, 0, app_id="stage")
    warehouse.load(SESSIONS, day(-1), app_id="aula", loaded_at=MORNING)
    warehouse.connection.execute("UPDATE ops.days SET unread_livestreams = 1 WHERE day = ?", [day(-1)])
    warehouse.load(SESSIONS, day(-2), app_id="aula", loaded_at=MORNING)
    warehouse.build("daily_usage")
    warehouse.build("stream_concurrency")
    yield warehouse.connection
    warehouse.connection.close()


def judge(figures: duckdb.DuckDBPyConnection, **given: Any) -> dict[tuple[str | None, date | None], Reading]:
    return {(one.app_id, one.day): one for one in evaluate_rule(figures, rule(**given), SCOPE, ())}


def violations(figures: duckdb.DuckDBPyConnection, **given: Any) -> list[tuple[str | None, date | None, float | None]]:
    found = judge(figures, **given).values()
    return [(one.app_id, one.day, one.value) for one in found if one.is_violation]


def test_days_that_are_not_settled_are_not_judged(figures: duckdb.DuckDBPyConnection) -> None:
    found = judge(figures, metric="error_rate", above=0.05)
    assert set(found) == {("aula", day(0)), ("stage", day(0))}, "nothing failed or succeeded the day before yesterday"
    assert found["aula", day(0)].is_violation
    assert not found["stage", day(0)].is_violation


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"metric": "error_rate", "above": 0.25}, []),
        ({"metric": "error_rate", "above": 0.2, "minimum_sessions": 25}, []),
        ({"metric": "sessions", "below": 24}, [("aula", day(-2), 0)]),
        ({"metric": "failed_sessions", "above": 5}, [("aula", day(0), 6)]),
        ({"metric": "viewer_hours", "below": 12.5}, [("aula", day(-2), 0), ("aula", day(0), 12)]),
        ({"metric": "stream_hours", "above": 7}, [("stage", day(0), 12)]),
        ({"metric": "time_to_live_p95_seconds", "above": 4}, [("aula", day(0), 5), ("stage", day(0), 5)]),
        ({"metric": "peak_concurrent_streams", "above": 1}, []),
        ({"metric": "average_concurrent_viewers", "above": 1}, [("aula", day(0), 2), ("stage", day(0), 2)]),
        ({"metric": "recording_minutes", "below": 1}, []),  # recordings of these days are not loaded
        ({"metric": "sessions", "above": 0, "window_days": 2}, []),  # the day before is not settled
        # 12 of 30 hours, the median of four weekdays; three of them are enough for nothing
        ({"metric": "viewer_hours", "below": 0.41, "median_of_weekdays": 4}, [("aula", day(0), 12)]),
        ({"metric": "viewer_hours", "below": 0.39, "median_of_weekdays": 4}, []),
        ({"metric": "viewer_hours", "below": 0.9, "median_of_weekdays": 5}, []),
        ({"metric": "viewer_hours", "below": 0.9, "median_of_weekdays": 4, "minimum_median": 31}, []),
    ],
)
def test_a_metric_is_compared_with_its_threshold(
    given: dict[str, Any], expected: list[Any], figures: duckdb.DuckDBPyConnection
) -> None:
    assert violations(figures, **given) == expected


QUERY = "SELECT app_id, day, sessions AS value FROM marts.daily_usage"


def test_rows_of_a_query_about_settled_days_are_violations(figures: duckdb.DuckDBPyConnection) -> None:
    found = judge(figures, sql=f"{QUERY} WHERE app_id = 'aula' AND day >= $recent")
    assert {key: one.is_violation for key, one in found.items()} == {("aula", day(-2)): True, ("aula", day(0)): True}


def test_a_query_about_livestreams_has_an_incident_for_each(figures: duckdb.DuckDBPyConnection) -> None:
    sql = (
        "SELECT app_id, livestream_id, day, count(*) AS value, 1 AS threshold FROM core.livestream_sessions"
        " WHERE is_failed AND day = $today - 1 GROUP BY ALL HAVING value > 1;"
    )
    readings = evaluate_rule(figures, rule(sql=sql), SCOPE, [("aula", "l7")])
    assert [(one.app_id, one.scope, one.value, one.threshold) for one in readings if one.is_violation] == [
        ("aula", "l0", 3, 1),
        ("aula", "l1", 3, 1),
    ]
    assert {one.scope for one in readings if not one.is_violation} == {"l0", "l1", "l7"}


def test_a_query_without_a_day_is_about_now_and_may_be_about_the_account(figures: duckdb.DuckDBPyConnection) -> None:
    found = judge(figures, sql="SELECT NULL::VARCHAR AS app_id, 3 AS value WHERE $now > '2020-01-01'")
    assert [(one.app_id, one.day, one.value, one.is_violation) for one in found.values()] == [(None, None, 3, True)]
    assert judge(figures, sql="SELECT 'gone' AS app_id, 3 AS value") == {}, "an app of nobody"
    [closed] = evaluate_rule(
        figures, rule(sql="SELECT 'aula' AS app_id, 3 AS value WHERE false"), SCOPE, [("aula", None)]
    )
    assert not closed.is_violation


def test_the_rows_of_a_query_may_be_compared_with_a_threshold(figures: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT 'aula' AS app_id, 'n' || range AS scope, range AS value FROM range(5)"
    for given, scopes in ({"above": 3}, ["n4"]), ({"below": 1.5}, ["n0", "n1"]):
        found = evaluate_rule(figures, rule(sql=sql, **given), SCOPE, ())
        assert [(one.scope, one.threshold) for one in found] == [(scope, *given.values()) for scope in scopes]


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("SELEC 1", 'sql: Parser Error: syntax error at or near "SELEC"'),
        ("SELECT 1 AS value", "sql: it must return the column app_id (VARCHAR)"),
        ("SELECT 'a' AS app_id", "sql: it must return the column value (a number)"),
        ("SELECT 'a' AS app_id, 'x' AS value", "sql: the column value must be a number, and is VARCHAR"),
        ("SELECT 'a' AS app_id, true AS value", "sql: the column value must be a number, and is BOOLEAN"),
        ("SELECT 'a' AS app_id, 1 AS value, $now AS day", "sql: the column day must be DATE, and is TIMESTAMP"),
        ("SELECT 'a' AS app_id, [1] AS value", "sql: the column value must be a number, and is INTEGER[]"),
        ("SELECT 'a' AS app_id, [1.5] AS value", "sql: the column value must be a number, and is DECIMAL(2,1)[]"),
        ("SELECT ['a'] AS app_id, 1 AS value", "sql: the column app_id must be VARCHAR, and is VARCHAR[]"),
        (
            "SELECT 'a' AS app_id, 1 AS value, 2 AS other",
            "sql: unknown column 'other': it may return app_id, value,",
        ),
        ("FROM marts.nothing", "sql: Catalog Error: Table with name nothing does not exist"),
        (
            "SELECT app_id, value_1 AS value FROM marts.daily_usage",
            'sql: Binder Error: Referenced column "value_1" not found',
        ),
        ("SELECT app_id, $day AS value FROM marts.daily_usage", "sql: Invalid Input Error: Values were not provided"),
        ("SELECT 1; SELECT 2", "sql: 2 statements"),
        ("  ", "sql: the query is empty"),
        ("DROP TABLE marts.daily_usage", "sql: DROP is refused, queries only read"),
        ("INSERT INTO ops.days SELECT * FROM ops.days", "sql: INSERT is refused, queries only read"),
        ("FROM read_csv('/etc/passwd')", "sql: the table function read_csv is refused"),
        ("FROM '/etc/passwd'", "sql: '/etc/passwd' is refused"),
        ("SELECT getenv('HOME') AS app_id, 1 AS value", "sql: the function getenv is refused"),
        ("COPY marts.daily_usage TO '/tmp/x.csv'", "sql: COPY is refused"),
    ],
)
def test_a_query_that_is_no_rule_is_one_line(sql: str, fault: str, figures: duckdb.DuckDBPyConnection) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: check_rule(figures, rule(sql=sql), SCOPE),
        lambda: evaluate_rule(figures, rule(sql=sql), SCOPE, ()),
    ]
    for attempt in attempts:
        with pytest.raises(QueryError) as error:
            attempt()
        assert str(error.value).startswith(fault)
        assert "\n" not in str(error.value)


def test_a_mart_that_is_missing_is_a_fault_of_the_rule(figures: duckdb.DuckDBPyConnection) -> None:
    with duckdb.connect() as empty, pytest.raises(QueryError, match=r"^Catalog Error: .*daily_usage"):
        evaluate_rule(empty, rule(metric="sessions", above=0), SCOPE, ())


def test_a_query_without_end_and_one_with_too_many_rows_are_ended(
    figures: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limit_query, "QUERY_SECONDS", 0.05)
    endless = "SELECT 'aula' AS app_id, sum(a.range + b.range) AS value FROM range(1000000) AS a, range(1000000) AS b"
    with pytest.raises(QueryError, match=r"^sql was ended after 0\.05 s: let it read fewer rows$"):
        evaluate_rule(figures, rule(sql=endless), SCOPE, ())
    monkeypatch.setattr(limit_query, "QUERY_SECONDS", 30.0)
    many = "SELECT 'aula' AS app_id, range AS value, 'l' || range AS livestream_id FROM range(1001)"
    with pytest.raises(QueryError, match=r"^sql: it returns more than 1,000 rows: "):
        evaluate_rule(figures, rule(sql=many), SCOPE, ())
    assert figures.execute("SELECT count(*) FROM marts.daily_usage").fetchall() == [(8,)], "the connection works on"


def test_a_call_that_duckdb_cannot_interrupt_ends_the_process() -> None:
    """Seen: such a rule blocked the night for ever, with the lock held."""
    program = """
import duckdb
from datetime import date, datetime
from pipelines.alerts import evaluation, limit_query
from pipelines.alerts.rules import Rule
limit_query.QUERY_SECONDS = limit_query.INTERRUPTED_SECONDS = 0.1
sql = "SELECT NULL::VARCHAR AS app_id, levenshtein(repeat('a', 1_000_000), repeat('b', 1_000_000)) AS value"
scope = evaluation.Scope((), date(2026, 11, 1), date(2026, 11, 1), datetime(2026, 11, 2))
evaluation.evaluate_rule(duckdb.connect(), Rule(name="slow", why="x", sql=sql), scope, ())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr == (
        "livehouse: alert rule slow: its query cannot be interrupted, so the run was ended: change the rule\n"
    )


@pytest.mark.parametrize("value", ["'nan'::DOUBLE", "'inf'::FLOAT", "NULL::BIGINT"])
def test_a_value_that_is_no_number_is_stored_as_unknown(value: str, figures: duckdb.DuckDBPyConnection) -> None:
    [one] = evaluate_rule(figures, rule(sql=f"SELECT 'aula' AS app_id, {value} AS value"), SCOPE, ())
    assert (one.value, one.is_violation) == (None, True)


def test_the_time_since_the_newest_complete_day(figures: duckdb.DuckDBPyConnection) -> None:
    found = judge(figures, metric="hours_since_newest_day", above=2.5)
    assert {key: (one.value, one.is_violation) for key, one in found.items()} == {
        ("aula", None): (3.0, True),
        ("stage", None): (3.0, True),
    }
    assert datetime.combine(day(1), datetime.min.time()) + timedelta(hours=3) == MORNING
