"""Observations that no run has merged yet, and the result of the last poll of each app: what `livehouse on-air` reads.

They are staged apart from the warehouse, since polls come every minute. Each poll commits here; the next run moves the
rows into core.live_observations before it builds marts (`merge.py`). With a warehouse in files they are in a file
beside it (`file_staging.py`), with a lakehouse in its PostgreSQL (`shared_staging.py`), where a run on any machine
finds them.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

import polars as pl

from pipelines.settings.settings import Settings
from pipelines.storage.file_warehouse import FileWarehouse


@dataclass(frozen=True)
class RunningSession:
    """A session that the last poll of its app found active."""

    livestream_id: str
    session_id: str
    observed_at: datetime
    meeting_id: str | None
    name: str | None


class Staging(Protocol):
    """Staged observations. Each method is a transaction of its own."""

    def lock_polling(self, app_ids: Sequence[str]) -> AbstractContextManager[None]:
        """Hold the lock of polling. Raises `AlreadyRunningError` at once if another process holds it."""

    def describe_active_run(self) -> str | None:
        """Return the process of a run that is active, as `PID n`; None if there is none."""

    def read_dialect(self, base_url: str) -> list[dict[str, Any]]:
        """Return the rows of ops.api_dialect for an address, without the address."""

    def keep_dialect(self, base_url: str, notes: Sequence[dict[str, Any]]) -> None:
        """Upsert rows of ops.api_dialect for an address."""

    def read_running_sessions(self, app_id: str, ended_statuses: Sequence[str]) -> list[RunningSession]:
        """Return the sessions that the last poll of an app found active; `ended_statuses` mark those that were not."""

    def record_poll(
        self, app_id: str, polled_at: datetime, *, rows: pl.DataFrame, rejects: pl.DataFrame, warnings: str | None
    ) -> None:
        """Commit the result of a poll. `rejects` replace those of the app's last poll."""

    def record_failed_poll(self, app_id: str, tried_at: datetime, error: str) -> None:
        """Record that the poll of an app failed. Its last successful poll stays the current one."""

    def read_polls(self) -> pl.DataFrame:
        """Return ops.looks: the last poll of each app."""

    def read_observations_since(self, moment: datetime) -> pl.DataFrame:
        """Return the staged rows of raw.live_observations since a moment, oldest first, merged or not."""

    def find_unmerged_days(self) -> dict[str, list[date]]:
        """Return the days that have unmerged observations by app, oldest first."""

    def read_unmerged(self, app_id: str, day: date) -> pl.DataFrame:
        """Return the unmerged rows of raw.live_observations of one day of an app."""

    def read_rejects(self) -> pl.DataFrame:
        """Return the rows of ops.quarantine that the last poll of each app left."""

    def mark_merged(self, app_id: str, merged: pl.DataFrame, *, keep_since: datetime) -> None:
        """Mark rows that are committed to the warehouse, and delete marked rows observed before `keep_since`."""


@contextmanager
def open_staging(settings: Settings) -> Iterator[Staging]:
    """Open what is staged for the warehouse of the settings."""
    from pipelines.live.file_staging import STAGING_FILE, FileStaging

    if settings.lakehouse is None:
        warehouse = FileWarehouse(settings.warehouse)
        warehouse.prepare()
        yield FileStaging(warehouse.directory, warehouse.lock)
        return
    from pipelines.live.shared_staging import SharedStaging
    from pipelines.storage.ducklake_errors import translate_lake_errors
    from pipelines.storage.postgres import Catalog

    catalog = Catalog(settings.lakehouse)
    with translate_lake_errors(catalog.address, catalog), catalog.connect() as session:
        shared = SharedStaging(session)
        if (settings.home / STAGING_FILE).exists():  # of an earlier version, which staged in the home of each machine
            FileStaging(settings.home, settings.home / "pipeline.lock").move_to(shared)
        yield shared
