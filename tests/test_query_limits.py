"""A query that never ends, or takes more memory than DuckDB counts, ends with one line."""

import resource
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from pipelines.cli.query_limits import TimeLimit, limit_memory
from pipelines.errors import QueryError

ROOT = Path(__file__).parents[1]
WITHIN_ONE_BATCH = "SELECT levenshtein(repeat('ab', 300000), repeat('b', 300000))"
"""Takes an hour, in which DuckDB does not look for an interruption."""

INTERRUPTED = f"""
import os, signal, sys, threading, duckdb
from pipelines.cli.query_limits import TimeLimit
signal.signal(signal.SIGINT, signal.default_int_handler)
connection = duckdb.connect()
with TimeLimit(connection, float(sys.argv[1])).running():
    if sys.argv[1] == "0":
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    connection.execute("{WITHIN_ONE_BATCH}")
"""


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM range(1000000000000000000)",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r",
        "SELECT sleep_ms(600000)",
    ],
)
def test_a_query_without_end_is_ended(query: str) -> None:
    connection = duckdb.connect()
    with pytest.raises(QueryError, match=r"ended after 0\.05 s: .*--timeout"), TimeLimit(connection, 0.05).running():
        connection.execute(query)


def test_the_time_is_that_of_all_statements_together() -> None:
    connection = duckdb.connect()
    limit = TimeLimit(connection, 0.2)

    def run_twice() -> None:
        for _ in range(2):
            with limit.running():
                connection.execute("SELECT sleep_ms(150)").fetchall()

    with pytest.raises(QueryError):
        run_twice()
    with TimeLimit(connection, 0).running():
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_an_interruption_between_two_statements_is_not_lost() -> None:
    """Seen on a busy machine: the time was over before DuckDB began, and the statement had as much time as it liked."""
    connection = duckdb.connect()
    with pytest.raises(QueryError), TimeLimit(connection, 0.01).running():
        time.sleep(0.05)
        connection.execute("SELECT 1").fetchall()


@pytest.mark.long
def test_a_call_that_duckdb_cannot_interrupt_is_ended() -> None:
    started = {
        seconds: subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, seconds], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for seconds in ("0", "0.5")  # by then the call has begun
    }
    ended = {seconds: (process.communicate(timeout=60)[1], process.returncode) for seconds, process in started.items()}
    assert ended["0"] == ("livehouse: stopped\n", 130)
    assert ended["0.5"] == (
        "livehouse: the query was ended after 0.5 s: give it more time with --timeout (0 for no limit)\n",
        1,
    )


def test_memory_that_duckdb_does_not_count_is_limited() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(QueryError, match="more memory than a query may take"), limit_memory():
        bytearray(64 * 2**30)
    assert resource.getrlimit(resource.RLIMIT_AS) == before
