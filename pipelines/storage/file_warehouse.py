"""The files of the warehouse: where they are, how they are opened, what must be in them.

`pipeline_raw.duckdb` and `pipeline.duckdb` are the pipeline's own, written by one process at a time; readers
get `warehouse.duckdb`, a finished copy (see `publish.py`). Opening a file costs more than most of what is done
with it: a run, which has the house to itself, keeps them open (`hold`), in one DuckDB, so that they share its memory.
"""

import os
from collections.abc import Callable, Iterable, Iterator
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
from pipelines.storage.frames import read_frame, temporary_view
from pipelines.storage.lock import exclusive
from pipelines.storage.maintenance import Size
from pipelines.storage.memory import OF_FILES, retry_with_more_memory
from pipelines.storage.migrations import COLUMNS, create, make
from pipelines.storage.publish import clear_unfinished, is_written_to, open_published, publish
from pipelines.text import is_utf8, quoted

_Result = TypeVar("_Result")

_THREADS = 4
"""At most: each needs its share of that memory, however many cores there are."""


_RESERVED = {"pipeline", "pipeline_raw", "pipeline_live", "marts", *(table.schema for table in WAREHOUSE_FILE)}


class FileWarehouse:
    """The three files that lie side by side, and the lock beside them. See `store.py` for what each method means."""

    def __init__(self, published: Path) -> None:
        """Take the path readers open; the pipeline's own files lie beside it."""
        self.published = published
        self.directory = published.parent
        self.working = self.directory / "pipeline.duckdb"
        self.raw = self.directory / "pipeline_raw.duckdb"
        self.lock = self.directory / "pipeline.lock"
        self.address = f"{published}"
        self._held: _OpenFiles | None = None
        # DuckDB names a file's catalog by what is in front of a dot: `core.v2.duckdb` would make `core.livestreams`
        # ambiguous. What lies beside the pipeline's own files, such as their logs, begins as they do.
        catalog = next((part for part in published.name.lower().split(".") if part), "")
        if published.name == "report.html" or catalog in _RESERVED:
            raise SettingsError(f"LIVEHOUSE_WAREHOUSE cannot be named {published.name}: livehouse uses that name")

    def prepare(self) -> None:
        """Make the directory, and see that raw is not gone from under a warehouse made of it."""
        self._check_path()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            said = "is no directory" if isinstance(error, FileExistsError) else f"cannot be made: {error.strerror}"
            raise WarehouseError(f"{self.directory} {said}; set LIVEHOUSE_HOME elsewhere") from None
        if not os.access(self.directory, os.W_OK):
            raise WarehouseError(f"{self.directory} is not writable: change its permissions or LIVEHOUSE_HOME")
        for file in (self.raw, self.working, self.published):
            if file.exists() and not file.is_file():
                raise WarehouseError(f"{file} is no file: move away what is in its place")
        find_target(self.published)
        self._check_is_ours()
        if self.working.exists() and not self.raw.exists():
            raise WarehouseError(
                f"{self.raw} is missing, and {self.working.name} was made of it: bring it back from a backup,"
                f" or move {self.working.name} away too and backfill again"
            )

    def _check_path(self) -> None:
        """Raise `SettingsError` where DuckDB could not open the files, by the path of the working directory."""
        try:
            absolute = str(self.directory.absolute())
        except FileNotFoundError:
            raise SettingsError(
                "the working directory no longer exists: change into another one, or set LIVEHOUSE_HOME to an absolute path"
            ) from None
        if "?" in absolute or not is_utf8(absolute):
            raise SettingsError(
                f"{absolute} holds a question mark, or is not UTF-8, which DuckDB cannot open: set LIVEHOUSE_HOME elsewhere"
            )

    def _check_is_ours(self) -> None:
        """Raise `SettingsError` where publishing would replace a file that somebody else made."""
        is_known = self.working.exists() and self.published.name == "warehouse.duckdb"
        if is_known or not self.published.exists() or self.published.stat().st_size == 0:
            return
        try:
            with duckdb.connect(self.published, read_only=True) as connection:
                there = connection.execute(COLUMNS).fetchall()
        except duckdb.Error as error:
            if self.working.exists() and "lock on file" in str(error):
                return  # a reader has it open for writing: see `is_written_to`
            there = []
        if not any(found[:2] == ("ops", "loads") for found in there):
            raise SettingsError(
                f"{self.published} is not a warehouse of livehouse, and would be replaced by one: move it away, or set"
                " LIVEHOUSE_WAREHOUSE to the path of another file"
            )

    @contextmanager
    def open_raw(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """`pipeline_raw.duckdb`, for writing; its tables made where they are missing."""
        with self._opened(self.raw, RAW_FILE) as connection:
            yield connection

    @contextmanager
    def open_working(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """`pipeline.duckdb`, for writing; its tables made where they are missing."""
        with self._opened(self.working, WAREHOUSE_FILE) as connection:
            yield connection

    def write_raw(self, body: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run what writes raw. Nobody else writes, so nothing can be in its way."""
        with self.open_raw() as connection:
            return retry_with_more_memory(connection, body)

    def write(self, body: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run what writes everything else."""
        with self.open_working() as connection:
            return retry_with_more_memory(connection, body)

    read = write

    def open_published(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the copy."""
        return open_published(self.published)

    def is_there(self) -> bool:
        """Whether a copy was published."""
        return self.published.exists()

    @contextmanager
    def run(self, *, wait_seconds: float, log: Callable[[str], None]) -> Iterator[None]:
        """Have the files alone, and clear up after a run that was killed."""
        with exclusive(self.lock, wait_seconds=wait_seconds, log=log), self.hold():
            clear_unfinished(self.published, (self.raw, self.working))
            with self.open_raw(), self.open_working():
                pass  # a schema newer than this program is refused before any request
            yield

    def lock_table(self, table: str, app_id: str) -> AbstractContextManager[None]:  # noqa: ARG002 - the run has every file
        """Have what the run has anyway."""
        return nullcontext()

    def mirror(self) -> None:
        """Copy into the working file what extraction knows, since raw itself is not published."""
        with self.open_raw() as connection:
            known = {table: read_frame(connection, f"FROM {table.full_name}") for table in MIRRORED}
        with self.open_working() as connection:
            connection.execute("BEGIN")
            for table, rows in known.items():
                with temporary_view(connection, "mirrored_rows", rows):
                    connection.execute(f"DELETE FROM {table.full_name}")
                    connection.execute(f"INSERT OR REPLACE INTO {table.full_name} BY NAME SELECT * FROM mirrored_rows")
            connection.execute("COMMIT")

    def publish(self, log: Callable[[str], None]) -> int:
        """Swap in a copy."""
        if is_written_to(self.published):
            log(
                f"another program has {self.published} open for writing: it keeps the copy it has; let it close"
                " it, or what it writes from now on is read together with the new copy (open it read-only)"
            )
        self.close()
        return publish(self.working, self.published)

    def upkeep(self, *, keep_days: float, now: datetime) -> list[Size]:  # noqa: ARG002 - nothing of a file grows old
        """Nothing is due: DuckDB uses the space of what was replaced again."""
        files = [file for file in (self.working, self.raw, self.published) if file.exists()]
        return [Size(file.name, 1, file.stat().st_size) for file in files]

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep connections open between uses, for one run."""
        self._held = self._files()
        try:
            yield
        finally:
            self.close()
            self._held = None

    def close(self) -> None:
        """Close the connections held, so that the files can be copied or attached elsewhere."""
        if self._held:
            self._held.close()

    def _files(self) -> "_OpenFiles":
        return _OpenFiles(spilled=self.working.with_name(f"{self.working.name}.tmp"))

    @contextmanager
    def _opened(self, path: Path, tables: Iterable[Table]) -> Iterator[duckdb.DuckDBPyConnection]:
        files = self._held or self._files()
        with translate_errors(path):
            try:
                yield files.open(path, tables)
            except BaseException:
                files.close()  # what was not committed is undone
                raise
            if files is not self._held:
                files.close()


class _OpenFiles:
    """DuckDB with files attached to it, opened when they are first asked for; each has a connection of its own."""

    def __init__(self, spilled: Path) -> None:
        """Take the directory to which DuckDB writes what it may not hold."""
        self._config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": OF_FILES,
            "threads": min(_THREADS, os.cpu_count() or 1),
            "temp_directory": str(spilled),
        }
        self._engine: duckdb.DuckDBPyConnection | None = None
        self._connections: dict[Path, duckdb.DuckDBPyConnection] = {}

    def open(self, path: Path, tables: Iterable[Table]) -> duckdb.DuckDBPyConnection:
        """A connection to which the file is what names without a catalog mean; its tables made where they are missing."""
        if path not in self._connections:
            create(path)
            self._engine = self._engine or duckdb.connect(config=self._config)
            connection = self._connections[path] = self._engine.cursor()
            connection.execute(f"ATTACH {quoted(str(path))} AS {path.stem}")
            connection.execute(f"USE {path.stem}")
            make(connection, tables)
        return self._connections[path]

    def close(self) -> None:
        """Close every file, so that it can be copied or opened elsewhere."""
        while self._connections:
            self._connections.popitem()[1].close()
        if self._engine:
            self._engine.close()
        self._engine = None
