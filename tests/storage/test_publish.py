"""The readers' copy: whole or not at all, whatever readers do with the one before."""

import os
import stat
import struct
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.catalog.ops import FIELD_TYPES, LIVESTREAM_SYNC
from pipelines.clock import utc_now
from pipelines.errors import WarehouseError
from pipelines.files import replace_file
from pipelines.live.file_staging import FileStaging
from pipelines.report.page import write_report
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.publish import remove_unfinished
from tests.storage.conftest import Start, insert_and_die

READER = """
import sys, duckdb
with duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "True") as connection:
    read = lambda: connection.execute("SELECT count(*) FROM ops.loads").fetchall()[0][0]
    print("ready", flush=True)
    sys.stdin.readline()
    print(read(), flush=True)
"""
WRITER_THAT_DIES = insert_and_die("INSERT INTO ops.loads (run_id) SELECT 'theirs' FROM range(100)")


def add(warehouse: FileWarehouse, run_id: str = "run") -> None:
    with warehouse.open_working() as connection:
        connection.execute("INSERT INTO ops.loads (run_id) VALUES (?)", [run_id])


def published(
    warehouse: FileWarehouse, sql: str = "SELECT run_id FROM ops.loads ORDER BY ALL"
) -> list[tuple[Any, ...]]:
    with duckdb.connect(warehouse.published, read_only=True) as connection:
        return connection.execute(sql).fetchall()


def files(warehouse: FileWarehouse) -> set[str]:
    return {path.name for path in warehouse.directory.iterdir()}


def test_the_current_rows_are_published(warehouse: FileWarehouse) -> None:
    add(warehouse, "one")
    assert warehouse.publish(print) == warehouse.published.stat().st_size
    add(warehouse, "two")
    assert published(warehouse) == [("one",)]
    warehouse.publish(print)
    assert published(warehouse) == [("one",), ("two",)]
    assert files(warehouse) == {"pipeline.duckdb", "warehouse.duckdb"}


def test_the_format_is_one_that_older_readers_know(warehouse: FileWarehouse) -> None:
    # Of DuckDB 1.0, which is 64: 1.1 to 1.4, and what embeds them, refuse anything newer.
    with warehouse.open_raw(), warehouse.open_working():
        pass
    warehouse.publish(print)
    for path in (warehouse.raw, warehouse.working, warehouse.published):
        (version,) = struct.unpack_from("<Q", path.read_bytes(), 12)
        assert version == 64, path


def test_raw_is_not_published(warehouse: FileWarehouse) -> None:
    with warehouse.open_raw():
        pass
    add(warehouse)
    warehouse.publish(print)
    assert published(warehouse, "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'raw'") == [(0,)]


@pytest.mark.long
def test_what_extraction_knows_is_mirrored(warehouse: FileWarehouse) -> None:
    now = utc_now()
    with warehouse.open_raw() as connection:
        connection.execute(
            "INSERT INTO ops.livestream_sync (app_id, livestream_id, synced_at, complete) VALUES ('app', 'l', ?, true)",
            [now],
        )
        connection.execute("INSERT INTO ops.field_types VALUES ('raw.x', 'f', 'string', 5, ?, ?)", [now, now])
    for _ in range(2):
        warehouse.mirror()
        warehouse.publish(print)
    assert published(warehouse, f"SELECT livestream_id FROM {LIVESTREAM_SYNC.full_name}") == [("l",)]
    assert published(warehouse, f"SELECT field, records FROM {FIELD_TYPES.full_name}") == [("f", 5)]


def test_a_log_left_by_a_killed_reader_is_not_replayed_into_the_new_copy(
    warehouse: FileWarehouse, start: Start
) -> None:
    add(warehouse, "ours")
    warehouse.publish(print)
    assert start(WRITER_THAT_DIES, warehouse.published).finish()[0] == 9
    assert f"{warehouse.published.name}.wal" in files(warehouse)
    add(warehouse, "ours too")
    warehouse.publish(print)
    assert published(warehouse) == [("ours",), ("ours too",)]
    assert f"{warehouse.published.name}.wal" not in files(warehouse)


def test_a_log_left_by_a_killed_run_is_published(warehouse: FileWarehouse, start: Start) -> None:
    add(warehouse)
    start(WRITER_THAT_DIES, warehouse.working).kill()
    assert "pipeline.duckdb.wal" in files(warehouse)
    warehouse.publish(print)
    assert published(warehouse, "SELECT count(*) FROM ops.loads") == [(101,)]
    assert files(warehouse) == {"pipeline.duckdb", "warehouse.duckdb"}


@pytest.mark.long
@pytest.mark.parametrize("read_only", [True, False])
def test_a_reader_that_has_it_open_is_not_in_the_way(
    read_only: bool,  # noqa: FBT001 - a parameter of the test
    warehouse: FileWarehouse,
    start: Start,
) -> None:
    add(warehouse)
    warehouse.publish(print)
    reader = start(READER, warehouse.published, read_only)
    for _ in range(3):
        add(warehouse)
        warehouse.publish(print)
    assert len(published(warehouse)) == 4
    assert reader.finish() == (0, "1\n")  # the one it opened
    assert len(published(warehouse)) == 4
    assert files(warehouse) == {"pipeline.duckdb", "warehouse.duckdb"}


def test_an_unfinished_copy_is_cleared(warehouse: FileWarehouse) -> None:
    unfinished = warehouse.directory / "warehouse.duckdb.publishing"
    unfinished.write_bytes(b"half")
    spilled = warehouse.directory / "pipeline.duckdb.tmp"
    spilled.mkdir()
    (spilled / "block").write_bytes(b"x")
    remove_unfinished(warehouse.published, (warehouse.raw, warehouse.working))
    remove_unfinished(warehouse.published, (warehouse.raw, warehouse.working))
    assert files(warehouse) == set()


def test_an_unfinished_copy_does_not_stop_a_publication(warehouse: FileWarehouse) -> None:
    add(warehouse)
    (warehouse.directory / "warehouse.duckdb.publishing").write_bytes(b"x" * 10_000_000)
    warehouse.publish(print)
    assert published(warehouse) == [("run",)]


def test_a_publication_that_fails_leaves_the_one_before(warehouse: FileWarehouse) -> None:
    add(warehouse, "before")
    warehouse.publish(print)
    add(warehouse, "after")
    (warehouse.directory / "warehouse.duckdb.wal").mkdir()  # cannot be unlinked: fails after the copy was made
    with pytest.raises(WarehouseError) as raised:
        warehouse.publish(print)
    assert "\n" not in str(raised.value)
    (warehouse.directory / "warehouse.duckdb.wal").rmdir()
    assert published(warehouse) == [("before",)]
    assert "warehouse.duckdb.publishing" not in files(warehouse)


def test_a_working_file_that_is_damaged_leaves_the_one_before(warehouse: FileWarehouse) -> None:
    add(warehouse, "before")
    warehouse.publish(print)
    warehouse.working.write_bytes(b"x" * 50_000)
    with pytest.raises(WarehouseError):
        warehouse.publish(print)
    assert published(warehouse) == [("before",)]


def test_connections_held_are_let_go_before_the_copy(warehouse: FileWarehouse) -> None:
    with warehouse.keep_open():
        add(warehouse)
        warehouse.publish(print)
        assert published(warehouse) == [("run",)]
        add(warehouse)
        warehouse.publish(print)
    assert len(published(warehouse)) == 2


def test_a_path_with_quotes_and_spaces(tmp_path: Path) -> None:
    warehouse = FileWarehouse(tmp_path / 'it\'s "mine" ü' / "it's.duckdb")
    warehouse.prepare()
    warehouse.mirror()
    add(warehouse)
    warehouse.publish(print)
    assert published(warehouse) == [("run",)]


def test_a_large_batch_is_copied_whole(warehouse: FileWarehouse) -> None:
    with warehouse.open_working() as connection:
        connection.execute("INSERT INTO ops.loads (run_id, rows_landed) SELECT 'r', range FROM range(200000)")
    warehouse.publish(print)
    assert published(warehouse, "SELECT count(*), sum(rows_landed) FROM ops.loads") == [(200_000, sum(range(200_000)))]


def test_who_may_read_it_stays_as_decided(warehouse: FileWarehouse) -> None:
    with warehouse.open_working():
        pass
    warehouse.publish(print)
    warehouse.published.chmod(0o640)
    warehouse.publish(print)
    assert stat.S_IMODE(warehouse.published.stat().st_mode) == 0o640


def test_every_file_respects_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        warehouse = FileWarehouse(tmp_path / "home" / "warehouse.duckdb")
        warehouse.prepare()
        with warehouse.run(wait_seconds=0, log=print):
            staging = FileStaging(warehouse.directory, warehouse.lock)
            with warehouse.open_raw(), staging.open():
                pass
            with staging.lock_polling(["aula"]):
                add(warehouse)
            warehouse.publish(print)
            with warehouse.open_published() as connection:
                write_report(connection, warehouse.directory / "report.html")
            (warehouse.directory / "report.html").chmod(0o644)  # as it was made until 2026-11
            with replace_file(warehouse.directory / "report.html") as page:
                page.touch()
    finally:
        os.umask(before)
    made = {
        path.name: stat.S_IMODE(path.stat().st_mode) & 0o077
        for path in [tmp_path / "home", *(tmp_path / "home").rglob("*")]
    }
    assert made.keys() >= {
        "home",
        "pipeline.lock",
        "pipeline_live.lock",
        "report.html",
        "warehouse.duckdb",
        "pipeline.duckdb",
    }
    assert set(made.values()) == {0}, made
