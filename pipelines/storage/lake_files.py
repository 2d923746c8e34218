"""Compares the catalog of a lakehouse with its storage: current files that are missing or have another size."""

from collections.abc import Callable, Collection, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from pipelines.clock import machine_now
from pipelines.storage.maintenance import ORPHAN_MIN_AGE

if TYPE_CHECKING:
    import psycopg

MAX_FILES = 200_000
"""Number of current files up to which they are compared: listing more takes minutes."""

_CURRENT_FILES = """
    WITH place AS (
        SELECT tab.table_id, sch.schema_name || '.' || tab.table_name AS table_name,
            CASE WHEN NOT tab.path_is_relative THEN ''
                WHEN NOT sch.path_is_relative THEN sch.path
                ELSE (SELECT value FROM ducklake_metadata WHERE key = 'data_path') || sch.path
            END || tab.path AS path
        FROM ducklake_table AS tab JOIN ducklake_schema AS sch USING (schema_id)
        WHERE tab.end_snapshot IS NULL AND sch.end_snapshot IS NULL
    ),
    file AS (
        SELECT table_id, data_file_id, path, path_is_relative, file_size_bytes FROM ducklake_data_file
        WHERE end_snapshot IS NULL
        UNION ALL
        SELECT table_id, data_file_id, path, path_is_relative, file_size_bytes FROM ducklake_delete_file
        WHERE end_snapshot IS NULL
    )
    SELECT file.data_file_id, place.table_name,
        CASE WHEN file.path_is_relative THEN place.path ELSE '' END || file.path AS path, file.file_size_bytes
    FROM file JOIN place USING (table_id)
"""
"""The files that the newest snapshot reads. A file of deleted rows counts as the file whose rows it deletes."""

_DESCRIBE = """
    SELECT file.data_file_id, file.record_count,
        min(stats.min_value) FILTER (WHERE column_name = 'app_id'), max(stats.max_value) FILTER (WHERE column_name = 'app_id'),
        min(stats.min_value) FILTER (WHERE column_name = 'day'), max(stats.max_value) FILTER (WHERE column_name = 'day')
    FROM ducklake_data_file AS file
    LEFT JOIN ducklake_file_column_stats AS stats ON stats.table_id = file.table_id AND stats.data_file_id = file.data_file_id
    LEFT JOIN ducklake_column AS col
        ON col.table_id = stats.table_id AND col.column_id = stats.column_id AND col.end_snapshot IS NULL
    WHERE file.data_file_id = ANY(%s) AND file.end_snapshot IS NULL
    GROUP BY file.data_file_id ORDER BY file.data_file_id
"""

_REFERRING = ("ducklake_data_file", "ducklake_delete_file", "ducklake_files_scheduled_for_deletion")
"""The tables of the catalog that name files, also those of earlier snapshots."""

Problem = Literal["missing", "of another size"]


class DamagedFile(NamedTuple):
    """A current data file whose rows cannot be read. Apps and days: first and last, None where the table has none."""

    data_file_id: int
    table: str
    path: str
    problem: Problem
    rows: int
    apps: tuple[str, str] | None
    days: tuple[date, date] | None

    @property
    def place(self) -> str:
        """Table, apps and days, for messages."""
        return self.table + "".join(f" {_span(bounds)}" for bounds in (self.apps, self.days) if bounds)


def _span(bounds: tuple[object, object]) -> str:
    return f"{bounds[0]}" if bounds[0] == bounds[1] else f"{bounds[0]} to {bounds[1]}"


def count_files(session: "psycopg.Connection") -> int:
    """Return the number of current data files."""
    [(number,)] = session.execute("SELECT count(*) FROM ducklake_data_file WHERE end_snapshot IS NULL").fetchall()
    return int(number)


def is_storage_missing(damaged: Sequence[DamagedFile], number: int) -> bool:
    """Whether none of a number of files is there, as when a shared directory is not mounted."""
    return 0 < number == sum(file.problem == "missing" for file in damaged)


def find_damaged_files(
    session: "psycopg.Connection", list_stored: Callable[[], Collection[str] | None]
) -> list[DamagedFile]:
    """Return the current files that cannot be read. `list_stored` returns all names in S3, or None for files on a disk."""
    damaged = _compare(session, list_stored)
    if damaged:  # maintenance may have replaced and removed a file after the catalog was read
        again = _compare(session, list_stored)
        damaged = {number: found for number, found in damaged.items() if number in again}
    found = []
    for number, rows, *bounds in session.execute(_DESCRIBE, [list(damaged)]).fetchall():
        first_app, last_app, first_day, last_day = bounds
        table, path, problem = damaged[number]
        apps = (first_app, last_app) if first_app is not None else None
        days = (date.fromisoformat(first_day), date.fromisoformat(last_day)) if first_day is not None else None
        found.append(DamagedFile(number, table, path, problem, rows, apps, days))
    return found


def _compare(
    session: "psycopg.Connection", list_stored: Callable[[], Collection[str] | None]
) -> dict[int, tuple[str, str, Problem]]:
    damaged: dict[int, tuple[str, str, Problem]] = {}
    current = session.execute(_CURRENT_FILES).fetchall()
    stored = list_stored()  # after the catalog: files of later commits do not matter
    for number, table, path, size in current:
        if problem := _find_problem(path, size, stored):
            damaged[number] = (table, path, problem)
    return damaged


def _find_problem(path: str, size: int, stored: Collection[str] | None) -> Problem | None:
    if stored is not None:
        return None if path in stored else "missing"  # an object in S3 is written as a whole
    try:
        found_bytes = Path(path).stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return "missing"
    return None if found_bytes == size else "of another size"


def count_orphans(session: "psycopg.Connection", directory: str, stored: Collection[str] | None) -> int:
    """Return how many files no snapshot refers to: on a disk, those that the next maintenance removes; in S3, all."""
    query = " UNION ALL ".join(f"SELECT path FROM {table}" for table in _REFERRING)
    known = {path.rpartition("/")[2] for (path,) in session.execute(query).fetchall()}
    if stored is not None:
        return sum(name.endswith(".parquet") and name.rpartition("/")[2] not in known for name in stored)
    oldest = (machine_now() - ORPHAN_MIN_AGE).timestamp()
    unknown = (file for file in Path(directory).rglob("*.parquet") if file.name not in known)
    return sum(file.stat().st_mtime < oldest for file in unknown)


def forget_files(session: "psycopg.Connection", files: Sequence[DamagedFile]) -> None:
    """End these files with a new snapshot, as DuckLake does with a file whose rows were all deleted."""
    numbers = [file.data_file_id for file in files]
    [(snapshot,)] = session.execute(
        "INSERT INTO ducklake_snapshot (snapshot_id, snapshot_time, schema_version, next_catalog_id, next_file_id)"
        " SELECT snapshot_id + 1, now(), schema_version, next_catalog_id, next_file_id FROM ducklake_snapshot"
        " ORDER BY snapshot_id DESC LIMIT 1 RETURNING snapshot_id"
    ).fetchall()
    tables = session.execute(
        "UPDATE ducklake_data_file SET end_snapshot = %s WHERE data_file_id = ANY(%s) AND end_snapshot IS NULL"
        " RETURNING table_id",
        [snapshot, numbers],
    ).fetchall()
    session.execute(
        "UPDATE ducklake_delete_file SET end_snapshot = %s WHERE data_file_id = ANY(%s) AND end_snapshot IS NULL",
        [snapshot, numbers],
    )
    changes = ",".join(f"deleted_from_table:{table_id}" for table_id in sorted({table_id for (table_id,) in tables}))
    session.execute(
        "INSERT INTO ducklake_snapshot_changes (snapshot_id, changes_made) VALUES (%s, %s)", [snapshot, changes]
    )
