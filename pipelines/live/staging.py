"""`pipeline_live.duckdb`: observations that no run has merged yet, and the result of the last poll of each app.

It is a file of its own because polls come every minute: publishing copies the whole warehouse, so a poll must not cost a
publication, and a run keeps `pipeline.duckdb` open for as long as it lasts. Each poll commits here; the next run moves the
rows into `pipeline.duckdb` before it builds marts (`merge.py`). `livehouse on-air` reads this file directly.

A process keeps the file open for milliseconds; DuckDB's lock keeps two processes apart, and the second one tries again.
`pipeline_live.lock` has another purpose: two polls at a time would spend the request budget twice.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl
from filelock import FileLock, Timeout

from pipelines.catalog.files import LIVE_FILE
from pipelines.catalog.live import POLLS, RAW_LIVE_OBSERVATIONS
from pipelines.catalog.ops import QUARANTINE
from pipelines.errors import AlreadyRunningError
from pipelines.storage.duckdb_errors import translate_errors
from pipelines.storage.frames import read_frame, temporary_view
from pipelines.storage.lock import lock_holder
from pipelines.storage.storage_format import STORAGE_FORMAT, create_database_file
from pipelines.storage.warehouse import Warehouse

_OPEN_TIMEOUT_SECONDS = 10.0
"""Other processes keep the file open for milliseconds."""

_TABLE = RAW_LIVE_OBSERVATIONS.full_name
_SAME = " AND ".join(f"held.{name} = given.{name}" for name in RAW_LIVE_OBSERVATIONS.key)


def staging_path(warehouse: Warehouse) -> Path:
    """Return the path of the file: beside the pipeline's other files."""
    return warehouse.directory / "pipeline_live.duckdb"


@contextmanager
def open_staging(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the file and create missing tables. Keep it open as briefly as possible: others wait."""
    path = staging_path(warehouse)
    with translate_errors(path):
        connection = _connect(path)
        try:
            for table in LIVE_FILE:
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.schema}")
                connection.execute(table.create_sql)
            yield connection
        finally:
            connection.close()


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    create_database_file(path)
    deadline = time.monotonic() + _OPEN_TIMEOUT_SECONDS
    while True:
        try:
            return duckdb.connect(path, config=STORAGE_FORMAT)
        except duckdb.IOException as error:
            if "lock on file" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@contextmanager
def lock_polling(warehouse: Warehouse) -> Iterator[None]:
    """Hold the lock of polling. Raises `AlreadyRunningError` at once if another process holds it."""
    lock = FileLock(warehouse.directory / "pipeline_live.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise AlreadyRunningError("another livehouse process is polling right now") from None
    try:
        yield
    finally:
        lock.release()


def describe_active_run(warehouse: Warehouse) -> str | None:
    """Return the holder of the run lock, as `PID n`; None if no run is active.

    A run that starts at this moment must not find its lock taken by this check. So the lock is tried only if the file
    names a holder, which it does while a run holds it and after a run was killed.
    """
    try:
        if not warehouse.lock.read_text().strip():
            return None
    except OSError:
        return None
    lock = FileLock(warehouse.lock)
    try:
        with lock.acquire(timeout=0):
            warehouse.lock.write_text("")
    except Timeout:
        return lock_holder(warehouse.lock)
    return None


@dataclass(frozen=True)
class RunningSession:
    """A session that the last poll of its app found active."""

    livestream_id: str
    session_id: str
    observed_at: datetime
    meeting_id: str | None
    name: str | None


def read_running_sessions(
    connection: duckdb.DuckDBPyConnection, app_id: str, ended_statuses: Sequence[str]
) -> list[RunningSession]:
    """Return the sessions that the last poll of an app found active; `ended_statuses` mark those that were not."""
    query = f"""
        SELECT livestream_id, session_id, observed_at, meeting_id, name
        FROM {_TABLE} JOIN {POLLS.full_name} USING (app_id, looked_at)
        WHERE app_id = ? AND NOT list_contains(?, coalesce(status, '')) ORDER BY ALL
    """
    return [RunningSession(*row) for row in connection.execute(query, [app_id, list(ended_statuses)]).fetchall()]


def record_poll(
    connection: duckdb.DuckDBPyConnection,
    app_id: str,
    polled_at: datetime,
    *,
    rows: pl.DataFrame,
    rejects: pl.DataFrame,
    warnings: str | None,
) -> None:
    """Commit the result of a poll. `rejects` replace those of the app's last poll."""
    with temporary_view(connection, "polled_rows", rows), temporary_view(connection, "polled_rejects", rejects):
        connection.execute("BEGIN")
        connection.execute(
            f"INSERT INTO {_TABLE} BY NAME SELECT * FROM polled_rows AS given"
            f" WHERE NOT EXISTS (FROM {_TABLE} AS held WHERE {_SAME})"
        )
        connection.execute(f"DELETE FROM {QUARANTINE.full_name} WHERE app_id = ?", [app_id])
        connection.execute(f"INSERT INTO {QUARANTINE.full_name} BY NAME SELECT * FROM polled_rejects")
        connection.execute(
            f"INSERT OR REPLACE INTO {POLLS.full_name} VALUES (?, ?, ?, ?)",
            [app_id, polled_at, polled_at, warnings],
        )
        connection.execute("COMMIT")


def record_failed_poll(connection: duckdb.DuckDBPyConnection, app_id: str, tried_at: datetime, error: str) -> None:
    """Record that the poll of an app failed. Its last successful poll stays the current one."""
    connection.execute(
        f"INSERT INTO {POLLS.full_name} VALUES (?, NULL, ?, ?)"
        " ON CONFLICT (app_id) DO UPDATE SET tried_at = excluded.tried_at, said = excluded.said",  # public name
        [app_id, tried_at, error],
    )


def read_polls(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """Return ops.looks: the last poll of each app."""
    return read_frame(connection, f"FROM {POLLS.full_name} ORDER BY app_id")


def read_observations_since(connection: duckdb.DuckDBPyConnection, moment: datetime) -> pl.DataFrame:
    """Return the staged rows of raw.live_observations since a moment, oldest first, merged or not."""
    return read_frame(connection, f"FROM {_TABLE} WHERE observed_at >= ? ORDER BY observed_at", [moment])


def find_unmerged_days(connection: duckdb.DuckDBPyConnection, app_id: str) -> list[date]:
    """Return the days of an app that have unmerged observations, oldest first."""
    query = f"SELECT DISTINCT observed_at::DATE AS day FROM {_TABLE} WHERE app_id = ? AND NOT is_merged ORDER BY day"
    return [day for (day,) in connection.execute(query, [app_id]).fetchall()]


def read_unmerged(connection: duckdb.DuckDBPyConnection, app_id: str, day: date) -> pl.DataFrame:
    """Return the unmerged rows of raw.live_observations of one day of an app."""
    query = f"FROM {_TABLE} WHERE app_id = ? AND observed_at::DATE = ? AND NOT is_merged"
    return read_frame(connection, query, [app_id, day])


def read_rejects(connection: duckdb.DuckDBPyConnection, app_id: str) -> pl.DataFrame:
    """Return the rows of ops.quarantine that the last poll of an app left."""
    return read_frame(connection, f"FROM {QUARANTINE.full_name} WHERE app_id = ?", [app_id])


def mark_merged(
    connection: duckdb.DuckDBPyConnection, app_id: str, merged: pl.DataFrame, *, keep_since: datetime
) -> None:
    """Mark rows that are committed to the warehouse, and delete marked rows observed before `keep_since`."""
    with temporary_view(connection, "merged_rows", merged):
        connection.execute("BEGIN")
        connection.execute(f"UPDATE {_TABLE} AS held SET is_merged = true FROM merged_rows AS given WHERE {_SAME}")
        connection.execute(
            f"DELETE FROM {_TABLE} WHERE app_id = ? AND is_merged AND observed_at < ?", [app_id, keep_since]
        )
        connection.execute("COMMIT")
