"""The files of the warehouse: where they are, how they are opened, what must be in them.

`pipeline_raw.duckdb` and `pipeline.duckdb` are the pipeline's own, written by one process at a time; readers
get `warehouse.duckdb`, a finished copy (see `publish.py`). Opening a file costs more than most of what is done
with it: a run, which has the house to itself, keeps its connections (`hold`).
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb

from pipelines.errors import WarehouseError
from pipelines.schema import SQL_TYPES, Table
from pipelines.tables import RAW_FILE, WAREHOUSE_FILE

MEMORY_LIMIT = "384MB"
"""What DuckDB may hold; beyond it spills to disk. Polars' and Python's own share comes on top."""

OTHER_NAME = ".livehouse-"
"""How directories begin in which the readers' copy has another name, while `livehouse sql` reads it."""

STORAGE_VERSION = "v1.5.0"
"""In which format files are made. A newer DuckDB would make files that readers with an older one cannot open."""


class Warehouse:
    """The three files that lie side by side, and the lock beside them."""

    def __init__(self, published: Path) -> None:
        """Take the path readers open; the pipeline's own files lie beside it."""
        self.published = published
        self.directory = published.parent
        self.working = self.directory / "pipeline.duckdb"
        self.raw = self.directory / "pipeline_raw.duckdb"
        self.lock = self.directory / "pipeline.lock"
        self._held: dict[Path, duckdb.DuckDBPyConnection] | None = None
        # DuckDB calls a file's catalog by its stem: `core.duckdb` would make `core.livestreams` ambiguous.
        if published.stem.lower() in (
            "pipeline",
            "pipeline_raw",
            "pipeline_live",
            *(table.schema for table in WAREHOUSE_FILE),
            "marts",
        ):
            raise WarehouseError(f"LIVEHOUSE_WAREHOUSE cannot be named {published.name}: livehouse uses that name")

    def prepare(self) -> None:
        """Make the directory, and see that raw is not gone from under a warehouse made of it."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WarehouseError(f"{self.directory} cannot be made: {error.strerror}") from None
        if not os.access(self.directory, os.W_OK):
            raise WarehouseError(f"{self.directory} is not writable: change its permissions or LIVEHOUSE_HOME")
        if self.working.exists() and not self.raw.exists():
            raise WarehouseError(
                f"{self.raw} is missing, and {self.working.name} was made of it: bring it back from a backup,"
                f" or move {self.working.name} away too and backfill again"
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

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep connections open between uses, for one run."""
        self._held = {}
        try:
            yield
        finally:
            self.close()
            self._held = None

    def close(self) -> None:
        """Close the connections held, so that the files can be copied or attached elsewhere."""
        while self._held:
            self._held.popitem()[1].close()

    @contextmanager
    def _opened(self, path: Path, tables: Iterable[Table]) -> Iterator[duckdb.DuckDBPyConnection]:
        held = self._held if self._held is not None else {}
        with explained(path):
            if path not in held:
                held[path] = _connect(path, tables)
            try:
                yield held[path]
            except BaseException:
                if path in held:
                    held.pop(path).close()  # what was not committed is undone
                raise
            if self._held is None:
                held.pop(path).close()


_FAULTS_OF_FILES = (
    duckdb.IOException,
    duckdb.SerializationException,
    duckdb.FatalException,
    duckdb.OutOfMemoryException,  # nothing could be spilled to disk
)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what DuckDB and the disk say into a `WarehouseError` of one line."""
    try:
        yield
    except (*_FAULTS_OF_FILES, duckdb.TransactionException) as error:
        said = str(error).splitlines()[0]
        if isinstance(error, duckdb.TransactionException) and "Could not" not in said:
            raise  # two writers met; a commit that the disk refused says which file it could not write
        without_path = said.replace(str(path), "").lower()  # which may lie on /mnt/disk1, or in /home/sherlock
        if "no space left" in without_path or "disk" in without_path or isinstance(error, duckdb.OutOfMemoryException):
            remedy = "free some disk space and run again; what was published before stands"
        elif "lock" in without_path:
            remedy = "end the program that has this file open; others read warehouse.duckdb"
        else:
            remedy = "see `livehouse doctor`"
        raise WarehouseError(f"{path}: {said}; {remedy}") from None
    except OSError as error:
        raise WarehouseError(
            f"{error.filename or path}: {error.strerror}; free disk space or fix permissions"
        ) from None


def _connect(path: Path, tables: Iterable[Table]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(path, config={"storage_compatibility_version": STORAGE_VERSION})
    try:
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        _make(connection, tables)
    except BaseException:
        connection.close()
        raise
    return connection


def _make(connection: duckdb.DuckDBPyConnection, tables: Iterable[Table]) -> None:
    """Bring the schema up to date: missing tables and columns are added, nothing is ever dropped."""
    there = {
        (schema, table, column)
        for schema, table, column in connection.execute(
            "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE NOT internal"
        ).fetchall()
    }
    missing = [t for t in tables if any((t.schema, t.name, c.name) not in there for c in t.columns)]
    if not missing:
        return
    connection.execute("BEGIN")
    for table in missing:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.schema}")
        connection.execute(table.create_sql)
        connection.execute(f"COMMENT ON TABLE {table.full_name} IS {_quoted(table.meaning)}")
        for column in table.columns:
            connection.execute(
                f"ALTER TABLE {table.full_name} ADD COLUMN IF NOT EXISTS {column.name} {SQL_TYPES[column.kind]}"
            )
            connection.execute(f"COMMENT ON COLUMN {table.full_name}.{column.name} IS {_quoted(column.meaning)}")
    connection.execute("COMMIT")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def open_published(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the readers' copy, read-only, shut off from every other file."""
    if not path.exists():
        raise WarehouseError(f"{path} does not exist: nothing was published yet; run `livehouse nightly`")
    with explained(path), _without_log(path) as alone:
        connection = duckdb.connect(alone, read_only=True, config={"enable_external_access": "false"})
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET lock_configuration = true")
            yield connection
        finally:
            connection.close()


@contextmanager
def _without_log(path: Path) -> Iterator[Path]:
    """Another name of the file, where a log lies beside it.

    The log is somebody's who writes into the copy he has, perhaps one that was replaced long ago: DuckDB would
    replay it into this one. It follows symbolic links to find the log, but cannot follow a hard one.
    """
    if not path.with_name(f"{path.name}.wal").exists():
        yield path
        return
    with ExitStack() as undone:
        try:
            directory = tempfile.TemporaryDirectory(prefix=OTHER_NAME, dir=path.parent)
            alias = Path(undone.enter_context(directory)) / path.name
            alias.hardlink_to(path)
        except OSError:  # a directory that only others may write to
            alias = path
        yield alias
