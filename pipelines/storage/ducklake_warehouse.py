"""A lakehouse (DuckLake): tables in Parquet files that several machines share, with their catalog in PostgreSQL.

Readers see the last commit, so there is nothing to publish. Several runs write at once. Each locks the table of an app
that it works on by an advisory lock in PostgreSQL, since two runs that replace the same new day would both succeed. A
transaction that conflicts with another commit to the same table is run again.
"""

import random
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import duckdb
import stamina
from pydantic import SecretStr

from pipelines.catalog.files import RAW_FILE, WAREHOUSE_FILE
from pipelines.errors import WarehouseError
from pipelines.storage import maintenance
from pipelines.storage.attach import S3Key, attach_lake, close_lake, create_data_path
from pipelines.storage.catalog_indexes import create_indexes
from pipelines.storage.ducklake_errors import is_conflict
from pipelines.storage.ducklake_reader import DuckLakeReader
from pipelines.storage.extensions import connect_with_extensions
from pipelines.storage.maintenance import StorageSize
from pipelines.storage.memory import LAKEHOUSE_MEMORY_LIMIT, retry_with_more_memory
from pipelines.storage.migrations import migrate_schema
from pipelines.storage.partitions import list_partition_changes
from pipelines.storage.postgres import advisory_lock, advisory_locks, find_data_path, mark_as_run, take_turn
from pipelines.storage.restored_catalog import check_restored
from pipelines.storage.s3 import check_files_reachable
from pipelines.storage.snapshot_reader import BEGIN_READING, SnapshotReader
from pipelines.storage.table_statistics import create_statistics
from pipelines.text import quoted

if TYPE_CHECKING:
    import psycopg

_Result = TypeVar("_Result")

stamina.instrumentation.set_on_retry_hooks([])  # by default each retry is a warning on stderr

_CONFLICT_RETRY_TIME = timedelta(minutes=10)
"""How long a transaction is retried after conflicts."""

_TABLES = tuple(dict.fromkeys((*RAW_FILE, *WAREHOUSE_FILE)))


class DuckLakeWarehouse(DuckLakeReader):
    """A catalog and the location of its files. See the protocol in `warehouse.py` for the methods."""

    def __init__(
        self,
        conninfo: SecretStr,
        files: str | None,
        home: Path,
        *,
        readers: SecretStr | None = None,
        readers_key: S3Key | None = None,
    ) -> None:
        """Take the connection string of runs, and of readers if they have their own.

        `files`: a directory or an `s3://` address; used only when the lakehouse is created.
        """
        super().__init__(conninfo, readers, readers_key)
        self._files = files
        self.directory = home
        self.lock = home / "pipeline.lock"
        self.writes = 0
        self.before_write: Callable[[], None] = lambda: None
        self._session: psycopg.Connection | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._is_kept_open = False
        self._reader: SnapshotReader | None = None
        self._reading: duckdb.DuckDBPyConnection | None = None
        """The connection with the transaction that reads share; None if there is none."""
        self._blocks: list[Collection[str]] = []
        """The tables that each block of shared reads names."""
        self._readers = 0
        """How many callers are reading from copies."""
        self._wait_seconds = 0.0
        self._log: Callable[[str], None] = lambda _: None

    def prepare(self) -> None:
        """Create the local directory, and check that the catalog can be reached, and S3 if the files are there."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(f"{self.directory} cannot be created: {error.strerror}") from None
        with self._catalog.connect() as session:
            files = find_data_path(session) or self._files or ""
        if "://" in files:
            with self._translate_errors(), connect_with_extensions([self._httpfs]) as connection:
                check_files_reachable(connection, files)

    @contextmanager
    def run(self, *, wait_seconds: float, log: Callable[[str], None]) -> Iterator[None]:
        """Keep connections open. Other runs may work at the same time."""
        self._wait_seconds, self._log, self._is_kept_open = wait_seconds, log, True
        try:
            with self._catalog.connect() as self._session:
                self._catalog.check_clock(self._session)
                mark_as_run(self._session)
                with self.open_working():
                    pass  # refuses a newer schema before any request is sent
                yield
        finally:
            self.close()
            self._session, self._is_kept_open = None, False

    @contextmanager
    def lock_table(self, table: str, *app_ids: str) -> Iterator[None]:
        """Hold the advisory locks of a table and apps."""
        assert self._session is not None, "tables are locked within a run"  # noqa: S101 - guards every write
        names = [f"{table} of {app_id}" for app_id in app_ids]
        with (
            self._translate_errors(),
            advisory_locks(self._session, names, wait_seconds=self._wait_seconds, log=self._log),
        ):
            self._end_snapshot()  # to see what the run that held the lock has committed
            yield

    @contextmanager
    def snapshot(self, tables: Collection[str] = ()) -> Iterator[None]:
        """Read in one transaction until the end of the block or the next write, and small ones of `tables` from copies in memory."""
        self._blocks.append(tables)
        try:
            yield
        finally:
            self._blocks.pop()
            if not self._blocks:
                self._end_snapshot()

    def _begin_snapshot(self, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """Return the connection to read from, in a transaction."""
        if self._reading is None:
            tables = {name for names in self._blocks for name in names}
            if tables and self._reader is None and self._session is not None:
                self._reader = SnapshotReader(connection, self._session)
            reader = self._reader
            if reader and (tables or not reader.is_stale) and reader.begin(tables):
                self._reading = reader.connection
            else:
                connection.execute(BEGIN_READING)
                self._reading = connection
        return self._reading

    def _begin_again(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Begin the transaction of reads again, after a rollback."""
        if self._reader and connection is not self._connection:
            self._reader.begin_without_copies()
        else:
            connection.execute(BEGIN_READING)

    def _end_snapshot(self) -> None:
        if self._reading:
            with suppress(duckdb.Error):
                self._reading.commit()  # not rolled back: that would drop its temporary macros
        self._reading = None

    @contextmanager
    def open_working(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the catalog, which has raw and all other tables."""
        with self._open() as connection:
            if not self._blocks or not self._is_kept_open:
                yield connection
                return
            reading = self._begin_snapshot(connection)
            self._readers += reading is not connection
            try:
                yield reading
            finally:
                self._readers -= reading is not connection

    @contextmanager
    def _open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._translate_errors():
            connection = self._connection or self._connect()
            self._connection = connection
            try:
                yield connection
            except BaseException as error:
                if is_conflict(error):
                    with suppress(duckdb.Error):
                        connection.rollback()
                else:
                    self.close()
                raise
            finally:
                if not self._is_kept_open:
                    self.close()

    open_raw = open_working

    def write(self, operation: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run one transaction; run it again after a conflict with another writer."""
        self.writes += 1
        try:
            return self._write_with_retries(operation)
        except duckdb.Error as error:
            if not is_conflict(error):
                raise
            message = " ".join(str(error).split())
            raise WarehouseError(f"{self.address}: too many conflicts with other runs: {message}; run again") from None

    def _write_with_retries(self, operation: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        for attempt in stamina.retry_context(
            on=is_conflict,
            attempts=None,
            timeout=_CONFLICT_RETRY_TIME,
            wait_initial=0.02,
            wait_max=1.0,
            wait_jitter=random.uniform(0.05, 0.5),  # noqa: S311 - so that two writers do not collide repeatedly
        ):
            assert not self._readers, "a write ends the snapshot of the copies"  # noqa: S101 - guards against stale copies
            self._end_snapshot()
            self.before_write()
            if self._reader:
                self._reader.is_stale = True
            turn = take_turn(self._session, _CONFLICT_RETRY_TIME) if attempt.num > 1 else nullcontext()
            with attempt, turn, self._open() as connection:
                if self._session is not None:
                    self._session.execute("SELECT 1")  # its locks are held as long as the session is alive
                return retry_with_more_memory(connection, operation)
        raise AssertionError("unreachable")

    def read(self, operation: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run a query on the current state."""
        with self.open_working() as connection:
            return retry_with_more_memory(
                connection, operation, begin_again=self._begin_again if self._reading else None
            )

    def write_raw(self, operation: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run one transaction that writes raw tables, while no other run does: two that insert the same key would both succeed."""
        assert self._session is not None, "raw tables are written within a run"  # noqa: S101 - guards every write
        wait_seconds = 2 * _CONFLICT_RETRY_TIME.total_seconds()
        with (
            self._translate_errors(),
            advisory_lock(self._session, "landing", wait_seconds=wait_seconds, log=lambda _: None),
        ):
            return self.write(operation)

    def mirror(self) -> None:
        """Do nothing: the state of extraction is in the same catalog."""

    def publish(self, log: Callable[[str], None]) -> int:  # noqa: ARG002 - of the protocol
        """Do nothing: readers see each commit. Returns the size of the files in bytes."""
        with self.open_working() as connection:
            [(size,)] = connection.execute(
                "SELECT sum(file_size_bytes)::BIGINT FROM ducklake_table_info('lake')"
            ).fetchall()
        return int(size or 0)

    def maintain(self, *, keep_days: float, clock: Callable[[], datetime]) -> list[StorageSize]:
        """Merge small files, expire old snapshots, delete unreferenced files; partition by hash if there are many apps."""
        with self.lock_table("every table", "every app, for upkeep"):
            with self.open_working() as connection:
                changes = list_partition_changes(connection, _TABLES)
            for statement in chain(changes, maintenance.list_statements(keep_days=keep_days, clock=clock)):
                self.write(partial(maintenance.run_statement, statement=statement))
            with self.open_working() as connection:
                return maintenance.list_sizes(connection)

    def close(self) -> None:
        """Close the connection to DuckDB; uncommitted changes are rolled back."""
        if self._reader:
            self._reader.close()
        if self._connection:
            close_lake(self._connection)
        self._connection = self._reader = self._reading = None

    def _connect(self) -> duckdb.DuckDBPyConnection:
        with (
            self._catalog.connect() as session,  # two runs that create it at once would both fail
            advisory_lock(session, "the catalog", wait_seconds=self._wait_seconds, log=lambda _: None),
        ):
            known = find_data_path(session)
            if known:
                check_restored(session, self.address)
            files = known or create_data_path(self._files, self.directory)
            options = [] if known else [f"DATA_PATH {quoted(files)}"]
            connection = attach_lake(self._catalog, self._extensions_for(files), *options)
            try:
                connection.execute(f"SET memory_limit = '{LAKEHOUSE_MEMORY_LIMIT}'")
                migrate_schema(connection, _TABLES, in_lake=True)
                create_indexes(session, self._log)
                create_statistics(session, connection)
            except BaseException:
                close_lake(connection)
                raise
        return connection
