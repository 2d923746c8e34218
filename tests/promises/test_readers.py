"""Readers: whoever has the warehouse open, and however, neither blocks a run nor is torn by one."""

import time
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests.pipeline_runner import DAYS, assert_matches_world, query, run_pipeline, settings_for
from tests.promises.conftest import Serve
from tests.promises.fault_runner import child_process, run_cli, stored_days, unexpected_files
from tests.promises.world_factory import change_everything, tiny_world

pytestmark = pytest.mark.file_only
"""Readers of a lakehouse: tests/lake/test_lakehouse.py, tests/lake/test_workers.py."""

SUMS = """
    SELECT (SELECT sum(ingest_seconds) FROM core.livestream_sessions),
        (SELECT sum(ingest_seconds) FROM marts.daily_usage),
        (SELECT count(DISTINCT run_id) FROM ops.loads),
        (SELECT max(n) - min(n) FROM (SELECT run_id, count(*) AS n FROM ops.loads GROUP BY run_id))
"""


def is_whole(sums: tuple[Any, ...]) -> bool:
    """Marts of these very sessions, and no run of which only a part is there."""
    sessions, usage, _, ragged = sums
    return bool(abs(sessions - usage) < 1e-3 and ragged == 0)


def reads_on(told: Connection, path: str, *, read_only: bool) -> None:
    """Keep it open, and read (and write) whenever told to, until told to stop."""
    with duckdb.connect(path, read_only=read_only) as connection:
        if not read_only:
            connection.execute("CREATE TABLE notes (line VARCHAR)")
        told.send(connection.execute(SUMS).fetchall()[0])
        while told.recv() == "again":
            if not read_only:
                connection.execute("INSERT INTO notes VALUES ('mine')")
            told.send(connection.execute(SUMS).fetchall()[0])
    told.send("closed")


def reads_anew(told: Connection, path: str, *, read_only: bool) -> None:
    """Open, read (and write), close, over and over, until told to stop."""
    seen: list[tuple[Any, ...]] = []
    while not told.poll():
        with duckdb.connect(path, read_only=read_only) as connection:
            seen.append(connection.execute(SUMS).fetchall()[0])
            if not read_only:
                connection.execute("CREATE OR REPLACE TABLE notes AS SELECT 'mine' AS line")
        if len(seen) == 1:
            told.send("reading")
    told.send(seen)


def loaded(serve: Serve, home: Path) -> tuple[Settings, World]:
    world = tiny_world(apps=("aula",), broken=False)
    settings = settings_for(serve(Simulator(world)), home)
    run_pipeline(settings, run_id="before")
    return settings, world


@pytest.mark.parametrize("read_only", [True, False], ids=["reading", "writing"])
def test_reader_with_an_open_connection_does_not_block_runs(serve: Serve, tmp_path: Path, *, read_only: bool) -> None:
    settings, world = loaded(serve, tmp_path / "home")
    with child_process(_reads_on, f"{settings.warehouse}", read_only) as (_, told):
        first = told.recv()
        assert is_whole(first)
        for number in range(2):
            world.advance(timedelta(minutes=1))
            change_everything(world)
            run_pipeline(settings, run_id=f"run {number}")
            told.send("again")
            assert told.recv() == first, "who has it open keeps what it opened"
            assert_matches_world(settings, world)
        told.send("stop")
        assert told.recv() == "closed"
    assert_matches_world(settings, world)
    assert "warehouse.duckdb.publishing" not in unexpected_files(settings.home)


@pytest.mark.parametrize("read_only", [True, False], ids=["reading", "writing"])
def test_reader_that_reopens_sees_only_complete_files(serve: Serve, tmp_path: Path, *, read_only: bool) -> None:
    settings, world = loaded(serve, tmp_path / "home")
    with child_process(_reads_anew, f"{settings.warehouse}", read_only) as (_, told):
        assert told.recv() == "reading"
        for number in range(2):
            change_everything(world)
            run_pipeline(settings, run_id=f"run {number}")
        told.send("stop")
        seen = told.recv()
    assert all(is_whole(sums) for sums in seen), seen
    assert [sums[2] for sums in seen] == sorted(sums[2] for sums in seen), "never back to an older copy"
    assert_matches_world(settings, world)


def writes_and_dies(told: Connection, path: str) -> None:
    """Keep it open, write once told to, and stay so until killed."""
    connection = duckdb.connect(path)
    told.send(connection.execute(SUMS).fetchall()[0])
    told.recv()
    connection.execute("DELETE FROM core.livestream_sessions")
    connection.execute("CREATE TABLE notes AS SELECT 'mine' AS line")
    told.send("written")
    time.sleep(1_000)


def test_writes_to_an_old_file_do_not_reach_the_new_one(
    serve: Serve, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings, world = loaded(serve, tmp_path / "home")
    with child_process(writes_and_dies, f"{settings.warehouse}") as (process, told):
        told.recv()
        change_everything(world)
        run_pipeline(settings, run_id="second")
        assert "open for writing" in capfd.readouterr().err
        told.send("write")
        assert told.recv() == "written"
        given = {"LIVEHOUSE_HOME": str(settings.home)}
        counted = "SELECT count(*) FROM core.livestream_sessions"
        status, out, said = run_cli(given, "sql", "--format", "csv", counted)
        assert status == 0, said
        held = [
            at
            for at in stored_days(settings.home / "pipeline.duckdb").items()
            if at[0][0] == "core.livestream_sessions"
        ]
        assert int(out.split()[-1]) == sum(len(rows) for _, rows in held)
        status, _, said = run_cli(given, "sql", "SELECT * FROM notes")
        assert status == 1, "what it wrote is not in the new copy"
        assert "notes" in said
        process.kill()
        process.join()
    run_pipeline(settings, run_id="third")
    assert_matches_world(settings, world)
    assert query(settings, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'notes'") == [(0,)]


def _reads_on(told: Connection, path: str, read_only: bool) -> None:  # noqa: FBT001 - given by position to a process
    reads_on(told, path, read_only=read_only)


def _reads_anew(told: Connection, path: str, read_only: bool) -> None:  # noqa: FBT001 - same
    reads_anew(told, path, read_only=read_only)


def test_days_of_the_test_are_over() -> None:
    assert DAYS[0] < DAYS[1]
