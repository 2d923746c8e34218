"""The files: made, brought up to date, and explained when something is wrong with them."""

import os
import signal
from pathlib import Path

import duckdb
import pytest

from pipelines.catalog.core import LIVESTREAM_SESSIONS
from pipelines.catalog.files import RAW_FILE, WAREHOUSE_FILE
from pipelines.catalog.ops import LOADS
from pipelines.catalog.types import SQL_TYPES, Table
from pipelines.errors import SettingsError, WarehouseError
from pipelines.storage.duckdb_errors import translate_errors
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.publish import open_published
from tests.storage.conftest import Start, with_little_disk

HOLD_FILE = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
"""

DIES_WHILE_MAKING = with_little_disk(
    "pipelines.storage.file_warehouse", "with FileWarehouse(Path(sys.argv[1])).open_working(): pass", 4096
)


def described(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str, str], tuple[str, str]]:
    rows = connection.execute(
        "SELECT schema_name, table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal"
    ).fetchall()
    return {(schema, table, column): (kind, comment) for schema, table, column, kind, comment in rows}


def expected(tables: tuple[Table, ...]) -> dict[tuple[str, str, str], tuple[str, str]]:
    return {
        (table.schema, table.name, column.name): (SQL_TYPES[column.logical_type], column.description)
        for table in tables
        for column in table.columns
    }


def test_every_table_and_column_exists_with_its_description(warehouse: FileWarehouse) -> None:
    with warehouse.open_working() as connection:
        assert described(connection) == expected(WAREHOUSE_FILE)
        comments = connection.execute("SELECT count(*), count(comment) FROM duckdb_tables() WHERE NOT internal")
        assert comments.fetchall() == [(len(WAREHOUSE_FILE), len(WAREHOUSE_FILE))]
    with warehouse.open_raw() as connection:
        assert described(connection) == expected(RAW_FILE)
    assert all(meaning for _, meaning in expected((*WAREHOUSE_FILE, *RAW_FILE)).values())


def test_opened_again_nothing_is_made_again(warehouse: FileWarehouse) -> None:
    for _ in range(2):
        with warehouse.open_working() as connection:
            connection.execute("INSERT INTO ops.loads (run_id) VALUES ('a')")
    with warehouse.open_working() as connection:
        assert connection.execute("SELECT count(*) FROM ops.loads").fetchall() == [(2,)]


def test_a_schema_of_an_older_version_is_added_to(warehouse: FileWarehouse) -> None:
    with duckdb.connect(warehouse.working) as connection:
        connection.execute("CREATE SCHEMA core; CREATE SCHEMA ops")
        connection.execute(
            "CREATE TABLE core.livestream_sessions (app_id VARCHAR, session_id VARCHAR, day DATE, own_note VARCHAR)"
        )
        connection.execute("INSERT INTO core.livestream_sessions VALUES ('app', 's', '2025-03-10', 'kept')")
        connection.execute(
            "CREATE TABLE ops.days (table_name VARCHAR, app_id VARCHAR, day DATE, row_count BIGINT,"
            " PRIMARY KEY (table_name, app_id, day))"
        )
        connection.execute("INSERT INTO ops.days VALUES ('core.livestream_sessions', 'app', '2025-03-10', 1)")
        connection.execute("CREATE TABLE core.mine (x INTEGER)")
    with warehouse.open_working() as connection:
        there = described(connection)
        assert there.items() >= expected(WAREHOUSE_FILE).items()
        assert connection.execute(
            "SELECT app_id, session_id, day::VARCHAR, own_note, viewer_seconds FROM core.livestream_sessions"
        ).fetchall() == [("app", "s", "2025-03-10", "kept", None)]
        assert connection.execute("SELECT row_count, is_known FROM ops.days").fetchall() == [(1, None)]
        assert connection.execute("SELECT count(*) FROM core.mine").fetchall() == [(0,)]


def test_what_was_not_committed_is_undone(warehouse: FileWarehouse) -> None:
    with pytest.raises(ZeroDivisionError), warehouse.open_working() as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO ops.loads (run_id) VALUES ('a')")
        raise ZeroDivisionError
    with warehouse.open_working() as connection:
        assert connection.execute("SELECT count(*) FROM ops.loads").fetchall() == [(0,)]


def test_connections_held_for_a_run(warehouse: FileWarehouse) -> None:
    with warehouse.keep_open():
        with warehouse.open_working() as first:
            pass
        with warehouse.open_working() as second:
            assert second is first
        with pytest.raises(ZeroDivisionError), warehouse.open_working() as outer, warehouse.open_working():
            outer.execute("BEGIN")
            outer.execute("INSERT INTO ops.loads (run_id) VALUES ('a')")
            raise ZeroDivisionError
        with warehouse.open_working() as third:
            assert third is not first
            assert third.execute("SELECT count(*) FROM ops.loads").fetchall() == [(0,)]
    with duckdb.connect(warehouse.working) as connection:
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_raw_missing_beside_a_warehouse_made_of_it(warehouse: FileWarehouse) -> None:
    with warehouse.open_working():
        pass
    with pytest.raises(WarehouseError, match=r"pipeline_raw\.duckdb is missing.*backup"):
        warehouse.prepare()
    with warehouse.open_raw():
        pass
    warehouse.prepare()


@pytest.mark.parametrize(
    "name",
    ["pipeline.duckdb", "pipeline_raw.duckdb", "core.duckdb", "ops.db", "marts.duckdb", "Core.duckdb"],
)
def test_names_that_are_taken(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LIVEHOUSE_WAREHOUSE cannot be named"):
        FileWarehouse(tmp_path / name)


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WarehouseError, match="is not a directory"):
        FileWarehouse(tmp_path / "file" / "warehouse.duckdb").prepare()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_is_not_writable(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    with pytest.raises(WarehouseError, match=r"not writable.*LIVEHOUSE_HOME"):
        FileWarehouse(home / "warehouse.duckdb").prepare()


@pytest.mark.parametrize("content", [b"garbage", b"x" * 20_000])
def test_a_damaged_file_is_one_line(content: bytes, warehouse: FileWarehouse) -> None:
    warehouse.working.write_bytes(content)
    with pytest.raises(WarehouseError, match=r"pipeline\.duckdb: .*livehouse doctor") as raised:
        with warehouse.open_working():
            pytest.fail("opened")
    assert "\n" not in str(raised.value)
    assert warehouse.working.read_bytes() == content


@pytest.mark.parametrize("name", ["pipeline.duckdb", "pipeline_raw.duckdb", "warehouse.duckdb"])
def test_a_directory_in_the_place_of_a_file(name: str, warehouse: FileWarehouse) -> None:
    (warehouse.directory / name).mkdir()
    with pytest.raises(WarehouseError, match=f"{name} is not a file: move it away"):
        warehouse.prepare()


def test_a_file_is_there_whole_or_not_at_all(warehouse: FileWarehouse, start: Start) -> None:
    """Killed while it makes a new file, DuckDB leaves a part of its head, which it refuses ever after."""
    killed = start(DIES_WHILE_MAKING, warehouse.published)
    assert killed.finish()[0] == -signal.SIGXFSZ
    assert not warehouse.working.exists()
    assert list(warehouse.directory.iterdir()), "what was begun lies under another name"
    with warehouse.run(wait_seconds=0, log=print), warehouse.open_working() as connection:
        connection.execute("FROM ops.loads")
    files = {path.name for path in warehouse.directory.iterdir()}
    assert files == {"pipeline.duckdb", "pipeline_raw.duckdb", "pipeline.lock"}


def test_a_file_that_another_program_has_open(tmp_path: Path, start: Start) -> None:
    warehouse = FileWarehouse(tmp_path / "disk1" / "warehouse.duckdb")  # the path says disk, the fault is another
    warehouse.prepare()
    with warehouse.open_working():
        pass
    other = start(HOLD_FILE, warehouse.working)
    with pytest.raises(WarehouseError, match="end the program that has this file open") as raised:
        with warehouse.open_working():
            pytest.fail("two writers")
    assert str(other.process.pid) in str(raised.value)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (duckdb.IOException("Could not write to file: No space left on device"), "free some disk space"),
        (duckdb.OutOfMemoryException("failed to offload data block\nmore"), "free some disk space"),
        (duckdb.IOException("Could not set lock on file: Conflicting lock is held"), "end the program"),
        (
            duckdb.IOException("Corrupt database file: checksum 1 does not match 2 in block at 3"),
            "is damaged; run `livehouse doctor`",
        ),
        (duckdb.IOException('Could not read enough bytes from file "x": 1 from location 2'), "is damaged"),
        (duckdb.IOException("Could not read from file /home/sherlock/disk/x.duckdb"), "livehouse doctor"),
        (OSError(28, "No space left on device", "/a/b"), "/a/b: No space left on device"),
    ],
)
def test_faults_become_one_line_with_a_remedy(error: Exception, remedy: str) -> None:
    with pytest.raises(WarehouseError, match=remedy) as raised, translate_errors(Path("/home/sherlock/disk/x.duckdb")):
        raise error
    assert "\n" not in str(raised.value)


def test_a_pipe_that_nobody_reads_is_no_fault_of_the_warehouse(warehouse: FileWarehouse) -> None:
    duckdb.connect(warehouse.published).close()
    with pytest.raises(BrokenPipeError), open_published(warehouse.published):
        raise BrokenPipeError


def test_faults_that_are_not_of_files_are_left_alone() -> None:
    with pytest.raises(duckdb.CatalogException), translate_errors(Path("x")):
        raise duckdb.CatalogException("no such table")


def test_nothing_was_published_yet(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="run `livehouse nightly`"), open_published(tmp_path / "warehouse.duckdb"):
        pytest.fail("opened")


@pytest.mark.parametrize(
    "query",
    [
        "CREATE TABLE x (y INT)",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY (SELECT 1) TO '{directory}/leak.csv'",
        "ATTACH '{directory}/other.duckdb'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "EXPORT DATABASE '{directory}/x'",
    ],
)
def test_the_published_copy_is_opened_for_reading_it_and_nothing_else(query: str, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    duckdb.connect(path).close()
    before = sorted(tmp_path.rglob("*"))
    with open_published(path) as connection, pytest.raises(duckdb.Error):
        connection.execute(query.format(directory=tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


def test_tables_have_one_schema() -> None:
    for table in (LIVESTREAM_SESSIONS, LOADS):
        assert set(table.polars_schema) == set(table.column_names)
        assert set(table.key) <= set(table.column_names)


@pytest.mark.long
def test_a_write_that_needs_more_memory_than_usual_gets_it_once(tmp_path: Path) -> None:
    """Seen: the first night after an update rebuilt a mart over ten million sessions, and did not finish."""
    warehouse = FileWarehouse(tmp_path / "warehouse.duckdb")
    tries = []

    def gather(connection: duckdb.DuckDBPyConnection) -> object:
        tries.append(1)
        connection.execute("BEGIN")
        connection.execute("INSERT INTO ops.loads (run_id) VALUES ('r')")
        [found] = connection.execute("SELECT len(list(n)) FROM range(30_000_000) AS numbers (n)").fetchall()
        connection.execute("COMMIT")
        return found

    assert warehouse.write(gather) == (30_000_000,)
    assert len(tries) == 2
    with warehouse.open_working() as connection:
        assert connection.execute("SELECT count(*) FROM ops.loads").fetchall() == [(1,)]
