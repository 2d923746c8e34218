"""What DuckDB and the disk say, as one line with a remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from pipelines.errors import WarehouseError

_FAULTS_OF_FILES = (
    duckdb.IOException,
    duckdb.SerializationException,
    duckdb.FatalException,
    duckdb.OutOfMemoryException,  # nothing could be spilled to disk
)

_SIGNS_OF_DAMAGE = ("corrupt database file", "could not read enough bytes", "not a valid duckdb database file")


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Turn what DuckDB and the disk say into a `WarehouseError` of one line."""
    try:
        with translate_duckdb_errors(path):
            yield
    except OSError as error:
        raise WarehouseError(
            f"{error.filename or path}: {error.strerror}; free disk space or fix permissions"
        ) from None


@contextmanager
def translate_duckdb_errors(path: Path) -> Iterator[None]:
    """The same of DuckDB alone: for what also writes elsewhere, such as to a pipe that nobody reads any more."""
    try:
        yield
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        is_fault = isinstance(error, (*_FAULTS_OF_FILES, duckdb.TransactionException))
        if not is_fault and not said.lower().startswith(_SIGNS_OF_DAMAGE[0]):  # to that DuckDB 2 gives no class
            raise
        if isinstance(error, duckdb.TransactionException) and "Could not" not in said:
            raise  # two writers met; a commit that the disk refused says which file it could not write
        without_path = said.replace(str(path), "").lower()  # which may lie on /mnt/disk1, or in /home/sherlock
        if any(sign in without_path for sign in _SIGNS_OF_DAMAGE):
            said, remedy = "is damaged", "`livehouse doctor` says what to do"  # without the place: it differs each time
        elif (
            "no space left" in without_path or "disk" in without_path or isinstance(error, duckdb.OutOfMemoryException)
        ):
            remedy = "free some disk space and run again; what was published before stands"
        elif "lock on file" in without_path:
            said = said.partition(". See also")[0]
            remedy = "end the program that has this file open, or let it open warehouse.duckdb, read-only"
        else:
            remedy = "see `livehouse doctor`"
        raise WarehouseError(f"{path}: {said}; {remedy}") from None
