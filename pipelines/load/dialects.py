"""Reads and writes ops.api_dialect: the dialect of each service, kept for the next run."""

from collections.abc import Sequence
from typing import Any

import duckdb
import polars as pl

from pipelines.catalog.ops import API_DIALECT
from pipelines.storage.frames import read_frame, temporary_view


def read_dialect(connection: duckdb.DuckDBPyConnection, base_url: str) -> list[dict[str, Any]]:
    """Return the rows of ops.api_dialect for an address, without the address."""
    query = f"SELECT * EXCLUDE (base_url) FROM {API_DIALECT.full_name} WHERE base_url = ?"
    return read_frame(connection, query, [base_url]).to_dicts()


def keep_dialect(connection: duckdb.DuckDBPyConnection, base_url: str, notes: Sequence[dict[str, Any]]) -> None:
    """Upsert rows of ops.api_dialect for an address."""
    rows = pl.DataFrame([note | {"base_url": base_url} for note in notes], schema=dict(API_DIALECT.polars_schema))
    with temporary_view(connection, "dialect_notes", rows):
        connection.execute(API_DIALECT.merge_sql("dialect_notes"))
