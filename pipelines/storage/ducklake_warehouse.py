"""A lakehouse: tables in Parquet files that several machines share, their catalog in PostgreSQL (DuckLake).

Readers see what was committed last, so nothing is published. Several runs write at once: who works on a table of
an app has it alone, by a lock in PostgreSQL, since two who replace the same new day would both succeed; and
whoever was overtaken by a commit to the same table does his transaction again.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import duckdb
import stamina
from pydantic import SecretStr

from pipelines.catalog.files import RAW_FILE, WAREHOUSE_FILE
from pipelines.errors import WarehouseError
from pipelines.storage import maintenance as upkeep
from pipelines.storage.attach import S3Key, attach_lake, shut_off
from pipelines.storage.extensions import connect_with, extension_file
from pipelines.storage.maintenance import Size
from pipelines.storage.memory import OF_A_LAKEHOUSE, retry_with_more_memory
from pipelines.storage.migrations import make
from pipelines.storage.postgres import Catalog, Role, data_path, locked, without_password_variable
from pipelines.text import quoted

if TYPE_CHECKING:
    import psycopg

_Result = TypeVar("_Result")

stamina.instrumentation.set_on_retry_hooks([])  # else each conflict between machines is a warning on stderr

_OVERTAKEN_FOR = timedelta(minutes=3)
"""How long a transaction is tried again when others commit to the same table first."""

_OVERTAKEN = ("transaction conflict", "maximum retry count", "could not serialize")
"""What DuckLake says when another commit came first: to the same table, again and again, or at the very moment."""

_LOST = (
    "server closed the connection",
    "terminating connection",
    "connection to server",
    "no connection to the server",
)
"""What an error of DuckDB's, of any class, says in its midst when PostgreSQL was gone."""

_OF_THE_PLACE = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException)
"""Errors of DuckDB's that are of the disk, of S3, of memory, or of a commit that met one of them."""

_TABLES = tuple(dict.fromkeys((*RAW_FILE, *WAREHOUSE_FILE)))


class DuckLakeWarehouse:
    """One catalog and where its files lie. See `store.py` for what each method means."""

    def __init__(
        self,
        conninfo: SecretStr,
        files: str | None,
        home: Path,
        *,
        readers: SecretStr | None = None,
        readers_key: S3Key | None = None,
    ) -> None:
        """Take how runs reach it, and how readers do, who otherwise use the role of the runs.

        `files`: a directory or an `s3://` address; asked for only when the lakehouse is first made.
        """
        self._catalog = Catalog(conninfo)
        variable = "LIVEHOUSE_READER_WAREHOUSE" if readers else "LIVEHOUSE_WAREHOUSE"
        self._readers_catalog = Catalog(readers or conninfo, variable=variable, reads_only=True)
        self._readers_key = readers_key
        self._extensions = [extension_file(name) for name in ("ducklake", "postgres_scanner")]
        self._of_s3 = extension_file("httpfs")  # each is read whole to be checked: not where nothing lies on S3
        self._files = files
        self.address = self._catalog.address
        self.directory = home
        self.lock = home / "pipeline.lock"
        self._session: psycopg.Connection | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._is_held = False
        self._wait_seconds = 0.0
        self._log: Callable[[str], None] = lambda _: None

    def prepare(self) -> None:
        """Make this machine's own directory, and see that the catalog answers, and S3 where the files lie there."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(f"{self.directory} cannot be made: {error.strerror}") from None
        with self._catalog.connect() as session:
            files = data_path(session) or self._files or ""
        if "://" in files:
            with self._explained(), connect_with([self._of_s3]) as connection:
                connection.execute(f"FROM glob({quoted(files.rstrip('/') + '/livehouse-*')})").fetchall()

    def is_there(self) -> bool:
        """Whether it was made."""
        with self._catalog.connect() as session:
            return data_path(session) is not None

    @contextmanager
    def run(self, *, wait_seconds: float, log: Callable[[str], None]) -> Iterator[None]:
        """Keep connections open. Other runs go on beside this one."""
        self._wait_seconds, self._log, self._is_held = wait_seconds, log, True
        try:
            with self._catalog.connect() as self._session:
                self._catalog.check_clock(self._session)
                with self.open_working():
                    pass  # a schema newer than this program is refused before any request
                yield
        finally:
            self.close()
            self._session, self._is_held = None, False

    @contextmanager
    def lock_table(self, table: str, app_id: str) -> Iterator[None]:
        """Hold the lock of a table and app."""
        assert self._session is not None, "only a run works alone"  # noqa: S101 - guards every write
        name = f"{table} of {app_id}"
        with self._explained(), locked(self._session, name, wait_seconds=self._wait_seconds, log=self._log):
            yield

    @contextmanager
    def open_working(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Raw and everything else: one catalog has them all."""
        with self._explained():
            connection = self._connection or self._connect()
            self._connection = connection
            try:
                yield connection
            except BaseException as error:
                if _was_overtaken(error):
                    with suppress(duckdb.Error):
                        connection.rollback()
                else:
                    self.close()
                raise
            finally:
                if not self._is_held:
                    self.close()

    open_raw = open_working

    def write(self, body: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run it again, whole, where another writer committed to the same table first."""
        try:
            return self._written(body)
        except duckdb.Error as error:
            if not _was_overtaken(error):
                raise
            said = " ".join(str(error).split())
            raise WarehouseError(f"{self.address}: other runs were always first: {said}; run again") from None

    def _written(self, body: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        for attempt in stamina.retry_context(
            on=_was_overtaken,
            attempts=None,
            timeout=_OVERTAKEN_FOR,
            wait_initial=0.02,
            wait_max=1.0,
            wait_jitter=random.uniform(0.05, 0.5),  # noqa: S311 - so that two do not meet again and again
        ):
            with attempt, self.open_working() as connection:
                if self._session is not None:
                    self._session.execute("SELECT 1")  # its locks are held as long as it answers
                return retry_with_more_memory(connection, body)
        raise AssertionError("unreachable")

    def read(self, body: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run it on what stands now."""
        with self.open_working() as connection:
            return retry_with_more_memory(connection, body)

    def write_raw(self, body: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """One after the other: what extraction learns is of all apps, and two who add the same key would both succeed."""
        assert self._session is not None, "only a run lands"  # noqa: S101 - guards every write
        patience = 2 * _OVERTAKEN_FOR.total_seconds()
        with self._explained(), locked(self._session, "landing", wait_seconds=patience, log=lambda _: None):
            return self.write(body)

    def mirror(self) -> None:
        """Nothing: what extraction knows is in the same catalog."""

    def publish(self, log: Callable[[str], None]) -> int:  # noqa: ARG002 - as of a file, which may have to wait
        """Nothing: readers see each commit. Returns the size of the files in bytes."""
        with self.open_working() as connection:
            [(size,)] = connection.execute(
                "SELECT sum(file_size_bytes)::BIGINT FROM ducklake_table_info('lake')"
            ).fetchall()
        return int(size or 0)

    def upkeep(self, *, keep_days: float, now: datetime) -> list[Size]:
        """Make small files one, forget old snapshots, remove what nobody refers to."""
        with self.lock_table("every table", "every app, for upkeep"):
            for step in upkeep.steps(keep_days=keep_days, now=now):
                self.write(partial(upkeep.run_step, step=step))
            with self.open_working() as connection:
                return upkeep.sizes(connection)

    @contextmanager
    def open_published(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open it for reading. All that is read is of one moment."""
        with self._explained():
            with self._readers_catalog.connect() as session:
                files = data_path(session)
            if files is None:
                raise WarehouseError(f"{self.address} has no tables yet: run `livehouse nightly`")
            extensions = self._extensions_for(files)
            connection = attach_lake(self._readers_catalog, extensions, "READ_ONLY", is_reader=True)
            try:
                shut_off(connection, files, self._readers_key)
                connection.execute("BEGIN")
                with without_password_variable():
                    yield connection
            finally:
                _close(connection)

    def roles(self) -> tuple[Role, Role | None]:
        """Return the role of runs, and the one of readers where they have their own."""
        with self._explained():
            has_readers = self._readers_catalog.address != self._catalog.address
            return self._catalog.role(), self._readers_catalog.role() if has_readers else None

    def close(self) -> None:
        """Close the connection to DuckDB; what was not committed is undone."""
        if self._connection:
            _close(self._connection)
            self._connection = None

    def _connect(self) -> duckdb.DuckDBPyConnection:
        with (
            self._catalog.connect() as session,  # two who make it at once would both fail
            locked(session, "the catalog", wait_seconds=self._wait_seconds, log=lambda _: None),
        ):
            known = data_path(session)
            files = known or self._new_files()
            options = [] if known else [f"DATA_PATH {quoted(files)}"]
            connection = attach_lake(self._catalog, self._extensions_for(files), *options)
            try:
                connection.execute(f"SET memory_limit = '{OF_A_LAKEHOUSE}'")
                make(connection, _TABLES, in_lake=True)
            except BaseException:
                _close(connection)
                raise
        return connection

    def _new_files(self) -> str:
        if self._files and "://" in self._files:
            return self._files.rstrip("/") + "/"
        directory = Path(self._files or self.directory / "lake").resolve()
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(f"{directory} cannot be made: {error.strerror}; set LIVEHOUSE_DATA_PATH") from None
        return f"{directory}/"

    def _extensions_for(self, files: str) -> list[Path]:
        return [*self._extensions, *([self._of_s3] if "://" in files else [])]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what DuckDB, PostgreSQL and the disk say into a `WarehouseError` of one line without the password."""
        import psycopg

        try:
            yield
        except (duckdb.Error, psycopg.Error) as error:
            is_lost = any(word in str(error) for word in _LOST)
            if _was_overtaken(error) or not (is_lost or isinstance(error, (*_OF_THE_PLACE, psycopg.Error))):
                raise
            said = "lost the connection to PostgreSQL" if is_lost else f"{error}".splitlines()[0]
            remedy = "see that PostgreSQL and the place of the files can be reached, then run again"
            if "permission denied" in said:
                remedy = "grant what this role lacks, as deploy/postgres/roles.sql does"
            for catalog in (self._catalog, self._readers_catalog):
                said = catalog.without_password(said)
            raise WarehouseError(f"{self.address}: {said}; {remedy}") from None


def _close(connection: duckdb.DuckDBPyConnection) -> None:
    """Undo first: closed within a transaction, a connection that was cut takes the process along (duckdb 1.5.5)."""
    with suppress(duckdb.Error):
        connection.rollback()
    connection.close()


def _was_overtaken(error: BaseException) -> bool:
    """Whether doing the transaction again can help."""
    said = str(error).lower()
    return isinstance(error, duckdb.Error) and any(word in said for word in _OVERTAKEN)
