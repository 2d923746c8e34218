"""Errors of a lakehouse, which DuckDB, PostgreSQL, S3 or the disk raise, translated into one line with a remedy."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from pipelines.errors import WarehouseError
from pipelines.storage.duckdb_errors import raise_interrupts
from pipelines.storage.postgres import Catalog

_CONFLICT_MESSAGES = ("transaction conflict", "maximum retry count", "could not serialize")
"""DuckLake's messages after another commit: to the same table, repeatedly, or at the same moment."""

_CONNECTION_LOST_MESSAGES = (
    "server closed the connection",
    "terminating connection",
    "connection to server",
    "no connection to the server",
)
"""Parts of the message of a DuckDB error, of any class, after the connection to PostgreSQL was lost."""

_STORAGE_ERRORS = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException)
"""DuckDB's errors that the disk, S3 or memory cause, also during a commit."""

_UNREADABLE_FILE = re.compile(
    r"\.parquet.*(No such file|404|too small to be a Parquet file)"
    r"|(No such file|404|[Ff]ooter length|[Mm]agic bytes|too small to be a Parquet file).*\.parquet",
    re.DOTALL,
)
"""Messages about a file that the catalog names, and that the disk or S3 does not have, or only in part."""


def is_unreadable_file(error: BaseException) -> bool:
    """Whether a file of a table is missing or incomplete."""
    return isinstance(error, duckdb.Error) and _UNREADABLE_FILE.search(str(error)) is not None


def is_conflict(error: BaseException) -> bool:
    """Whether another commit came first, so that running the transaction again can succeed."""
    message = str(error).lower()
    return isinstance(error, duckdb.Error) and any(text in message for text in _CONFLICT_MESSAGES)


@contextmanager
def translate_lake_errors(address: str, *catalogs: Catalog) -> Iterator[None]:
    """Raise errors as a `WarehouseError` of one line, without the passwords of the catalogs. Conflicts pass unchanged."""
    import psycopg

    try:
        with raise_interrupts():
            yield
    except (duckdb.Error, psycopg.Error) as error:
        is_lost = any(text in str(error) for text in _CONNECTION_LOST_MESSAGES)
        is_unreadable = is_unreadable_file(error)
        is_known = is_lost or is_unreadable or isinstance(error, (*_STORAGE_ERRORS, psycopg.Error))
        if is_conflict(error) or not is_known:
            raise
        message = "lost the connection to PostgreSQL" if is_lost else f"{error}".splitlines()[0]
        remedy = "check that PostgreSQL and the location of the files can be reached, then run again"
        if "permission denied" in message:
            remedy = "grant this role the missing privileges, as deploy/postgres/roles.sql does"
        elif is_unreadable:
            remedy = "restore it from a backup, or let `livehouse mend` rebuild its rows; `livehouse doctor` names the tables"
        for catalog in catalogs:
            message = catalog.mask_password(message)
        raise WarehouseError(f"{address}: {message}; {remedy}") from None
