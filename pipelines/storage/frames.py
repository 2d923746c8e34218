"""Frames from polars to DuckDB and back, without pyarrow. Nothing else belongs here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import duckdb
import polars as pl

# DuckDB tries to import pandas for each day that is bound, and pyarrow for each frame; Python searches every directory
# each time: of a year's days that was most of what a small query cost. None here says at once that it is not there.
for _absent in ("pandas", "pyarrow"):
    if find_spec(_absent) is None:
        sys.modules.setdefault(_absent, None)  # type: ignore[arg-type]  # what Python's import system documents


class _ArrowStream:
    """Offers only the Arrow stream of a frame: DuckDB would ask for pyarrow if it saw a polars frame."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._frame.__arrow_c_stream__(requested_schema)


@contextmanager
def temporary_view(connection: duckdb.DuckDBPyConnection, name: str, frame: pl.DataFrame) -> Iterator[None]:
    """Offer the frame as a view of that name. It must not be a table's or a column's name, which would win."""
    connection.register(name, _ArrowStream(frame))
    try:
        yield
    finally:
        connection.unregister(name)


def read_frame(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: list[Any] | dict[str, Any] | None = None
) -> pl.DataFrame:
    """Run a query and return its result."""
    return pl.DataFrame(connection.sql(query, params=parameters or []))
