"""Limit the query of an alert rule: it only reads, and ends in time."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from pipelines.errors import LivehouseError, QueryError
from pipelines.telemetry.logs import log

QUERY_SECONDS = 30.0
"""The time that the query of one rule may take."""

INTERRUPTED_SECONDS = 60.0
"""How long an interrupted query may go on before the process is ended: a run that hangs would hold the lock for ever."""

LONGEST_ERROR = 400
"""Characters of DuckDB's message that are shown."""


@contextmanager
def limit_query(connection: duckdb.DuckDBPyConnection, rule_name: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a cursor that only reads, and whose queries are interrupted after `QUERY_SECONDS`.

    Raises `QueryError` for what the block raises about a query.
    """
    [(catalog,)] = connection.execute("SELECT current_database()").fetchall()
    cursor = connection.cursor()
    has_ended = threading.Event()
    watcher = threading.Thread(target=_interrupt, args=(cursor, has_ended, rule_name), daemon=True)
    watcher.start()
    try:
        cursor.execute(f'USE "{catalog}"')
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        yield cursor
    except duckdb.InterruptException:
        raise QueryError(f"sql was ended after {QUERY_SECONDS:g} s: let it read fewer rows") from None
    except LivehouseError as error:
        raise QueryError(f"sql: {error}") from None
    except duckdb.Error as error:
        raise QueryError(f"sql: {' '.join(str(error).split())[:LONGEST_ERROR]}") from None
    finally:
        has_ended.set()
        watcher.join()
        cursor.close()


def _interrupt(cursor: duckdb.DuckDBPyConnection, has_ended: threading.Event, rule_name: str) -> None:
    """Interrupt the query when its time is over, repeatedly: between two statements an interruption has no effect.

    DuckDB does not interrupt a single call, such as `levenshtein` of two long texts.
    """
    if has_ended.wait(QUERY_SECONDS):
        return
    ends = time.monotonic() + INTERRUPTED_SECONDS
    while time.monotonic() < ends:
        cursor.interrupt()
        if has_ended.wait(0.1):
            return
    log(
        f"livehouse: alert rule {rule_name}: its query cannot be interrupted, so the run was ended: change the rule",
        "error",
    )
    os._exit(1)
