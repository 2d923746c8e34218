"""Records into raw: every distinct version once, with when it was first and last received, and when it was last news.

The history is long and a batch is small: the held versions of a batch's records are found once, by a digest of their key,
told apart by a digest of their payload, and only those rows are written. Neither ids nor payloads of the history are read.
Two records whose keys have the same digest would be looked at together and each be kept: nothing is taken for another.
"""

import duckdb
import polars as pl

from pipelines.load.frames import registered
from pipelines.schema import Table
from pipelines.tables import FIELD_TYPES, LIVESTREAM_SYNC
from pipelines.tables_raw import RAW_LIVESTREAM_SESSIONS

_UPSERT_SYNC = LIVESTREAM_SYNC.merge_sql("synced_livestreams")
_UPSERT_TYPES = FIELD_TYPES.merge_sql(
    "seen_types", records="held.records + given.records", first_seen_at="held.first_seen_at"
)

_KEY_DIGEST = "(md5_number_lower(concat_ws(chr(31), {names})) >> 1)::BIGINT"
"""No id holds a control character."""

_NOTE_KEYS = "UPDATE {table} SET key_digest = {key_digest} WHERE key_digest IS NULL"
"""Of what was landed before they were noted."""

_KNOWN = """
    CREATE OR REPLACE TEMP TABLE known AS
    SELECT
        held.rowid AS held_row, landing.rowid AS landing_row,
        coalesce(held.digest = landing.digest, false) AS is_same,
        -- a version that is received again after another one was is news, as it was the first time
        is_same AND held.fetched_at < max(held.fetched_at) OVER (PARTITION BY landing_row) AS came_back
    FROM {table} AS held JOIN landing ON held.key_digest = landing.key_digest
"""
_RECEIVED_AGAIN = """
    UPDATE {table} AS held SET
        fetched_at = again.fetched_at, run_id = again.run_id,
        changed_at = CASE WHEN again.came_back THEN again.fetched_at ELSE held.changed_at END,
        changed_run_id = CASE WHEN again.came_back THEN again.run_id ELSE held.changed_run_id END
    FROM (
        SELECT held_row, came_back, landing.fetched_at, landing.run_id
        FROM known JOIN landing ON landing.rowid = landing_row WHERE is_same
    ) AS again
    WHERE held.rowid = again.held_row
"""
_RECEIVED_FIRST = """
    INSERT INTO {table} BY NAME
    SELECT * FROM landing WHERE landing.rowid NOT IN (SELECT landing_row FROM known WHERE is_same)
"""
_MOVED = """
    CREATE OR REPLACE TEMP TABLE moved AS
    WITH news AS (
        SELECT *, rowid AS landing_row FROM landing
        WHERE session_id IS NOT NULL
            AND landing.rowid NOT IN (SELECT landing_row FROM known WHERE is_same AND NOT came_back)
    )
    SELECT app_id, session_id, max(fetched_at) AS fetched_at, any_value(run_id) AS run_id
    FROM (
        SELECT app_id, session_id, day, fetched_at, run_id FROM news
        UNION ALL
        SELECT news.app_id, news.session_id, held.day, news.fetched_at, news.run_id
        FROM news JOIN known USING (landing_row) JOIN {table} AS held ON held.rowid = held_row
    ) GROUP BY app_id, session_id
    HAVING min(coalesce(day, DATE '0001-01-01')) <> max(coalesce(day, DATE '0001-01-01'))
"""
_MARK_MOVED = """
    UPDATE {table} AS held SET days_differ = true, changed_at = moved.fetched_at, changed_run_id = moved.run_id
    FROM moved WHERE held.app_id = moved.app_id AND held.session_id = moved.session_id
"""


def land(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    batch: pl.DataFrame,
    types: pl.DataFrame,
    synced: pl.DataFrame | None = None,
) -> tuple[int, int]:
    """Land a batch, and what it makes known of livestreams, in one transaction.

    Returns how many versions were new, and how many records said again what was known.
    """
    distinct = batch.unique([*table.key, "payload"], keep="last", maintain_order=True)
    named = {"table": table.full_name, "key_digest": _KEY_DIGEST.format(names=", ".join(table.key))}

    def run(statement: str) -> int:
        changed = connection.execute(statement.format_map(named)).fetchall()
        return int(changed[0][0]) if changed else 0

    with registered(connection, "landing_batch", distinct), registered(connection, "seen_types", types):
        connection.execute("BEGIN")
        run("CREATE OR REPLACE TEMP TABLE landing AS SELECT * REPLACE ({key_digest} AS key_digest) FROM landing_batch")
        run(_NOTE_KEYS)
        run(_KNOWN)
        repeated, new = run(_RECEIVED_AGAIN), run(_RECEIVED_FIRST)
        if table is RAW_LIVESTREAM_SESSIONS and run(_MOVED):
            run(_MARK_MOVED)
        connection.execute(_UPSERT_TYPES)
        if synced is not None:
            with registered(connection, "synced_livestreams", synced):
                connection.execute(_UPSERT_SYNC)
        connection.execute("COMMIT")
    return new, repeated + batch.height - distinct.height
