"""Readers of the published file neither block a run nor see half of one, however they open it."""

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
from tests.pipeline_runner import assert_matches_world, query, run_pipeline
from tests.promises.conftest import LoadHome, Serve, template_world
from tests.promises.fault_runner import child_process, run_cli, stored_days, unexpected_files
from tests.promises.world_factory import change_everything

pytestmark = pytest.mark.file_only
"""For readers of a lakehouse: tests/lake/test_lakehouse.py, tests/lake/test_workers.py."""

SUMS = """
    SELECT (SELECT sum(ingest_seconds) FROM core.livestream_sessions),
        (SELECT sum(ingest_seconds) FROM marts.daily_usage),
        (SELECT count(DISTINCT run_id) FROM ops.loads),
        (SELECT max(n) - min(n) FROM (SELECT run_id, count(*) AS n FROM ops.loads GROUP BY run_id))
"""


def is_complete(sums: tuple[Any, ...]) -> bool:
    """Return whether marts and sessions agree and no run is only partly there."""
    sessions, usage, _, ragged = sums
    return bool(abs(sessions - usage) < 1e-3 and ragged == 0)


def read_repeatedly(channel: Connection, path: str, *, read_only: bool) -> None:
    """Keep the file open; read (and write) on each "again", until "stop"."""
    with duckdb.connect(path, read_only=read_only) as connection:
        if not read_only:
            connection.execute("CREATE TABLE notes (line VARCHAR)")
        channel.send(connection.execute(SUMS).fetchall()[0])
        while channel.recv() == "again":
            if not read_only:
                connection.execute("INSERT INTO notes VALUES ('mine')")
            channel.send(connection.execute(SUMS).fetchall()[0])
    channel.send("closed")


def reopen_repeatedly(channel: Connection, path: str, *, read_only: bool) -> None:
    """Open, read (and write) and close again and again, until a message arrives."""
    seen: list[tuple[Any, ...]] = []
    while not channel.poll():
        with duckdb.connect(path, read_only=read_only) as connection:
            seen.append(connection.execute(SUMS).fetchall()[0])
            if not read_only:
                connection.execute("CREATE OR REPLACE TABLE notes AS SELECT 'mine' AS line")
        if len(seen) == 1:
            channel.send("reading")
    channel.send(seen)


@pytest.fixture
def world() -> World:
    return template_world()


@pytest.fixture
def settings(world: World, serve: Serve, load_home: LoadHome, tmp_path: Path) -> Settings:
    return load_home(serve(Simulator(world)), tmp_path / "home")


@pytest.mark.long
@pytest.mark.parametrize("read_only", [True, False], ids=["reading", "writing"])
def test_reader_with_an_open_connection_does_not_block_runs(
    settings: Settings, world: World, *, read_only: bool
) -> None:
    with child_process(_read_repeatedly, f"{settings.warehouse}", read_only) as (_, channel):
        first = channel.recv()
        assert is_complete(first)
        for number in range(2):
            world.advance(timedelta(minutes=1))
            change_everything(world)
            run_pipeline(settings, run_id=f"run {number}")
            channel.send("again")
            assert channel.recv() == first, "an open connection keeps the file that it opened"
            assert_matches_world(settings, world)
        channel.send("stop")
        assert channel.recv() == "closed"
    assert_matches_world(settings, world)
    assert "warehouse.duckdb.publishing" not in unexpected_files(settings.home)


@pytest.mark.long
@pytest.mark.parametrize("read_only", [True, pytest.param(False, marks=pytest.mark.long)], ids=["reading", "writing"])
def test_reader_that_reopens_sees_only_complete_files(settings: Settings, world: World, *, read_only: bool) -> None:
    with child_process(_reopen_repeatedly, f"{settings.warehouse}", read_only) as (_, channel):
        assert channel.recv() == "reading"
        change_everything(world)
        run_pipeline(settings, run_id="run")
        channel.send("stop")
        seen = channel.recv()
    assert all(is_complete(sums) for sums in seen), seen
    assert [sums[2] for sums in seen] == sorted(sums[2] for sums in seen), "a reader never sees an older file again"
    assert_matches_world(settings, world)


def write_on_request(channel: Connection, path: str) -> None:
    """Keep the file open, write on the first message, and wait to be killed."""
    connection = duckdb.connect(path)
    channel.send(connection.execute(SUMS).fetchall()[0])
    channel.recv()
    connection.execute("DELETE FROM core.livestream_sessions")
    connection.execute("CREATE TABLE notes AS SELECT 'mine' AS line")
    channel.send("written")
    time.sleep(1_000)


@pytest.mark.long
def test_writes_to_an_old_file_do_not_reach_the_new_one(
    settings: Settings, world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    with child_process(write_on_request, f"{settings.warehouse}") as (process, channel):
        channel.recv()
        change_everything(world)
        run_pipeline(settings, run_id="second")
        assert "open for writing" in capfd.readouterr().err
        channel.send("write")
        assert channel.recv() == "written"
        given = {"LIVEHOUSE_HOME": str(settings.home)}
        counted = "SELECT count(*) FROM core.livestream_sessions"
        status, out, err = run_cli(given, "sql", "--format", "csv", counted)
        assert status == 0, err
        rows_of_days = [
            at
            for at in stored_days(settings.home / "pipeline.duckdb").items()
            if at[0][0] == "core.livestream_sessions"
        ]
        assert int(out.split()[-1]) == sum(len(rows) for _, rows in rows_of_days)
        status, _, err = run_cli(given, "sql", "SELECT * FROM notes")
        assert status == 1, "the new file does not have that table"
        assert "notes" in err
        process.kill()
        process.join()
    run_pipeline(settings, run_id="third")
    assert_matches_world(settings, world)
    assert query(settings, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'notes'") == [(0,)]


def _read_repeatedly(channel: Connection, path: str, read_only: bool) -> None:  # noqa: FBT001 - given by position to a process
    read_repeatedly(channel, path, read_only=read_only)


def _reopen_repeatedly(channel: Connection, path: str, read_only: bool) -> None:  # noqa: FBT001 - same
    reopen_repeatedly(channel, path, read_only=read_only)
