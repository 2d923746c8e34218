"""How much memory DuckDB may take of a run: little, and more where the work cannot do with that."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import duckdb

_Result = TypeVar("_Result")

OF_FILES = "160MB"
"""What DuckDB may hold of a warehouse of files; beyond it spills to disk. Polars' and Python's own share comes on top."""

OF_A_LAKEHOUSE = "256MB"
"""What it may hold of a lakehouse, whose Parquet files it writes from memory."""

_MORE = "1GB"
"""For what can neither do with that nor spill: a mart over years of sessions that is made anew, as after an update."""


def retry_with_more_memory(
    connection: duckdb.DuckDBPyConnection, body: Callable[[duckdb.DuckDBPyConnection], _Result]
) -> _Result:
    """Run it; where that takes more memory than DuckDB has, undone and once more with a gigabyte, which it then keeps."""
    try:
        return body(connection)
    except duckdb.OutOfMemoryException:
        with suppress(duckdb.Error):  # where nothing was begun
            connection.rollback()
        connection.execute(f"SET memory_limit = '{_MORE}'")
        return body(connection)
