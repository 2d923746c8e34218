"""Errors of DuckDB and the disk, translated into one line with a remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from pipelines.errors import WarehouseError

_FILE_ERRORS = (
    duckdb.IOException,
    duckdb.SerializationException,
    duckdb.FatalException,
    duckdb.OutOfMemoryException,  # DuckDB could not spill to disk
)

_DAMAGE_MESSAGES = ("corrupt database file", "could not read enough bytes", "not a valid duckdb database file")


@contextmanager
def translate_errors(path: Path) -> Iterator[None]:
    """Raise errors of DuckDB and of the disk as a `WarehouseError` of one line."""
    try:
        with translate_duckdb_errors(path):
            yield
    except OSError as error:
        raise WarehouseError(
            f"{error.filename or path}: {error.strerror}; free disk space or fix permissions"
        ) from None


@contextmanager
def raise_interrupts() -> Iterator[None]:
    """Raise the exception of a signal handler itself where DuckDB replaces it by an error of its own.

    Dagster takes that error for the failure of a step: it goes on with other steps, and `run_retries` does not start the
    run again. DuckDB raises it as soon as its other threads have ended their part of the query.
    """
    try:
        yield
    except RuntimeError as error:
        interrupt = error.__cause__
        if interrupt is None or isinstance(interrupt, Exception):
            raise
        raise interrupt from None


@contextmanager
def translate_duckdb_errors(path: Path) -> Iterator[None]:
    """Translate errors of DuckDB only: for code that also writes elsewhere, for example to a pipe that may be closed."""
    try:
        with raise_interrupts():
            yield
    except duckdb.Error as error:
        message = str(error).splitlines()[0]
        is_file_error = isinstance(error, (*_FILE_ERRORS, duckdb.TransactionException))
        if not is_file_error and not message.lower().startswith(_DAMAGE_MESSAGES[0]):  # DuckDB 2 gives it no class
            raise
        if isinstance(error, duckdb.TransactionException) and "Could not" not in message:
            raise  # a write conflict; a commit that the disk refused names the file that it could not write
        without_path = message.replace(str(path), "").lower()  # the path may contain "disk" or "lock": /mnt/disk1
        if any(sign in without_path for sign in _DAMAGE_MESSAGES):
            message, remedy = "is damaged", "run `livehouse doctor` to see what to do"  # the offset differs each time
        elif (
            "no space left" in without_path or "disk" in without_path or isinstance(error, duckdb.OutOfMemoryException)
        ):
            remedy = "free some disk space and run again; the published warehouse is unchanged"
        elif "lock on file" in without_path:
            message = message.partition(". See also")[0]
            remedy = "end the program that has this file open, or let it open warehouse.duckdb, read-only"
        else:
            remedy = "see `livehouse doctor`"
        raise WarehouseError(f"{path}: {message}; {remedy}") from None
