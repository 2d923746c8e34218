"""The interface of a warehouse: files of this machine, or a lakehouse that several machines share."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import duckdb

from pipelines.errors import SettingsError
from pipelines.settings.settings import Settings
from pipelines.storage.attach import S3Key
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.maintenance import StorageSize

if TYPE_CHECKING:
    from pipelines.storage.ducklake_warehouse import DuckLakeWarehouse

EVERY_APP = "every app"
"""The app for which `lock_table` locks a table that is written as a whole."""

_Result = TypeVar("_Result")

_READERS_USE_LAKEHOUSE = "LIVEHOUSE_READER_WAREHOUSE is a lakehouse"


class Warehouse(Protocol):
    """A warehouse. Each method opens and closes its own connections, except within `run`, which keeps them open."""

    @property
    def address(self) -> str:
        """Where it is, for messages: without secrets."""

    writes: int
    """Number of transactions that `write` has run."""

    before_write: Callable[[], None]
    """Called before each transaction; raises an error if this run may no longer write."""

    @property
    def directory(self) -> Path:
        """Where this machine keeps its local state, such as observations that no run has merged yet."""

    @property
    def lock(self) -> Path:
        """The lock file of runs that need this home for themselves."""

    def prepare(self) -> None:
        """Check that it can be written to, before any request is sent. Raises `WarehouseError` or `SettingsError`."""

    def exists(self) -> bool:
        """Whether readers have something to open."""

    def run(self, *, wait_seconds: float, log: Callable[[str], None]) -> AbstractContextManager[None]:
        """Take the locks of a run and keep connections open until it ends."""

    def lock_table(self, table: str, *app_ids: str) -> AbstractContextManager[None]:
        """Keep other runs from working on a table of these apps."""

    def snapshot(self, tables: Collection[str] = ()) -> AbstractContextManager[None]:
        """Have the reads of a block share one state, up to the next write: cheaper where each transaction costs.

        `tables`: full names of tables that the block, or several such blocks, read more than once.
        """

    def open_raw(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the raw tables for reading; missing ones are created."""

    def open_working(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open all other tables, in their current state, for reading; missing ones are created."""

    def write_raw(self, operation: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run one transaction that writes raw tables; run it again after a conflict with another writer."""

    def write(self, operation: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run one transaction that writes other tables; run it again after a conflict with another writer."""

    def read(self, operation: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run a query that may need more memory than the default limit; run it again with more if it does."""

    def mirror(self) -> None:
        """Copy the state of extraction that readers and checks use from raw to the published tables."""

    def publish(self, log: Callable[[str], None]) -> int:
        """Make the current state visible to readers. Returns its size in bytes."""

    def maintain(self, *, keep_days: float, clock: Callable[[], datetime]) -> list[StorageSize]:
        """Run the weekly maintenance, which removes nothing younger than `keep_days` days. Returns the sizes."""

    def open_published(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the readers' state, read-only and without access to any other file."""

    def open_for_export(self, target: str) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the readers' state, read-only, on a connection that may write files to `target`: not for a user's queries."""

    def close(self) -> None:
        """Close the connections that are kept open."""


def open_warehouse(settings: Settings) -> Warehouse:
    """Return the warehouse that the settings name. Raises `SettingsError` if the extra `lakehouse` is missing."""
    return open_ducklake(settings) if settings.lakehouse else FileWarehouse(settings.warehouse)


def check_readers_see(settings: Settings) -> None:
    """Raise `SettingsError` if a run would load into a file while readers open a lakehouse."""
    if settings.reader_lakehouse and not settings.lakehouse:
        raise SettingsError(
            f"{_READERS_USE_LAKEHOUSE}, and LIVEHOUSE_WAREHOUSE is not: a run would load into a file that readers do not open; set"
            " LIVEHOUSE_WAREHOUSE to the lakehouse too, or unset LIVEHOUSE_READER_WAREHOUSE"
        )


def open_readers_warehouse(settings: Settings) -> Warehouse:
    """Return the warehouse that readers open; their machine need not have the credentials of runs."""
    if settings.reader_lakehouse and settings.warehouse_path:
        raise SettingsError(f"{_READERS_USE_LAKEHOUSE}, and LIVEHOUSE_WAREHOUSE is a file: unset one of them")
    has_lakehouse = settings.lakehouse or settings.reader_lakehouse
    if settings.reader_access_key_id and not has_lakehouse:
        raise SettingsError(
            "LIVEHOUSE_READER_ACCESS_KEY_ID is a key for the files of a lakehouse, and there is none: set"
            " LIVEHOUSE_READER_WAREHOUSE, or unset the key"
        )
    return open_ducklake(settings) if has_lakehouse else FileWarehouse(settings.warehouse)


def open_ducklake(settings: Settings, *, is_branch: bool = False) -> "DuckLakeWarehouse":
    """Return the lakehouse that the settings name, or the branch of its catalog. They must name one."""
    from pipelines.storage.catalog_branch import BranchWarehouse
    from pipelines.storage.ducklake_warehouse import DuckLakeWarehouse

    conninfo = settings.lakehouse or settings.reader_lakehouse
    assert conninfo, "the settings name no lakehouse"  # noqa: S101 - callers check first
    key = None
    if settings.reader_access_key_id and settings.reader_secret_access_key:
        key = S3Key(settings.reader_access_key_id, settings.reader_secret_access_key)
    readers = settings.reader_lakehouse
    kind = BranchWarehouse if is_branch else DuckLakeWarehouse
    return kind(conninfo, settings.data_path, settings.home, readers=readers, readers_key=key)
