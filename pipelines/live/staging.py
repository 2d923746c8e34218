"""`pipeline_live.duckdb`: what was seen on air and no run has merged yet.

Why a file of its own: an observation comes every minute, and publishing copies the whole warehouse, so it must
not cost a publication; and a run holds the house, with `pipeline.duckdb` open, for as long as it lasts, so
observing must not need either. So each look is committed here, and the next run moves what is here into
`pipeline.duckdb` before it builds marts (`observations.py`). `livehouse on-air` reads this file directly.

The file is open for milliseconds at a time; DuckDB's own lock keeps two processes apart, and who meets it tries
again. `pipeline_live.lock` is another thing: it keeps two observers from spending the request budget twice.
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

from pipelines.catalog.live import LIVE_FILE, LOOKS, RAW_LIVE_OBSERVATIONS
from pipelines.catalog.ops import QUARANTINE
from pipelines.errors import AlreadyRunningError
from pipelines.storage.duckdb_errors import translate_errors
from pipelines.storage.frames import read_frame, temporary_view
from pipelines.storage.lock import holder
from pipelines.storage.migrations import FORMAT, create
from pipelines.storage.warehouse import Warehouse

_OPENS_WITHIN = 10.0
"""Seconds within which another process is sure to have closed the file: it holds it for milliseconds."""

_TABLE = RAW_LIVE_OBSERVATIONS.full_name
_SAME = " AND ".join(f"held.{name} = given.{name}" for name in RAW_LIVE_OBSERVATIONS.key)


def live_path(warehouse: Warehouse) -> Path:
    """Where the file is: beside the pipeline's other files."""
    return warehouse.directory / "pipeline_live.duckdb"


@contextmanager
def open_live(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the file, for as short as can be; its tables made where they are missing."""
    path = live_path(warehouse)
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
    create(path)
    deadline = time.monotonic() + _OPENS_WITHIN
    while True:
        try:
            return duckdb.connect(path, config=FORMAT)
        except duckdb.IOException as error:
            if "lock on file" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@contextmanager
def observing(warehouse: Warehouse) -> Iterator[None]:
    """Be the only one who looks. Raises `HouseBusyError` at once where another does."""
    lock = FileLock(warehouse.directory / "pipeline_live.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise AlreadyRunningError("another livehouse process is looking at this very moment") from None
    try:
        yield
    finally:
        lock.release()


def run_under_way(warehouse: Warehouse) -> str | None:
    """Who runs the house now, `PID n`; None where nobody does.

    A run that starts at this moment must not find its lock taken by the one who asks: so the lock itself is
    tried only where a name stands in it, which is while it is held, or after its holder was killed.
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
        return holder(warehouse.lock)
    return None


@dataclass(frozen=True)
class Running:
    """A session that the last look of its app saw on air."""

    livestream_id: str
    session_id: str
    observed_at: datetime
    meeting_id: str | None
    name: str | None


def running_at_last_look(connection: duckdb.DuckDBPyConnection, app_id: str, over: Sequence[str]) -> list[Running]:
    """Sessions that were on air at the last look, whatever was before that. `over`: statuses of those that were not."""
    query = f"""
        SELECT livestream_id, session_id, observed_at, meeting_id, name
        FROM {_TABLE} JOIN {LOOKS.full_name} USING (app_id, looked_at)
        WHERE app_id = ? AND NOT list_contains(?, coalesce(status, '')) ORDER BY ALL
    """
    return [Running(*row) for row in connection.execute(query, [app_id, list(over)]).fetchall()]


def record_look(
    connection: duckdb.DuckDBPyConnection,
    app_id: str,
    looked_at: datetime,
    *,
    rows: pl.DataFrame,
    rejects: pl.DataFrame,
    said: str | None,
) -> None:
    """Commit an answered look. `rejects` stand for the app until its next look."""
    with temporary_view(connection, "seen_rows", rows), temporary_view(connection, "seen_rejects", rejects):
        connection.execute("BEGIN")
        connection.execute(
            f"INSERT INTO {_TABLE} BY NAME SELECT * FROM seen_rows AS given"
            f" WHERE NOT EXISTS (FROM {_TABLE} AS held WHERE {_SAME})"
        )
        connection.execute(f"DELETE FROM {QUARANTINE.full_name} WHERE app_id = ?", [app_id])
        connection.execute(f"INSERT INTO {QUARANTINE.full_name} BY NAME SELECT * FROM seen_rejects")
        connection.execute(
            f"INSERT OR REPLACE INTO {LOOKS.full_name} VALUES (?, ?, ?, ?)",
            [app_id, looked_at, looked_at, said],
        )
        connection.execute("COMMIT")


def record_failure(connection: duckdb.DuckDBPyConnection, app_id: str, tried_at: datetime, said: str) -> None:
    """Note that a look at an app failed. What the look before saw stays the last that is known."""
    connection.execute(
        f"INSERT INTO {LOOKS.full_name} VALUES (?, NULL, ?, ?)"
        " ON CONFLICT (app_id) DO UPDATE SET tried_at = excluded.tried_at, said = excluded.said",
        [app_id, tried_at, said],
    )


def read_looks(connection: duckdb.DuckDBPyConnection) -> pl.DataFrame:
    """When each app was looked at."""
    return read_frame(connection, f"FROM {LOOKS.full_name} ORDER BY app_id")


def read_since(connection: duckdb.DuckDBPyConnection, moment: datetime) -> pl.DataFrame:
    """What is here of the observations since a moment, oldest first."""
    return read_frame(connection, f"FROM {_TABLE} WHERE observed_at >= ? ORDER BY observed_at", [moment])


def days_seen(connection: duckdb.DuckDBPyConnection, app_id: str) -> list[date]:
    """Days of an app of which observations wait to be merged."""
    query = f"SELECT DISTINCT observed_at::DATE AS day FROM {_TABLE} WHERE app_id = ? AND NOT is_merged ORDER BY day"
    return [day for (day,) in connection.execute(query, [app_id]).fetchall()]


def read_seen(connection: duckdb.DuckDBPyConnection, app_id: str, day: date) -> pl.DataFrame:
    """Observations of a day of an app that wait to be merged."""
    query = f"FROM {_TABLE} WHERE app_id = ? AND observed_at::DATE = ? AND NOT is_merged"
    return read_frame(connection, query, [app_id, day])


def read_rejects(connection: duckdb.DuckDBPyConnection, app_id: str) -> pl.DataFrame:
    """Records of the last look at an app that no rule took."""
    return read_frame(connection, f"FROM {QUARANTINE.full_name} WHERE app_id = ?", [app_id])


def forget_merged(connection: duckdb.DuckDBPyConnection, app_id: str, merged: pl.DataFrame, before: datetime) -> None:
    """Mark these rows as merged, now that they are committed elsewhere; drop merged ones seen before a moment."""
    with temporary_view(connection, "merged_rows", merged):
        connection.execute("BEGIN")
        connection.execute(f"UPDATE {_TABLE} AS held SET is_merged = true FROM merged_rows AS given WHERE {_SAME}")
        connection.execute(f"DELETE FROM {_TABLE} WHERE app_id = ? AND is_merged AND observed_at < ?", [app_id, before])
        connection.execute("COMMIT")
