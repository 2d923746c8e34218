"""Keeps the state of livestreams: which are listed, and for which the sessions are known, failed or given up.

It commits with the raw records, since it decides what the next run fetches.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import duckdb
import polars as pl

from pipelines.catalog.ops import LIVESTREAM_LISTS, LIVESTREAM_SYNC, SHRINKS
from pipelines.catalog.raw import RAW_LIVESTREAMS
from pipelines.storage.frames import read_frame, transaction_with_views


def read_sync(connection: duckdb.DuckDBPyConnection, app_id: str) -> pl.DataFrame:
    """Return the rows of ops.livestream_sync of an app."""
    return read_frame(connection, f"SELECT * FROM {LIVESTREAM_SYNC.full_name} WHERE app_id = ?", [app_id])


def note_unread(
    connection: duckdb.DuckDBPyConnection,
    app_id: str,
    livestream_ids: Sequence[str],
    reasons: Sequence[str],
    now: datetime,
) -> None:
    """Record livestreams whose sessions could not be read. Their earlier state is kept."""
    unread = """(
        SELECT $app_id AS app_id, unnest($ids::VARCHAR[]) AS livestream_id, NULL::TIMESTAMP AS upstream_updated_at,
            NULL::TIMESTAMP AS synced_at, false AS complete, NULL::TIMESTAMP AS given_up_at, $now::TIMESTAMP AS failed_at,
            unnest($reasons::VARCHAR[]) AS failure
    )"""
    kept = {
        name: f"held.{name}" for name in ("upstream_updated_at", "synced_at", "complete", "arrival", "previous_arrival")
    }
    parameters = {"app_id": app_id, "ids": list(livestream_ids), "reasons": list(reasons), "now": now}
    connection.execute(LIVESTREAM_SYNC.merge_sql(unread, **kept), parameters)


def note_given_up(
    connection: duckdb.DuckDBPyConnection, app_id: str, livestream_ids: Sequence[str], now: datetime
) -> None:
    """Flag exactly the livestreams whose unfinished sessions are not fetched any more."""
    connection.execute(
        f"""UPDATE {LIVESTREAM_SYNC.full_name}
        SET given_up_at = CASE WHEN list_contains($ids::VARCHAR[], livestream_id) THEN $now::TIMESTAMP END
        WHERE app_id = $app_id AND (given_up_at IS NOT NULL) <> list_contains($ids::VARCHAR[], livestream_id)""",
        {"app_id": app_id, "ids": list(livestream_ids), "now": now},
    )


def note_lists(connection: duckdb.DuckDBPyConnection, lists: Sequence[Mapping[str, object]]) -> None:
    """Record the lists of livestreams that were read completely: rows of ops.livestream_lists without `previous_arrival`."""
    rows = pl.DataFrame(lists, schema=dict(LIVESTREAM_LISTS.polars_schema))
    with transaction_with_views(connection, complete_lists=rows):
        connection.execute(LIVESTREAM_LISTS.merge_sql("complete_lists", previous_arrival="held.arrival"))


def livestreams_missing_upstream(
    connection: duckdb.DuckDBPyConnection, app_ids: Sequence[str], run_id: str
) -> pl.DataFrame:
    """Return rows of ops.shrinks for livestreams that are missing from the last complete list of their app.

    `run_id` is set for those that this run misses first: they were in the list before, or the list is empty.
    """
    query = f"""
        SELECT list.app_id, 'core.livestreams' AS table_name, NULL::DATE AS day, livestream_id AS record_id,
            CASE WHEN list.livestreams = 0 THEN 'the list of livestreams is empty; the older row is kept'
                ELSE 'no longer listed; the older row is kept' END AS reason,
            max(fetched_at) AS fetched_at,
            CASE WHEN list.livestreams = 0 OR max(coalesce(stream.arrival, 0)) > list.previous_arrival
                OR list.previous_arrival IS NULL THEN $run_id END AS run_id
        FROM {RAW_LIVESTREAMS.full_name} AS stream JOIN {LIVESTREAM_LISTS.full_name} AS list USING (app_id)
        WHERE list_contains($apps::VARCHAR[], app_id) AND livestream_id IS NOT NULL
        GROUP BY list.app_id, livestream_id, list.livestreams, list.arrival, list.previous_arrival
        HAVING max(coalesce(stream.arrival, 0)) <= list.arrival
    """
    found = read_frame(connection, query, {"apps": list(app_ids), "run_id": run_id})
    return found.cast(pl.Schema(SHRINKS.polars_schema))
