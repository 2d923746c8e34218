"""Writes ops.audits."""

from collections.abc import Mapping

import duckdb
import polars as pl

from pipelines.catalog.ops import AUDITS
from pipelines.storage.frames import temporary_view


def note_audit(connection: duckdb.DuckDBPyConnection, audit: Mapping[str, object]) -> None:
    """Upsert the result of an audit, by run and app."""
    rows = pl.DataFrame([dict(audit)], schema=dict(AUDITS.polars_schema))
    with temporary_view(connection, "finished_audit", rows):
        connection.execute(AUDITS.merge_sql("finished_audit"))
