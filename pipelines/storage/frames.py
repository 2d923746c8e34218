"""Polars frames in and out of DuckDB, without pyarrow. Nothing else belongs here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    import polars as pl

# DuckDB tries to import pandas for each date that is bound, and pyarrow for each frame. When they are missing, Python
# searches every directory each time: that took most of the time of a small query bound to a year of days. None in
# sys.modules makes the import fail at once.
for _absent in ("pandas", "pyarrow"):
    if find_spec(_absent) is None:
        sys.modules.setdefault(_absent, None)  # type: ignore[arg-type]  # what Python's import system documents


class _ArrowStream:
    """Exposes only the Arrow stream of a frame: given a polars frame, DuckDB imports pyarrow."""

    def __init__(self, frame: "pl.DataFrame") -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


@contextmanager
def temporary_view(connection: duckdb.DuckDBPyConnection, name: str, frame: "pl.DataFrame") -> Iterator[None]:
    """Register the frame as a view. The name must not be that of a table or column, which would take precedence."""
    connection.register(name, _ArrowStream(frame))
    try:
        yield
    finally:
        connection.unregister(name)


@contextmanager
def transaction_with_views(connection: duckdb.DuckDBPyConnection, **frames: "pl.DataFrame") -> Iterator[None]:
    """Run a transaction in which frames are views, by name. An error leaves it open: the caller rolls back or closes.

    On a lakehouse, registering a view and removing it outside of a transaction costs four transactions in PostgreSQL.
    """
    connection.begin()
    for name, frame in frames.items():
        connection.register(name, _ArrowStream(frame))
    yield
    for name in frames:
        connection.unregister(name)
    connection.commit()


def read_frame(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | dict[str, Any] | None = None
) -> "pl.DataFrame":
    """Run a query and return its result as a frame."""
    import polars as pl

    return pl.DataFrame(connection.sql(query, params=parameters or []))
