"""What the rest of livehouse knows of a warehouse, be it files of this machine or a lakehouse that several share."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

import duckdb

from pipelines.errors import SettingsError
from pipelines.settings.settings import Settings
from pipelines.storage.attach import S3Key
from pipelines.storage.ducklake_warehouse import DuckLakeWarehouse
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.maintenance import Size

_Result = TypeVar("_Result")

_READERS_ALONE = "LIVEHOUSE_READER_WAREHOUSE is a lakehouse"


class Warehouse(Protocol):
    """A warehouse. Opened late and closed early, except by a run, which holds it."""

    @property
    def address(self) -> str:
        """Where it is, for people: no secret is in it."""

    @property
    def directory(self) -> Path:
        """Where this machine keeps what is its own: what it saw on air until a run merges it."""

    @property
    def lock(self) -> Path:
        """The file that a run holds which nobody may work beside."""

    def prepare(self) -> None:
        """See that it can be written to, before any request is sent."""

    def is_there(self) -> bool:
        """Whether readers have anything to read."""

    def run(self, *, wait_seconds: float, log: Callable[[str], None]) -> AbstractContextManager[None]:
        """Work on it for one run, with connections kept open."""

    def lock_table(self, table: str, app_id: str) -> AbstractContextManager[None]:
        """Be the only one, of all runs, who works on a table of an app."""

    def open_raw(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Read what was landed raw; its tables made where they are missing."""

    def open_working(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Read everything else as it stands now."""

    def write_raw(self, body: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run what writes raw, a transaction: whole or not at all, again where another writer came first."""

    def write(self, body: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run what writes everything else, likewise."""

    def read(self, body: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run what reads more of everything else than may fit its memory: again where that was so."""

    def mirror(self) -> None:
        """Show readers and checks what extraction knows."""

    def publish(self, log: Callable[[str], None]) -> int:
        """Show readers what stands now. Returns its size in bytes."""

    def upkeep(self, *, keep_days: float, now: datetime) -> list[Size]:
        """Do what is due once a week; nothing that is younger than `keep_days` days is removed. Returns the sizes."""

    def open_published(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open what readers see, read-only, shut off from every other file."""

    def close(self) -> None:
        """Close the connections that are held."""


def open_warehouse(settings: Settings) -> Warehouse:
    """The warehouse of the settings. Raises `WarehouseError` where it is a lakehouse and its extra is not there."""
    return open_ducklake(settings) if settings.lakehouse else FileWarehouse(settings.warehouse)


def check_readers_see(settings: Settings) -> None:
    """Raise `SettingsError` where a run would load into a file while readers open a lakehouse."""
    if settings.reader_lakehouse and not settings.lakehouse:
        raise SettingsError(
            f"{_READERS_ALONE}, and LIVEHOUSE_WAREHOUSE is not: a run would load into a file that readers do not open; set"
            " LIVEHOUSE_WAREHOUSE to the lakehouse too, or unset LIVEHOUSE_READER_WAREHOUSE"
        )


def open_readers_warehouse(settings: Settings) -> Warehouse:
    """Return the warehouse that readers open: a machine of theirs need not know how runs reach it."""
    if settings.reader_lakehouse and settings.warehouse_path:
        raise SettingsError(f"{_READERS_ALONE}, and LIVEHOUSE_WAREHOUSE is a file: unset one of them")
    has_lakehouse = settings.lakehouse or settings.reader_lakehouse
    if settings.reader_access_key_id and not has_lakehouse:
        raise SettingsError(
            "LIVEHOUSE_READER_ACCESS_KEY_ID is a key for the files of a lakehouse, and there is none: set"
            " LIVEHOUSE_READER_WAREHOUSE, or unset the key"
        )
    return open_ducklake(settings) if has_lakehouse else FileWarehouse(settings.warehouse)


def open_ducklake(settings: Settings) -> DuckLakeWarehouse:
    """Return the lakehouse of the settings, which must name one."""
    reached_by = settings.lakehouse or settings.reader_lakehouse
    assert reached_by, "a file is no lakehouse"  # noqa: S101 - callers look first
    key = None
    if settings.reader_access_key_id and settings.reader_secret_access_key:
        key = S3Key(settings.reader_access_key_id, settings.reader_secret_access_key)
    readers = settings.reader_lakehouse
    return DuckLakeWarehouse(reached_by, settings.data_path, settings.home, readers=readers, readers_key=key)
