"""A warehouse of files on this machine.

The pipeline writes `pipeline_raw.duckdb` and `pipeline.duckdb`, one process at a time; readers get `warehouse.duckdb`, a
finished copy (see `publish.py`). Opening a file costs more than most of what is done with it. A run holds the lock of
the home, so it keeps the files open (`keep_open`), in one DuckDB, so that they share its memory limit.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import duckdb

from pipelines.catalog.files import MIRRORED, RAW_FILE, WAREHOUSE_FILE
from pipelines.catalog.types import Table
from pipelines.errors import SettingsError, WarehouseError
from pipelines.files import find_target
from pipelines.storage.duckdb_errors import translate_errors
from pipelines.storage.extensions import FILE_EXPORTER, Config, find_extension
from pipelines.storage.frames import read_frame, temporary_view
from pipelines.storage.lock import exclusive_lock
from pipelines.storage.maintenance import StorageSize
from pipelines.storage.memory import FILE_MEMORY_LIMIT, retry_with_more_memory
from pipelines.storage.migrations import LIST_COLUMNS, migrate_schema
from pipelines.storage.publish import is_open_for_writing, open_published, publish, remove_unfinished
from pipelines.storage.storage_format import convert_database_file, create_database_file, has_newer_format
from pipelines.text import is_utf8, quoted

_Result = TypeVar("_Result")

_MAX_THREADS = 4
"""At most, whatever the number of cores: each thread needs a share of the memory limit."""
_SMALL_BYTES = 100_000_000
"""Files below this size are read by one thread: starting and joining others took a fifth of the CPU time of a night's queries."""

_RESERVED = {"pipeline", "pipeline_raw", "pipeline_live", "marts", *(table.schema for table in WAREHOUSE_FILE)}


class FileWarehouse:
    """Three files and a lock file in one directory. See the protocol in `warehouse.py` for the methods."""

    def __init__(self, published: Path) -> None:
        """Take the path of the readers' copy; the pipeline's own files are in the same directory."""
        self.published, self.directory = published, published.parent
        self.working = self.directory / "pipeline.duckdb"
        self.raw = self.directory / "pipeline_raw.duckdb"
        self.lock = self.directory / "pipeline.lock"
        self.address = f"{published}"
        self.writes, self._is_mirrored = 0, False
        self.before_write: Callable[[], None] = lambda: None
        self._kept_open: _OpenFiles | None = None
        # DuckDB names a file's catalog by the part before the first dot: with `core.v2.duckdb`, `core.livestreams` is
        # ambiguous. Names that begin like the pipeline's files may belong to them, such as their .wal.
        catalog = next((part for part in published.name.lower().split(".") if part), "")
        if published.name == "report.html" or catalog in _RESERVED:
            raise SettingsError(f"LIVEHOUSE_WAREHOUSE cannot be named {published.name}: livehouse uses that name")

    def prepare(self) -> None:
        """Create the directory, and check that the files are ours and complete: the working file is built from raw."""
        self._check_path()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            is_file = isinstance(error, FileExistsError)
            problem = "is not a directory" if is_file else f"cannot be created: {error.strerror}"
            raise WarehouseError(f"{self.directory} {problem}; set LIVEHOUSE_HOME elsewhere") from None
        if not os.access(self.directory, os.W_OK):
            raise WarehouseError(f"{self.directory} is not writable: change its permissions or LIVEHOUSE_HOME")
        find_target(self.published)
        for file in (self.raw, self.working, self.published):
            if file.exists() and not file.is_file():
                raise WarehouseError(f"{file} is not a file: move it away")
        self._check_is_ours()
        if self.working.exists() and not self.raw.exists():
            raise WarehouseError(
                f"{self.raw} is missing, and {self.working.name} was built from it: restore it from a backup,"
                f" or move {self.working.name} away too and backfill again"
            )

    def _check_path(self) -> None:
        """Raise `SettingsError` if the path is one that DuckDB cannot open, or the working directory was deleted."""
        try:
            absolute = str(self.directory.absolute())
        except FileNotFoundError:
            raise SettingsError(
                "the working directory no longer exists: change into another one, or set LIVEHOUSE_HOME to an absolute path"
            ) from None
        if "?" in absolute or not is_utf8(absolute):
            raise SettingsError(
                f"{absolute} contains a question mark, or is not UTF-8: DuckDB cannot open it: set LIVEHOUSE_HOME elsewhere"
            )

    def _check_is_ours(self) -> None:
        """Raise `SettingsError` if publishing would replace a file that livehouse has not created."""
        is_known = self.working.exists() and self.published.name == "warehouse.duckdb"
        if is_known or not self.published.exists() or self.published.stat().st_size == 0:
            return
        try:
            with duckdb.connect(self.published, read_only=True) as connection:
                columns = connection.execute(LIST_COLUMNS).fetchall()
        except duckdb.Error as error:
            if self.working.exists() and "lock on file" in str(error):
                return  # a reader has it open for writing: see `is_written_to`
            columns = []
        if not any(column[:2] == ("ops", "loads") for column in columns):
            raise SettingsError(
                f"{self.published} is not a warehouse of livehouse, and would be replaced by one: move it away, or set"
                " LIVEHOUSE_WAREHOUSE to the path of another file"
            )

    @contextmanager
    def open_raw(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open `pipeline_raw.duckdb`; missing tables are created."""
        with self._opened(self.raw, RAW_FILE) as connection:
            yield connection

    @contextmanager
    def open_working(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open `pipeline.duckdb`; missing tables are created."""
        with self._opened(self.working, WAREHOUSE_FILE) as connection:
            yield connection

    def write_raw(self, operation: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run one transaction that writes raw tables. The run holds the lock, so there are no conflicts."""
        self.before_write()
        self._is_mirrored = False
        with self.open_raw() as connection:
            return retry_with_more_memory(connection, operation)

    def write(self, operation: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run one transaction that writes other tables."""
        self.before_write()
        self.writes += 1
        return self.read(operation)

    def read(self, operation: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run a query."""
        with self.open_working() as connection:
            return retry_with_more_memory(connection, operation)

    def open_published(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the readers' copy."""
        return open_published(self.published)

    @contextmanager
    def open_for_export(self, target: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the readers' copy on a connection that may write files."""
        with open_published(self.published, FILE_EXPORTER) as connection:
            if "://" in target:
                connection.load_extension(str(find_extension("httpfs")))
            yield connection

    def exists(self) -> bool:
        """Whether a copy has been published."""
        return self.published.exists()

    @contextmanager
    def run(self, *, wait_seconds: float, log: Callable[[str], None]) -> Iterator[None]:
        """Take the lock, open the files, and remove what a killed run left behind."""
        with exclusive_lock(self.lock, wait_seconds=wait_seconds, log=log), self.keep_open():
            remove_unfinished(self.published, (self.raw, self.working))
            self._is_mirrored = False  # another process may have landed records since
            with self.open_raw(), self.open_working() as connection:  # refuses a newer schema before any request
                is_outdated = has_newer_format(connection)
            if is_outdated:
                log(
                    f"{self.working} is converted, once, to storage format v1.0.0, so that every tool can read the warehouse"
                )
                self.close()
                convert_database_file(self.working)
            yield

    def lock_table(self, table: str, *app_ids: str) -> AbstractContextManager[None]:  # noqa: ARG002 - the run has locked every table
        """Do nothing: the run has locked all tables."""
        return nullcontext()

    def snapshot(self, tables: Collection[str] = ()) -> AbstractContextManager[None]:  # noqa: ARG002 - of the protocol
        """Do nothing: no other process writes while the run holds the lock."""
        return nullcontext()

    def mirror(self) -> None:
        """Copy the state of extraction into the working file, since raw tables are not published; once for each change."""
        if self._is_mirrored:
            return
        with self.open_raw() as connection:
            states = {table: read_frame(connection, f"FROM {table.full_name}") for table in MIRRORED}
        with self.open_working() as connection:
            connection.execute("BEGIN")
            for table, rows in states.items():
                with temporary_view(connection, "mirrored_rows", rows):
                    connection.execute(f"DELETE FROM {table.full_name}")
                    connection.execute(f"INSERT OR REPLACE INTO {table.full_name} BY NAME SELECT * FROM mirrored_rows")
            connection.execute("COMMIT")
        self._is_mirrored = self._kept_open is not None  # no other process writes while this one holds the lock

    def publish(self, log: Callable[[str], None]) -> int:
        """Replace the readers' copy."""
        if is_open_for_writing(self.published):
            log(
                f"another program has {self.published} open for writing: it keeps the copy it has; let it close"
                " it, or what it writes from now on is read together with the new copy (open it read-only)"
            )
        find_target(self.published)  # refuses a link that leads to no file, before any file is created
        with self.open_working() as connection:
            # A killed run leaves a .wal beside the working file; a checkpoint writes it into the file.
            connection.execute("CHECKPOINT")
        if self._kept_open:
            self._kept_open.close_file(self.working)
        return publish(self.working, self.published)

    def maintain(self, *, keep_days: float, clock: Callable[[], datetime]) -> list[StorageSize]:  # noqa: ARG002 - files need no maintenance
        """Return the sizes of the files. They need no maintenance: DuckDB reuses the space of replaced rows."""
        files = [file for file in (self.working, self.raw, self.published) if file.exists()]
        return [StorageSize(file.name, 1, file.stat().st_size) for file in files]

    @contextmanager
    def keep_open(self) -> Iterator[None]:
        """Keep connections open between uses."""
        self._kept_open = self._files()
        try:
            yield
        finally:
            self.close()
            self._kept_open = None

    def close(self) -> None:
        """Close the connections, so that the files can be copied or attached elsewhere."""
        if self._kept_open:
            self._kept_open.close()

    def _files(self) -> "_OpenFiles":
        return _OpenFiles(spill_directory=self.working.with_name(f"{self.working.name}.tmp"))

    @contextmanager
    def _opened(self, path: Path, tables: Iterable[Table]) -> Iterator[duckdb.DuckDBPyConnection]:
        files = self._kept_open or self._files()
        with translate_errors(path):
            try:
                yield files.open(path, tables)
            except BaseException:
                files.close()  # rolls back
                raise
            if files is not self._kept_open:
                files.close()


class _OpenFiles:
    """One DuckDB that attaches each file on first use, with a connection for each."""

    def __init__(self, spill_directory: Path) -> None:
        """Take the directory to which DuckDB spills."""
        self._config: Config = {
            "memory_limit": FILE_MEMORY_LIMIT,
            "threads": 1,
            "temp_directory": str(spill_directory),
        }
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._connections: dict[Path, duckdb.DuckDBPyConnection] = {}
        self._migrated: set[Path] = set()

    def open(self, path: Path, tables: Iterable[Table]) -> duckdb.DuckDBPyConnection:
        """Return a connection with this file as its default catalog; missing tables are created."""
        if path not in self._connections:
            create_database_file(path)
            self._engine = self._engine or duckdb.connect(config=self._config)
            connection = self._connections[path] = self._engine.cursor()
            connection.execute(f"ATTACH {quoted(str(path))} AS {path.stem}")
            connection.execute(f"USE {path.stem}")
            if path not in self._migrated:
                migrate_schema(connection, tables)
                self._migrated.add(path)
        self._use_threads()
        return self._connections[path]

    def _use_threads(self) -> None:
        """Let DuckDB use more threads once the open files are large: a backfill that begins with small files needs them too."""
        most = min(_MAX_THREADS, os.cpu_count() or 1)
        if self._engine and self._config["threads"] != most:
            files = (file for path in self._connections for file in (path, path.with_name(f"{path.name}.wal")))
            if sum(file.stat().st_size for file in files if file.exists()) > _SMALL_BYTES:
                self._config["threads"] = most
                self._engine.execute(f"SET threads = {most}")

    def close_file(self, path: Path) -> None:
        """Close one file, so that it can be copied. Opening and closing the whole DuckDB costs more."""
        if self._engine and (connection := self._connections.pop(path, None)):
            connection.close()
            self._engine.execute(f"DETACH {path.stem}")

    def close(self) -> None:
        """Close every file."""
        while self._connections:
            self._connections.popitem()[1].close()
        if self._engine:
            self._engine.close()
        self._engine = None
