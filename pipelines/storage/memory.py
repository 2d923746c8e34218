"""Memory limits for DuckDB during a run: small by default, larger for the statements that need it."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import duckdb

_Result = TypeVar("_Result")

FILE_MEMORY_LIMIT = "160MB"
"""For a warehouse of files. DuckDB spills to disk beyond it. Polars and Python need memory on top."""

LAKEHOUSE_MEMORY_LIMIT = "256MB"
"""For a lakehouse, whose Parquet files DuckDB writes from memory."""

_RETRY_MEMORY_LIMIT = "1GB"
"""For statements that need more and cannot spill: a mart over years of sessions that is rebuilt, as after an update."""


def retry_with_more_memory(
    connection: duckdb.DuckDBPyConnection,
    operation: Callable[[duckdb.DuckDBPyConnection], _Result],
    *,
    begin_again: Callable[[duckdb.DuckDBPyConnection], None] | None = None,
) -> _Result:
    """Run the operation. If DuckDB runs out of memory, roll back, raise the connection's limit and run it once more.

    `begin_again` begins the transaction of the operation, if that does not begin one itself.
    """
    try:
        return operation(connection)
    except duckdb.OutOfMemoryException:
        with suppress(duckdb.Error):  # no transaction was open
            connection.rollback()
        connection.execute(f"SET memory_limit = '{_RETRY_MEMORY_LIMIT}'")
        if begin_again:
            begin_again(connection)
        return operation(connection)
