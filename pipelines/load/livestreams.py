"""Reads and confirms rows of core.livestreams, for every app in one query each. `days.py` replaces them."""

import duckdb
import polars as pl

from pipelines.catalog.core import LIVESTREAMS
from pipelines.catalog.ops import QUARANTINE
from pipelines.storage.frames import temporary_view, transaction_with_views

KEYS = {"app_id": pl.String(), "livestream_id": pl.String()}
"""Columns of frames that name livestreams."""


def quarantined_livestreams(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str | None]]:
    """Return, by app, the livestreams with a quarantined record; None: records without an id."""
    query = f"SELECT app_id, list(DISTINCT coalesce(record_id, '')) FROM {QUARANTINE.full_name} WHERE table_name = ? GROUP BY app_id"
    found = connection.execute(query, [LIVESTREAMS.full_name]).fetchall()
    return {app_id: [record_id or None for record_id in ids] for app_id, ids in found}


def count_others(connection: duckdb.DuckDBPyConnection, livestreams: pl.DataFrame) -> dict[str, int]:
    """Return, by app, the number of rows other than those of these livestreams. Columns: `app_id`, `livestream_id`."""
    query = f"""
        SELECT app_id, count(*) FROM {LIVESTREAMS.full_name} ANTI JOIN given_livestreams USING (app_id, livestream_id)
        GROUP BY app_id
    """
    with temporary_view(connection, "given_livestreams", livestreams):
        return dict(connection.execute(query).fetchall())


def confirm_livestreams(connection: duckdb.DuckDBPyConnection, received: pl.DataFrame) -> None:
    """Set when livestreams were first and last seen. Columns: `app_id`, `livestream_id`, `first_seen_at`, `last_seen_at`."""
    with transaction_with_views(connection, received_livestreams=received):
        connection.execute(
            f"""UPDATE {LIVESTREAMS.full_name} AS held
            SET first_seen_at = given.first_seen_at, last_seen_at = given.last_seen_at
            FROM received_livestreams AS given
            WHERE held.app_id = given.app_id AND held.livestream_id = given.livestream_id"""
        )
