"""A refresh leaves what a whole build would, and reads no more than it needs."""

import random
import re
from dataclasses import replace
from datetime import date, datetime, timedelta

import duckdb
import pytest

from pipelines.catalog.files import WAREHOUSE_FILE
from pipelines.marts import build as marts
from pipelines.marts import macros
from pipelines.marts.build import Mart, build_mart, build_marts, find_builds, find_marts, split_builds
from pipelines.marts.columns import MartColumn
from pipelines.marts.inputs import read_inputs
from pipelines.marts.parsed_sql import read_tables
from tests.report.conftest import DAY, NEXT, SESSIONS, FileWarehouse, Row, only, session
from tests.report.random_loads import load_at_random

MARTS = {mart.name: mart for mart in find_marts()}


def test_only_what_was_loaded_since_is_built_again(warehouse: FileWarehouse) -> None:
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


def test_a_day_that_was_only_loaded_again_changes_marts_that_show_the_time_of_the_load(
    warehouse: FileWarehouse,
) -> None:
    names = ("daily_usage", "session_reliability")
    for loaded_at in (warehouse.now, warehouse.now + timedelta(hours=1)):
        warehouse.load(SESSIONS, DAY, session("1"), loaded_at=loaded_at)
        warehouse.connection.execute("UPDATE ops.days SET rows_digest = 1")
        refreshed = [warehouse.build(name).refreshed for name in names]
    assert refreshed == [[(DAY, DAY)], []]


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("SELECT is_known, count(*) FROM ops.days GROUP BY ALL", ()),
        ("SELECT min(loaded_at) FROM ops.days", ("loaded_at",)),
        ("WITH held AS (SELECT * FROM core.livestream_sessions) SELECT day FROM ops.days JOIN held USING (day)", ()),
        ("SELECT known.* FROM ops.days AS known", ("arrival", "inputs_digest", "loaded_at", "run_id")),
        ("FROM ops.days", ("arrival", "inputs_digest", "loaded_at", "run_id")),
    ],
)
def test_the_columns_of_ops_days_that_a_mart_reads_are_found(sql: str, columns: tuple[str, ...]) -> None:
    read = read_tables(sql).columns | {"core.livestream_sessions": ("day",)}
    assert {one.ledger_columns for one in read_inputs(read)} == {columns}


def test_a_day_loaded_at_the_moment_of_the_build_is_not_missed(warehouse: FileWarehouse) -> None:
    warehouse.load(SESSIONS, DAY)
    warehouse.build("daily_usage")
    warehouse.load(SESSIONS, DAY, session("1"), loaded_at=warehouse.now)
    assert only(warehouse.mart("daily_usage"))["sessions"] == 1


@pytest.mark.parametrize("why", ["text", "gone"])
def test_another_text_or_a_missing_table_means_a_whole_build(warehouse: FileWarehouse, why: str) -> None:
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
def test_a_clock_that_was_wrong_for_one_run_hides_no_change(warehouse: FileWarehouse, days: int) -> None:
    warehouse.load(SESSIONS, DAY, session("1"))
    warehouse.build("daily_usage")
    right = warehouse.now
    warehouse.now += timedelta(days=days)
    warehouse.load(SESSIONS, NEXT, session("2"))  # and that run ended before it built any mart
    warehouse.now = right
    assert [row["sessions"] for row in warehouse.mart("daily_usage")] == [1, 1]
    assert warehouse.build("daily_usage").refreshed == []


@pytest.mark.parametrize("text", ["SELECT nothing FROM ops.days", "SELECT app_id, day, error('cut') FROM ops.days"])
def test_a_build_that_fails_leaves_the_mart_as_it_was(warehouse: FileWarehouse, text: str) -> None:
    warehouse.load(SESSIONS, DAY, session("1"))
    before = warehouse.mart("daily_usage")
    noted = warehouse.query("FROM ops.mart_builds")
    with pytest.raises(duckdb.Error):
        warehouse.build(replace(MARTS["daily_usage"], sql=text))
    assert warehouse.query("FROM marts.daily_usage") == before
    assert warehouse.query("FROM ops.mart_builds") == noted


# the seed also chooses how many rows a statement evaluates
@pytest.mark.long
@pytest.mark.parametrize("seed", [5, *(pytest.param(n, marks=pytest.mark.long) for n in (0, *range(6, 30)))])
def test_refreshing_after_each_of_many_loads_leaves_what_a_whole_build_makes(
    warehouse: FileWarehouse, seed: int, monkeypatch: pytest.MonkeyPatch
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


def built_whole(warehouse: FileWarehouse, mart: Mart) -> list[Row]:
    """Return the rows of the mart's SQL, without any build."""
    order = ", ".join(mart.grain)
    return warehouse.query(f"SELECT * FROM (\n{mart.sql}\n) ORDER BY {order}")


@pytest.mark.long
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
    for read_by_others in [mart for mart in MARTS.values() if any(mart in other.builds_on for other in MARTS.values())]:
        build_mart(connection, read_by_others, datetime(2026, 1, 1))
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


@pytest.mark.long
def test_a_mart_records_each_key_of_its_inputs_once(warehouse: FileWarehouse) -> None:
    """Seen: a table read directly and through another mart counted twice, and its rows doubled with each change."""
    counts = "SELECT DISTINCT count(*) AS n FROM ops.mart_inputs WHERE table_name = ? GROUP BY mart_name, key"
    for viewer_seconds in (1.0, 2.0, 3.0):
        warehouse.load(SESSIONS, DAY, {"session_id": "s", "livestream_id": "l", "viewer_seconds": viewer_seconds})
        warehouse.build_all()
        assert warehouse.connection.execute(counts, [SESSIONS]).fetchall() == [(1,)]
        warehouse.connection.execute(
            "INSERT INTO ops.mart_inputs FROM ops.mart_inputs"
        )  # as an earlier version left them
    assert all(len({one.table for one in mart.inputs}) == len(mart.inputs) for mart in warehouse.marts.values())


def test_built_marts_are_refreshed_together_and_the_others_one_by_one(warehouse: FileWarehouse) -> None:
    marts = [*MARTS.values()]
    assert [*split_builds(marts, {})] == [[mart] for mart in marts]
    warehouse.build_all()
    builds = find_builds(warehouse.connection)
    assert [*split_builds(marts, builds)] == [marts]
    del builds[marts[2].full_name]
    assert [*split_builds(marts, builds)] == [marts[:2], [marts[2]], marts[3:]]


def test_a_mart_that_fails_is_named_and_no_mart_changes(warehouse: FileWarehouse) -> None:
    warehouse.build_all()
    before = warehouse.query("FROM ops.mart_inputs ORDER BY ALL")
    warehouse.load(SESSIONS, DAY, {"session_id": "s", "livestream_id": "l", "viewer_seconds": 1.0})
    failing = MARTS["session_reliability"]
    sql = f"SELECT *, error('no such figure') AS wrong FROM ({failing.sql})"
    marts = [replace(mart, sql=sql) if mart is failing else mart for mart in MARTS.values()]
    with pytest.raises(duckdb.Error, match=r"^marts\.session_reliability: .*no such figure"):
        build_marts(warehouse.connection, marts, datetime(2026, 1, 2))
    assert warehouse.query("FROM ops.mart_inputs ORDER BY ALL") == before
    assert warehouse.query("FROM marts.daily_usage") == []
