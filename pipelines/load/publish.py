"""The readers' copy: a finished file, swapped in whole. Whoever has the old one open keeps it.

Three traps, each met once: copying a file that is open drops its lock, and a second writer gets in, so the
working file is closed before; a `.wal` left beside the target by a reader who wrote into it would be
replayed into the new file, so it goes first; and a rename without fsync can leave an empty file after a
power cut.
"""

import fcntl
import os
import shutil
from pathlib import Path

import duckdb

from pipelines.load.frames import read_frame, registered
from pipelines.load.warehouse import OTHER_NAME, Warehouse, explained
from pipelines.tables import MIRRORED


def mirror(warehouse: Warehouse) -> None:
    """Copy into the working file what extraction knows, since raw itself is not published."""
    with warehouse.open_raw() as connection:
        known = {table: read_frame(connection, f"FROM {table.full_name}") for table in MIRRORED}
    with warehouse.open_working() as connection:
        connection.execute("BEGIN")
        for table, rows in known.items():
            with registered(connection, "mirrored_rows", rows):
                connection.execute(f"DELETE FROM {table.full_name}")
                connection.execute(f"INSERT OR REPLACE INTO {table.full_name} BY NAME SELECT * FROM mirrored_rows")
        connection.execute("COMMIT")


def _unfinished(warehouse: Warehouse) -> Path:
    return warehouse.published.with_name(f"{warehouse.published.name}.publishing")


def clear_unfinished(warehouse: Warehouse) -> None:
    """Remove what a run that was cut off left behind: half a copy, and what DuckDB had spilled to disk."""
    with explained(warehouse.directory):
        _unfinished(warehouse).unlink(missing_ok=True)
    spilled = [file.with_name(f"{file.name}.tmp") for file in (warehouse.raw, warehouse.working)]
    for left in (*spilled, *warehouse.directory.glob(f"{OTHER_NAME}*")):
        shutil.rmtree(left, ignore_errors=True)


def publish(warehouse: Warehouse) -> int:
    """Swap a copy of the working file in for readers. Returns its size in bytes."""
    target, unfinished = warehouse.published, _unfinished(warehouse)
    warehouse.close()
    with explained(target):
        # A killed run leaves a log beside the working file; opening it to checkpoint folds it in.
        duckdb.connect(warehouse.working).execute("CHECKPOINT").close()
        try:
            shutil.copyfile(warehouse.working, unfinished)
            with unfinished.open("rb") as copied:
                os.fsync(copied.fileno())
            target.with_name(f"{target.name}.wal").unlink(missing_ok=True)
            unfinished.replace(target)
            _sync_directory(target.parent)
        finally:
            unfinished.unlink(missing_ok=True)
    return target.stat().st_size


def is_written_to(published: Path) -> bool:
    """Whether another process has the readers' copy open read-write; DuckDB then holds a lock on it."""
    try:
        with published.open("rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
