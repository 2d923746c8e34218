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
