"""The published file opens in every DuckDB since 1.1, and files of a newer format are converted."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.errors import WarehouseError
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.storage_format import convert_database_file
from tests.storage.conftest import Start, insert_and_die, with_little_disk

NEWER: dict[str, str | bool | int | float | list[str]] = {"storage_compatibility_version": "v1.5.0"}
NUMBER_OF_1_0 = 64
"""Version number in the header of a DuckDB file. A DuckDB refuses a file with a number it does not know."""

CONVERT_WITH_LITTLE_DISK = with_little_disk(
    "pipelines.storage.storage_format", "convert_database_file(Path(sys.argv[1]))", 50_000
)
READ_WITH_OTHER_DUCKDB = """
import sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    print(duckdb.__version__)
    print(connection.execute("SELECT sum(x) FROM marts.made").fetchall())
    print(connection.execute("SELECT count(comment) > 50 FROM duckdb_columns() WHERE NOT internal").fetchall())
"""


def read_version_number(path: Path) -> int:
    return int.from_bytes(path.read_bytes()[12:20], "little")


def contents(path: Path) -> list[Any]:
    with duckdb.connect(path, read_only=True) as connection:
        described = (
            "SELECT schema_name, table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal"
        )
        tables = "SELECT schema_name, table_name, comment, has_primary_key FROM duckdb_tables() WHERE NOT internal"
        return [
            sorted(connection.execute(described).fetchall(), key=repr),
            sorted(connection.execute(tables).fetchall(), key=repr),
            connection.execute("FROM marts.made ORDER BY x").fetchall(),
            connection.execute("SELECT table_name, row_count FROM ops.days").fetchall(),
        ]


def fill(warehouse: FileWarehouse) -> None:
    with warehouse.open_raw(), warehouse.open_working() as connection:
        connection.execute(
            "CREATE SCHEMA marts; CREATE TABLE marts.made AS SELECT x, md5(x::VARCHAR) FROM range(9000) AS t(x)"
        )
        connection.execute("COMMENT ON TABLE marts.made IS 'it''s made'; COMMENT ON COLUMN marts.made.x IS 'number'")
        connection.execute(
            "INSERT INTO ops.days (table_name, app_id, day, row_count) VALUES ('t', 'a', '2026-10-01', 5)"
        )


@pytest.fixture
def older(warehouse: FileWarehouse) -> FileWarehouse:
    """A warehouse whose working file has the format of an earlier livehouse, with a published copy."""
    duckdb.connect(warehouse.working, config=NEWER).close()
    fill(warehouse)
    warehouse.publish(print)
    return warehouse


def test_new_files_have_the_format_of_duckdb_1_0(warehouse: FileWarehouse) -> None:
    fill(warehouse)
    warehouse.publish(print)
    assert {read_version_number(path) for path in (warehouse.working, warehouse.published)} == {NUMBER_OF_1_0}


def test_a_file_of_a_newer_format_is_converted_once(older: FileWarehouse) -> None:
    before, logged = contents(older.published), list[str]()
    assert read_version_number(older.published) > NUMBER_OF_1_0
    for _ in range(2):
        with older.run(wait_seconds=0, log=logged.append):
            older.publish(print)
    assert [line for line in logged if "converted" in line] == logged[:1]
    assert {read_version_number(path) for path in (older.working, older.published)} == {NUMBER_OF_1_0}
    assert contents(older.published) == before


def test_rows_of_a_killed_run_are_converted_too(older: FileWarehouse, start: Start) -> None:
    start(insert_and_die("INSERT INTO marts.made VALUES (-1, 'in the .wal')"), older.working).finish()
    assert older.working.with_name("pipeline.duckdb.wal").exists()
    with older.run(wait_seconds=0, log=print):
        older.publish(print)
    assert (-1, "in the .wal") in contents(older.published)[2]


@pytest.mark.long
def test_a_process_killed_while_it_converts_leaves_the_old_file(older: FileWarehouse, start: Start) -> None:
    before = contents(older.published)
    status, _ = start(CONVERT_WITH_LITTLE_DISK, older.working).finish()
    assert status == -signal.SIGXFSZ
    assert list(older.directory.glob(".livehouse-*")), "it was killed while it wrote"
    assert contents(older.working) == before
    with older.run(wait_seconds=0, log=print):
        older.publish(print)
    assert contents(older.published) == before
    assert not list(older.directory.glob(".livehouse-*"))


def test_a_conversion_without_room_is_one_line(older: FileWarehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_room)
    with pytest.raises(WarehouseError, match=r"pipeline\.duckdb: No space left on device; free disk space"):
        convert_database_file(older.working)
    assert read_version_number(older.working) > NUMBER_OF_1_0


@pytest.mark.long
@pytest.mark.parametrize("version", ["1.1.3", "1.3.2", "1.4.4", "2.0.1"])
def test_other_versions_of_duckdb_open_the_published_file(
    version: str, warehouse: FileWarehouse, tmp_path: Path
) -> None:
    packages = tmp_path / "packages"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", f"{packages}", f"duckdb=={version}"]
    if installed := subprocess.run(pip, capture_output=True, text=True, check=False).returncode:
        pytest.skip(f"duckdb {version} cannot be installed: pip ended with {installed}")
    fill(warehouse)
    warehouse.publish(print)
    read = subprocess.run(
        [sys.executable, "-c", READ_WITH_OTHER_DUCKDB, warehouse.published],
        env={"PYTHONPATH": f"{packages}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert read.stdout.splitlines() == [version, "[(40495500,)]", "[(True,)]"], read.stderr
