"""Two runs that write the same table at once."""

from pathlib import Path

import duckdb
import pytest

from pipelines.settings.settings import Settings
from pipelines.storage.postgres import try_advisory_lock
from pipelines.storage.warehouse import open_ducklake


@pytest.mark.long
def test_a_transaction_that_conflicted_keeps_others_that_did_waiting(lake: str, tmp_path: Path) -> None:
    """One of four runs lost against the others for three minutes, and gave up."""
    settings = Settings(LIVEHOUSE_HOME=tmp_path, LIVEHOUSE_WAREHOUSE=lake)  # type: ignore[call-arg]  # read by alias
    one, other = open_ducklake(settings), open_ducklake(settings)
    could_lock: list[bool] = []

    def add(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("BEGIN; UPDATE ops.loads SET rows_landed = rows_landed + 1; COMMIT")

    def add_overtaken(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("BEGIN; UPDATE ops.loads SET rows_landed = rows_landed + 1")
        with one.connect_catalog() as session:
            could_lock.append(try_advisory_lock(session, "a conflict"))
        if could_lock == [True]:
            other.write(add)
        connection.execute("COMMIT")

    with one.run(wait_seconds=10, log=print), other.run(wait_seconds=10, log=print):
        rows = "INSERT INTO ops.loads (run_id, rows_landed) SELECT 'r', 0 FROM range(100)"
        one.write(lambda connection: connection.execute(rows))
        one.write(add_overtaken)
        landed = "SELECT DISTINCT rows_landed FROM ops.loads"
        assert one.read(lambda connection: connection.execute(landed).fetchall()) == [(2,)]
    assert could_lock == [True, False]
