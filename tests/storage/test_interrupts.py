"""A signal during a query of DuckDB ends the run, and is not taken for the failure of a step."""

import time

import pytest

from tests.storage.conftest import Start

ENDLESS_QUERY = """
import signal, duckdb
from pipelines.storage.{module} import {translate}

class Interrupt(BaseException):
    "As Dagster's."

def interrupt(*_):
    raise Interrupt

signal.signal(signal.SIGTERM, interrupt)
try:
    with duckdb.connect(config={{"threads": 1}}) as connection, {translate}("address"):
        print("ready", flush=True)
        connection.execute("SELECT count(*) FROM range(1_000_000_000_000)")
except BaseException as error:
    print(type(error).__name__)
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("module", "translate"),
    [("duckdb_errors", "translate_errors"), ("ducklake_errors", "translate_lake_errors")],
)
def test_an_interrupt_is_not_replaced_by_an_error_of_duckdb(module: str, translate: str, start: Start) -> None:
    """Seen: a worker got SIGTERM, and its run was not retried, because a step had failed.

    With several threads, DuckDB calls the signal handler just as soon, but raises its error only when the other threads have
    ended their part of the query: this one would take hours.
    """
    if module == "ducklake_errors":
        pytest.importorskip("psycopg", reason="the extra `lakehouse` is not installed")
    process = start(ENDLESS_QUERY.format(module=module, translate=translate)).process
    time.sleep(0.1)
    process.terminate()
    assert process.communicate(timeout=20)[0] == "Interrupt\n"
