"""`pipeline_live.duckdb`: what is staged for a warehouse in files. See the protocol in `staging.py` for the methods.

It is a file of its own: publishing copies the whole warehouse, so a poll must not cost a publication, and a run keeps
`pipeline.duckdb` open for as long as it lasts. A process keeps this file open for milliseconds; DuckDB's lock keeps two
processes apart, and the second one tries again. `pipeline_live.lock` has another purpose: two polls at a time would spend
the request budget twice.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
from filelock import FileLock, Timeout

from pipelines.catalog.files import LIVE_FILE
from pipelines.catalog.live import POLLS, RAW_LIVE_OBSERVATIONS
from pipelines.catalog.ops import QUARANTINE
from pipelines.errors import AlreadyRunningError
from pipelines.live.staging import RunningSession
from pipelines.load.dialects import keep_dialect, read_dialect
from pipelines.load.loaded_days import group_by_app
from pipelines.storage.duckdb_errors import translate_errors
from pipelines.storage.frames import read_frame, temporary_view
from pipelines.storage.lock import lock_holder
from pipelines.storage.storage_format import STORAGE_FORMAT, create_database_file

if TYPE_CHECKING:
    from pipelines.live.shared_staging import SharedStaging

STAGING_FILE = "pipeline_live.duckdb"

_OPEN_TIMEOUT_SECONDS = 10.0
"""Other processes keep the file open for milliseconds."""

_TABLE = RAW_LIVE_OBSERVATIONS.full_name
_SAME = " AND ".join(f"held.{name} = given.{name}" for name in RAW_LIVE_OBSERVATIONS.key)


class FileStaging:
    """The file, in the directory of the pipeline's other files. `run_lock` is the lock file of runs."""

    def __init__(self, directory: Path, run_lock: Path) -> None:
        """Take the paths; every method opens the file, and closes it again as soon as possible: others wait."""
        self._path = directory / STAGING_FILE
        self._polling_lock = directory / "pipeline_live.lock"
        self._run_lock = run_lock

    @contextmanager
    def open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file and create missing tables."""
        with translate_errors(self._path):
            connection = self._connect()
            try:
                for table in LIVE_FILE:
                    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.schema}")
                    connection.execute(table.create_sql)
                yield connection
            finally:
                connection.close()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        create_database_file(self._path)
        deadline = time.monotonic() + _OPEN_TIMEOUT_SECONDS
        while True:
            try:
                return duckdb.connect(self._path, config=STORAGE_FORMAT)
            except duckdb.IOException as error:
                if "lock on file" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    @contextmanager
    def lock_polling(self, app_ids: Sequence[str]) -> Iterator[None]:  # noqa: ARG002 - of the protocol
        """Hold the lock of polling in this home, whatever the apps."""
        lock = FileLock(self._polling_lock)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise AlreadyRunningError("another livehouse process is polling right now") from None
        try:
            yield
        finally:
            lock.release()

    def describe_active_run(self) -> str | None:
        """Return the holder of the run lock.

        A run that starts at this moment must not find its lock taken by this check. So the lock is tried only if the
        file names a holder, which it does while a run holds it and after a run was killed.
        """
        try:
            if not self._run_lock.read_text().strip():
                return None
        except OSError:
            return None
        lock = FileLock(self._run_lock)
        try:
            with lock.acquire(timeout=0):
                self._run_lock.write_text("")
        except Timeout:
            return lock_holder(self._run_lock)
        return None

    def read_dialect(self, base_url: str) -> list[dict[str, Any]]:
        """Read the rows of the file."""
        with self.open() as connection:
            return read_dialect(connection, base_url)

    def keep_dialect(self, base_url: str, notes: Sequence[dict[str, Any]]) -> None:
        """Upsert rows in the file."""
        with self.open() as connection:
            keep_dialect(connection, base_url, notes)

    def read_running_sessions(self, app_id: str, ended_statuses: Sequence[str]) -> list[RunningSession]:
        """Join the observations with the time of the last poll."""
        query = f"""
            SELECT livestream_id, session_id, observed_at, meeting_id, name
            FROM {_TABLE} JOIN {POLLS.full_name} USING (app_id, looked_at)
            WHERE app_id = ? AND NOT list_contains(?, coalesce(status, '')) ORDER BY ALL
        """
        with self.open() as connection:
            found = connection.execute(query, [app_id, list(ended_statuses)]).fetchall()
        return [RunningSession(*row) for row in found]

    def record_poll(
        self, app_id: str, polled_at: datetime, *, rows: pl.DataFrame, rejects: pl.DataFrame, warnings: str | None
    ) -> None:
        """Insert rows whose key is new, and replace the rest."""
        with (
            self.open() as connection,
            temporary_view(connection, "polled_rows", rows),
            temporary_view(connection, "polled_rejects", rejects),
        ):
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

    def record_failed_poll(self, app_id: str, tried_at: datetime, error: str) -> None:
        """Leave `looked_at` as it is."""
        with self.open() as connection:
            connection.execute(
                f"INSERT INTO {POLLS.full_name} VALUES (?, NULL, ?, ?)"
                " ON CONFLICT (app_id) DO UPDATE SET tried_at = excluded.tried_at, said = excluded.said",  # public name
                [app_id, tried_at, error],
            )

    def _read(self, query: str, parameters: list[Any] | None = None) -> pl.DataFrame:
        with self.open() as connection:
            return read_frame(connection, query, parameters)

    def read_polls(self) -> pl.DataFrame:
        """Read the table."""
        return self._read(f"FROM {POLLS.full_name} ORDER BY app_id")

    def read_observations_since(self, moment: datetime) -> pl.DataFrame:
        """Read the rows, merged or not."""
        return self._read(f"FROM {_TABLE} WHERE observed_at >= ? ORDER BY observed_at", [moment])

    def find_unmerged_days(self) -> dict[str, list[date]]:
        """List the days of unmerged rows."""
        query = f"SELECT app_id, observed_at::DATE AS day FROM {_TABLE} WHERE NOT is_merged GROUP BY ALL ORDER BY ALL"
        with self.open() as connection:
            return group_by_app(connection.execute(query).fetchall())

    def read_unmerged(self, app_id: str, day: date) -> pl.DataFrame:
        """Read the unmerged rows."""
        return self._read(f"FROM {_TABLE} WHERE app_id = ? AND observed_at::DATE = ? AND NOT is_merged", [app_id, day])

    def read_rejects(self) -> pl.DataFrame:
        """Read the quarantine of the last poll."""
        return self._read(f"FROM {QUARANTINE.full_name}")

    def mark_merged(self, app_id: str, merged: pl.DataFrame, *, keep_since: datetime) -> None:
        """Update and delete in one transaction."""
        with self.open() as connection, temporary_view(connection, "merged_rows", merged):
            connection.execute("BEGIN")
            connection.execute(f"UPDATE {_TABLE} AS held SET is_merged = true FROM merged_rows AS given WHERE {_SAME}")
            connection.execute(
                f"DELETE FROM {_TABLE} WHERE app_id = ? AND is_merged AND observed_at < ?", [app_id, keep_since]
            )
            connection.execute("COMMIT")

    def move_to(self, shared: "SharedStaging") -> None:
        """Move everything to a lakehouse, and delete the file."""
        with self.open() as connection:
            frames = {table: read_frame(connection, f"FROM {table.full_name}") for table in LIVE_FILE}
            shared.add_missing(frames)
        self._path.unlink(missing_ok=True)
