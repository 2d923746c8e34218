"""Copies of small tables for reads that share a snapshot: they spare statements, and never show an older state."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import duckdb
import pytest
from pydantic import SecretStr

from pipelines.load.days import note_loads
from pipelines.storage.ducklake_warehouse import DuckLakeWarehouse
from tests.lake.statement_log import StatementLog
from tests.postgres import Postgres

pytestmark = pytest.mark.long

LOADS = "SELECT count(*) FROM ops.loads"
READ = ("ops.loads", "ops.days")


class Lakehouse:
    """A lakehouse that two runs of this process use."""

    def __init__(self, address: str, home: Path, log: StatementLog) -> None:
        conninfo = SecretStr(address.removeprefix("ducklake:postgres:"))
        self.one, self.two = (DuckLakeWarehouse(conninfo, None, home) for _ in range(2))
        self.log = log

    def add_load(self, warehouse: DuckLakeWarehouse) -> None:
        run_sql(warehouse, "INSERT INTO ops.loads (run_id) VALUES ('r')")

    def count_loads(self) -> int:
        with self.one.open_working() as connection:
            [(number,)] = connection.execute(LOADS).fetchall()
        return int(number)


def run_sql(warehouse: DuckLakeWarehouse, sql: str) -> None:
    def execute(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(sql)

    warehouse.write(execute)


@pytest.fixture(scope="module")
def opened(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lakehouse]:
    address = postgres.new_database()
    lakehouse = Lakehouse(address, tmp_path_factory.mktemp("home"), StatementLog(postgres, address))
    with lakehouse.one.run(wait_seconds=0, log=print), lakehouse.two.run(wait_seconds=0, log=print):
        run_sql(lakehouse.one, "CREATE SCHEMA marts")
        yield lakehouse


def test_a_table_is_read_once_for_many_blocks(opened: Lakehouse) -> None:
    with opened.one.snapshot(READ):
        before = opened.count_loads()
        opened.log.take()
        for _ in range(5):
            assert opened.count_loads() == before
        assert opened.log.take() == []
    with opened.one.snapshot(READ):
        assert opened.count_loads() == before
    assert len(opened.log.take()) <= 6, "the end of a transaction, and one that reads nothing but the snapshot"


def test_a_write_of_this_run_is_seen(opened: Lakehouse) -> None:
    with opened.one.snapshot(READ):
        before = opened.count_loads()
        opened.add_load(opened.one)
        assert opened.count_loads() == before + 1
        run_sql(opened.one, "UPDATE ops.loads SET note = 'n'")
        with opened.one.open_working() as connection:
            assert connection.execute("SELECT DISTINCT note FROM ops.loads").fetchall() == [("n",)]


def test_a_write_of_another_run_is_seen_by_the_next_block_only(opened: Lakehouse) -> None:
    with opened.one.snapshot(READ):
        before = opened.count_loads()
        opened.add_load(opened.two)
        assert opened.count_loads() == before, "one state"
    with opened.one.snapshot(READ):
        assert opened.count_loads() == before + 1
    opened.add_load(opened.two)
    with opened.one.snapshot():
        assert opened.count_loads() == before + 2, "also of a block that names no table"


def _recreate(opened: Lakehouse) -> None:
    run_sql(opened.two, "CREATE OR REPLACE TABLE marts.m AS SELECT 2 AS a, 3 AS b")


def _expire(opened: Lakehouse) -> None:
    run_sql(opened.two, "INSERT INTO marts.m VALUES (2)")
    run_sql(opened.two, "CALL ducklake_expire_snapshots('lake', older_than => now())")


def _flush(opened: Lakehouse) -> None:
    run_sql(opened.two, "INSERT INTO marts.m VALUES (2)")
    run_sql(opened.two, "CALL ducklake_flush_inlined_data('lake')")


@pytest.mark.parametrize("change", [_recreate, _expire, _flush])
def test_other_changes_than_of_rows_are_seen(change: Callable[[Lakehouse], None], opened: Lakehouse) -> None:
    run_sql(opened.two, "CREATE OR REPLACE TABLE marts.m AS SELECT 1 AS a")

    def read() -> int:
        with opened.one.snapshot(["marts.m"]), opened.one.open_working() as connection:
            [(number,)] = connection.execute("SELECT max(a) FROM marts.m").fetchall()
        return int(number)

    assert read() == 1
    change(opened)
    assert read() == 2


def test_a_large_table_is_read_in_place(opened: Lakehouse) -> None:
    run_sql(opened.two, "CREATE OR REPLACE TABLE marts.large AS SELECT range AS a FROM range(100_001)")
    with opened.one.snapshot(["marts.large"]), opened.one.open_working() as connection:
        query = "SELECT count(*), count(DISTINCT a) FROM marts.large WHERE a >= 0"
        connection.execute(query)
        opened.log.take()
        assert connection.execute(query).fetchall() == [(100_001, 100_001)]
        assert opened.log.take()


def test_a_query_that_needs_more_memory_sees_the_current_state(opened: Lakehouse) -> None:
    before = 0
    attempts = iter((duckdb.OutOfMemoryException("out of memory"), None))

    def count_at_second_attempt(connection: duckdb.DuckDBPyConnection) -> int:
        nonlocal before
        if error := next(attempts):
            [(before,)] = connection.execute(LOADS).fetchall()
            opened.add_load(opened.two)
            raise error
        [(number,)] = connection.execute(LOADS).fetchall()
        return int(number)

    with opened.one.snapshot(READ):
        assert opened.one.read(count_at_second_attempt) == before + 1


def test_a_write_with_frames_is_one_transaction(opened: Lakehouse) -> None:
    opened.log.take()
    opened.one.write(partial(note_loads, loads=[{"run_id": "noted", "table_name": "core.x", "app_id": "a"}]))
    assert opened.log.take().count("BEGIN") == 1


def test_a_lakehouse_is_not_written_while_copies_are_read(opened: Lakehouse) -> None:
    with opened.one.snapshot(READ), opened.one.open_working() as connection:
        with pytest.raises(AssertionError, match="ends the snapshot"):
            opened.add_load(opened.one)
        with pytest.raises(duckdb.TransactionException, match="read-only"):
            connection.execute("INSERT INTO ops.loads (run_id) VALUES ('r')")


def test_tables_of_a_schema_that_is_created_later_are_read_in_place(opened: Lakehouse) -> None:
    with opened.one.snapshot(READ):
        opened.count_loads()
    run_sql(opened.two, "CREATE SCHEMA later")
    run_sql(opened.two, "CREATE TABLE later.m AS SELECT 1 AS a")
    with opened.one.snapshot([*READ, "later.m"]), opened.one.open_working() as connection:
        assert connection.execute("SELECT a FROM later.m").fetchall() == [(1,)]
