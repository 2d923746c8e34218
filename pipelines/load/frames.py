"""Frames from polars to DuckDB and back, without pyarrow. Nothing else belongs here."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import polars as pl


class _ArrowStream:
    """Offers only the Arrow stream of a frame: DuckDB would ask for pyarrow if it saw a polars frame."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


@contextmanager
def registered(connection: duckdb.DuckDBPyConnection, name: str, frame: pl.DataFrame) -> Iterator[None]:
    """Offer the frame as a view of that name. It must not be a table's or a column's name, which would win."""
    connection.register(name, _ArrowStream(frame))
    try:
        yield
    finally:
        connection.unregister(name)


def read_frame(connection: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | None = None) -> pl.DataFrame:
    """Run a query and return its result."""
    return pl.DataFrame(connection.sql(query, params=parameters or []))
