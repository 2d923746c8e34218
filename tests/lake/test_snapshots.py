"""Reads that share a transaction: few statements to PostgreSQL, and never older than the last write or lock."""

from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from pydantic import SecretStr

from pipelines.simulator.server import Simulator
from pipelines.storage.ducklake_warehouse import DuckLakeWarehouse
from tests.fixed_clock import NOW
from tests.lake.statement_log import StatementLog
from tests.pipeline_runner import LAST, run_pipeline, settings_for, small_world
from tests.postgres import Postgres

LOADS = "SELECT count(*) FROM ops.loads"
STATEMENTS, STATEMENTS_OF_AN_APP = 1_800, 350


@pytest.mark.long
def test_reads_of_a_block_share_a_transaction_up_to_a_write_or_a_lock(
    lake: str, postgres: Postgres, tmp_path: Path
) -> None:
    conninfo = SecretStr(lake.removeprefix("ducklake:postgres:"))
    one, two = (DuckLakeWarehouse(conninfo, None, tmp_path) for _ in range(2))

    def add(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("INSERT INTO ops.loads (run_id) VALUES ('r')")

    def count() -> int:
        with one.open_working() as connection:
            [(number,)] = connection.execute(LOADS).fetchall()
        return int(number)

    with one.run(wait_seconds=0, log=print):
        pass
    log = StatementLog(postgres, lake)
    with one.run(wait_seconds=0, log=print), two.run(wait_seconds=0, log=print), one.snapshot():
        assert count() == 0
        log.take()
        two.write(add)
        log.take()
        assert count() == 0, "one state"
        assert {"BEGIN", "COMMIT", "DISCARD"}.isdisjoint(log.take())
        attempts = iter((duckdb.OutOfMemoryException("out of memory"), None))

        def count_at_second_attempt(connection: duckdb.DuckDBPyConnection) -> int:
            [(before,)] = connection.execute(LOADS).fetchall()
            if error := next(attempts):
                raise error
            two.write(add)
            assert connection.execute(LOADS).fetchall() == [(before,)], "one state, also after a retry with more memory"
            return int(before)

        assert one.read(count_at_second_attempt) == 1
        with one.open_working() as connection, pytest.raises(duckdb.TransactionException, match="read-only"):
            connection.execute("INSERT INTO ops.loads (run_id) VALUES ('r')")
        with one.lock_table("core.x", "a"):
            assert count() == 2, "commits before the lock are seen"
        one.write(add)
        assert count() == 3, "and so is a write of its own"


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("apps", [("a",), ("a", "b", "c")], ids=len)
def test_an_unchanged_night_sends_a_bounded_number_of_statements(
    apps: tuple[str, ...], lake: str, postgres: Postgres, tmp_path: Path
) -> None:
    """A slow machine lands more often: a buffer that has waited for a second lands, with a hundred statements."""
    world = small_world(apps=apps, livestreams=6, sessions=60, days=30, now=NOW, broken=False)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path / "home", LIVEHOUSE_WAREHOUSE=lake)
        for number in range(2):
            run_pipeline(settings, (LAST - timedelta(days=2), LAST), run_id=f"night {number}")
        log = StatementLog(postgres, lake)
        run_pipeline(settings, (LAST - timedelta(days=2), LAST), run_id="unchanged")
        assert len(log.take()) < STATEMENTS + STATEMENTS_OF_AN_APP * len(apps)
