"""Queries of the page: they run as `livehouse sql` does, and their downloads contain the same rows."""

import csv
import io
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipelines.explore import queries
from pipelines.explore.queries import QueryRunner, build_csv
from tests.promises.fault_runner import run_cli

ENDLESS = "SELECT count(*) FROM range(10_000_000) AS a, range(10_000_000) AS b WHERE hash(a, b) = 1"


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> QueryRunner:
    home = tmp_path_factory.mktemp("home")
    with duckdb.connect(home / "warehouse.duckdb") as connection:
        connection.execute("CREATE SCHEMA marts")
        connection.execute("CREATE TABLE marts.daily_usage AS SELECT DATE '2026-11-01' AS day, 3::BIGINT AS sessions")
    runner = QueryRunner()
    runner.environment = {**runner.environment, "LIVEHOUSE_HOME": str(home), "LIVEHOUSE_LOG_FORMAT": "json"}
    runner.directory = home
    return runner


def test_a_result_is_the_same_in_the_table_and_in_both_downloads(runner: QueryRunner) -> None:
    answer = runner.run(
        "SELECT day, sum(sessions) AS sessions, $text AS text, '' AS empty, NULL AS nothing, [1, 2] AS list, INTERVAL 3 DAY AS span,"
        " 0.1 + 0.2 AS fraction, TIMESTAMP '2026-11-27 10:00:00' AS moment, 1 AS text, -5 AS negative FROM marts.daily_usage GROUP BY day;",
        {"text": "=1+1"},
    )
    assert answer.message == ""
    assert answer.frame is not None
    [row] = answer.frame.rows(named=True)
    assert (row["day"], row["sessions"], row["text"], row["list"]) == (date(2026, 11, 1), 3, "=1+1", "[1, 2]")
    assert pl.read_parquet(io.BytesIO(answer.parquet)).equals(answer.frame)
    assert row["text_1"] == 1, "columns of a frame have distinct names"
    header, values = csv.reader(io.StringIO(build_csv(answer.parquet).decode("utf-8-sig"), newline=""))
    assert header == answer.frame.columns
    assert values[:6] == ["2026-11-01", "3", "'=1+1", "", "", "[1, 2]"]
    assert values[6:] == ["3 days", "0.3", "2026-11-27 10:00:00", "1", "-5"]


def test_an_error_is_the_line_of_the_command(runner: QueryRunner) -> None:
    answer = runner.run("COPY marts.daily_usage TO 'x.csv'")
    assert answer.frame is None
    status, _, err = run_cli({"LIVEHOUSE_HOME": str(runner.directory)}, "sql", "COPY marts.daily_usage TO 'x.csv'")
    assert status == 1
    assert answer.message == err.strip().removeprefix("livehouse: ")
    assert len(answer.message.splitlines()) == 1
    assert not (runner.directory / "x.csv").exists()


@pytest.mark.long
def test_a_result_that_is_too_large_is_refused(runner: QueryRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "MOST_BYTES", 1000)
    answer = runner.run("SELECT hash(i) FROM range(100_000) AS t(i)")
    assert answer.frame is None
    assert "select fewer rows" in answer.message


@pytest.mark.long
def test_a_query_ends_after_its_time(runner: QueryRunner) -> None:
    runner.timeout_seconds, before = 1, runner.timeout_seconds
    answer = runner.run(ENDLESS)
    runner.timeout_seconds = before
    assert answer.frame is None
    assert "ended after 1 s" in answer.message


@pytest.mark.long
def test_the_newest_published_file_is_read(runner: QueryRunner) -> None:
    newer = runner.directory / "newer"
    with duckdb.connect(newer) as connection:
        connection.execute("CREATE SCHEMA marts; CREATE TABLE marts.daily_usage AS SELECT 4 AS sessions")
    kept = runner.directory / "warehouse.duckdb"
    before = kept.read_bytes()
    newer.replace(kept)
    answer = runner.run("SELECT sessions FROM marts.daily_usage")
    kept.write_bytes(before)
    assert answer.frame is not None
    assert answer.frame.rows() == [(4,)]


@pytest.mark.long
def test_closing_ends_all_running_queries(runner: QueryRunner) -> None:
    closed = QueryRunner()
    closed.environment, closed.directory = runner.environment, runner.directory
    with ThreadPoolExecutor(2) as pool:
        pending = [pool.submit(closed.run, ENDLESS) for _ in range(2)]
        deadline = time.monotonic() + 60
        while len(closed._running) < 2:  # noqa: SLF001 - nothing else tells that both have started
            assert time.monotonic() < deadline
            time.sleep(0.05)
        closed.close()
        assert [answer.result(timeout=30).message for answer in pending] == ["the query was ended"] * 2
    assert closed._running == set()  # noqa: SLF001 - same


@pytest.mark.parametrize("value", ["a\0b", "x" * 200_000])
def test_a_value_that_no_program_takes_is_one_line(value: str, runner: QueryRunner) -> None:
    answer = runner.run("SELECT $value", {"value": value})
    assert answer.frame is None
    assert answer.message.startswith("the query cannot be started: ")
    assert len(answer.message) < 200


def test_no_query_starts_once_the_server_ends() -> None:
    runner = QueryRunner()
    runner.close()
    assert runner.run("SELECT 1").message == "the server is being stopped"


def test_without_a_warehouse_the_command_names_the_next_step(tmp_path: Path) -> None:
    status, out, err = run_cli({"LIVEHOUSE_HOME": str(tmp_path / "home")}, "explore")
    assert (status, out) == (1, "")
    assert "nothing has been published yet; run `livehouse nightly`" in err


def test_without_the_extra_the_command_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    status, out, err = run_cli({"LIVEHOUSE_HOME": str(tmp_path)}, "explore")
    assert (status, out) == (2, "")
    assert "pip install 'livehouse[explore]'" in err
    assert len(err.splitlines()) == 1
