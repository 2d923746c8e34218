"""Lands records in raw tables: every distinct version once, with its first and last receipt and its last change.

The history is long and a batch is small. The held versions of the records in a batch are found once, by a digest of the key,
and distinguished by a digest of the payload; only those rows are written. Neither ids nor payloads of the history are read.
Records whose keys share a digest are compared with each other, and each is kept.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

import duckdb
import polars as pl

from pipelines.catalog.ops import FIELD_TYPES, LANDINGS, LIVESTREAM_SYNC
from pipelines.catalog.types import Table
from pipelines.storage.frames import temporary_view, transaction_with_views

_CLOCKS_DIFFER = timedelta(minutes=10)
"""The clocks of machines that share a warehouse may differ by this much before it is reported."""

_LANDING = "landing"
_UPSERT_SYNC = LIVESTREAM_SYNC.merge_sql(
    "synced_livestreams", previous_arrival="held.arrival", given_up_at="held.given_up_at"
)
_UPSERT_LANDING = LANDINGS.merge_sql(
    f"(SELECT '{_LANDING}' AS name, $number::BIGINT AS number, $landed_at::TIMESTAMP AS landed_at)"
)
_UPSERT_TYPES = FIELD_TYPES.merge_sql(
    "seen_types", records="held.records + given.records", first_seen_at="held.first_seen_at"
)

_KEY_DIGEST = "(md5_number_lower(concat_ws(chr(31), {names})) >> 1)::BIGINT"
"""No id holds a control character."""

_NOTE_KEYS = "UPDATE {table} SET key_digest = {key_digest} WHERE key_digest IS NULL"
"""Sets the digest of rows that were landed before it was noted."""

_KNOWN = """
    CREATE OR REPLACE TEMP TABLE known AS
    SELECT
        held.rowid AS held_row, landing.rowid AS landing_row,
        coalesce(held.digest = landing.digest, false) AS is_same,
        -- a version that is received again after a different one is a change, as it was the first time
        is_same AND ({arrived} < max({arrived}) OVER (PARTITION BY landing_row) {is_of_another_day}) AS came_back
    FROM {table} AS held JOIN landing ON held.key_digest = landing.key_digest
"""
ARRIVED = "row(coalesce({table}.arrival, 0), {table}.fetched_at)"
"""Sort key of versions by their last receipt: the landing, and for rows from before landings were numbered, the time."""

_OF_ANOTHER_DAY = "OR (landing.day IS NOT NULL AND held.day IS DISTINCT FROM landing.day)"
"""A wrong clock had made the session's times implausible, so it had no day."""

_RECEIVED_AGAIN = """
    UPDATE {table} AS held SET
        fetched_at = again.fetched_at, run_id = again.run_id, arrival = again.arrival {day},
        -- neither can be later than this receipt: repairs times written by a clock that was ahead
        first_fetched_at = least(held.first_fetched_at, again.fetched_at),
        changed_at = CASE
            WHEN again.came_back THEN again.changed_at WHEN held.changed_at > again.changed_at THEN again.changed_at
            ELSE held.changed_at
        END,
        changed_run_id = CASE WHEN again.came_back THEN again.run_id ELSE held.changed_run_id END,
        changed_arrival = CASE WHEN again.came_back THEN again.arrival ELSE held.changed_arrival END
    FROM (
        SELECT held_row, came_back, landing.*
        FROM known JOIN landing ON landing.rowid = landing_row WHERE is_same
    ) AS again
    WHERE held.rowid = again.held_row
"""
_IS_NEW = "landing.rowid NOT IN (SELECT landing_row FROM known WHERE is_same)"
_COUNT_NEW = f"SELECT app_id, count(*) FROM landing WHERE {_IS_NEW} GROUP BY app_id"
_RECEIVED_FIRST = f"INSERT INTO {{table}} BY NAME SELECT * FROM landing WHERE {_IS_NEW}"
_MOVED = """
    CREATE OR REPLACE TEMP TABLE moved AS
    WITH changed AS (
        SELECT *, rowid AS landing_row FROM landing
        WHERE session_id IS NOT NULL
            AND landing.rowid NOT IN (SELECT landing_row FROM known WHERE is_same AND NOT came_back)
    )
    SELECT app_id, session_id, max(changed_at) AS changed_at, any_value(run_id) AS run_id, max(arrival) AS arrival
    FROM (
        SELECT app_id, session_id, day, changed_at, run_id, arrival FROM changed
        UNION ALL
        SELECT changed.app_id, changed.session_id, held.day, changed.changed_at, changed.run_id, changed.arrival
        FROM changed JOIN known USING (landing_row) JOIN {table} AS held ON held.rowid = held_row
    ) GROUP BY app_id, session_id
    HAVING min(coalesce(day, DATE '0001-01-01')) <> max(coalesce(day, DATE '0001-01-01'))
"""
_MARK_MOVED = """
    UPDATE {table} AS held SET
        days_differ = true, changed_at = moved.changed_at, changed_run_id = moved.run_id, changed_arrival = moved.arrival
    FROM moved WHERE held.app_id = moved.app_id AND held.session_id = moved.session_id
"""


class Landed(NamedTuple):
    """The result of landing a batch."""

    number: int
    """Number of this landing. Numbers increase with every landing."""
    new_by_app: dict[str, int]
    """Versions that raw did not have before, of each app that has any. All other records equal a known version."""


def land(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    batch: pl.DataFrame,
    types: pl.DataFrame,
    synced: pl.DataFrame | None = None,
) -> Landed:
    """Land a batch and rows of ops.livestream_sync in one transaction, which gets the next landing number.

    Rows of `synced` without an arrival get that number. `types`: rows of ops.field_types.
    """
    distinct = batch.unique([*table.key, "payload"], keep="last", maintain_order=True)
    named = {
        "table": table.full_name,
        "key_digest": _KEY_DIGEST.format(names=", ".join(table.key)),
        "arrived": ARRIVED.format(table="held"),
        "is_of_another_day": _OF_ANOTHER_DAY if table.can_move_days else "",
        "day": ", day = coalesce(again.day, held.day)" if table.can_move_days else "",
    }

    def run(statement: str) -> int:
        changed = connection.execute(statement.format_map(named)).fetchall()
        return int(changed[0][0]) if changed else 0

    with transaction_with_views(connection, landing_batch=distinct, seen_types=types):
        number, landed_at = last_landing(connection)
        if landed_at is None:
            [(landed_at,)] = connection.execute(f"SELECT max(fetched_at) FROM {table.full_name}").fetchall()
        number += 1
        # A clock that was set back must not make a change look old: its day would count as settled.
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE landing AS SELECT * REPLACE (
                {named["key_digest"]} AS key_digest, $number::BIGINT AS arrival, $number::BIGINT AS changed_arrival,
                greatest(changed_at, $landed_at::TIMESTAMP) AS changed_at
            ) FROM landing_batch""",
            {"number": number, "landed_at": landed_at},
        )
        latest = max((at for at in (landed_at, batch["fetched_at"].max()) if isinstance(at, datetime)), default=None)
        connection.execute(_UPSERT_LANDING, {"number": number, "landed_at": latest})
        run(_NOTE_KEYS)
        run(_KNOWN)
        run(_RECEIVED_AGAIN)
        new_by_app = dict(connection.execute(_COUNT_NEW).fetchall())
        if new_by_app:
            run(_RECEIVED_FIRST)
        if table.can_move_days and run(_MOVED):
            run(_MARK_MOVED)
        connection.execute(_UPSERT_TYPES)
        if synced is not None:
            numbered = synced.with_columns(pl.col("arrival").fill_null(number))
            with temporary_view(connection, "synced_livestreams", numbered):
                connection.execute(_UPSERT_SYNC)
    return Landed(number, new_by_app)


def describe_future(landed_at: datetime | None, now: datetime) -> str | None:
    """Return a line about replies that were received in the future; None without any."""
    if landed_at is None or landed_at <= now + _CLOCKS_DIFFER:
        return None
    return (
        f"raw has replies received at {landed_at:%Y-%m-%d %H:%M} UTC, which is in the future: the clock of a machine was"
        f" ahead, or this one ({now:%Y-%m-%d %H:%M} UTC) is behind; the order of landing decides, but set the clock"
    )


def last_landing(connection: duckdb.DuckDBPyConnection) -> tuple[int, datetime | None]:
    """Return the number of the last landing (0 before the first) and the latest time of receipt."""
    query = f"SELECT number, landed_at FROM {LANDINGS.full_name} WHERE name = '{_LANDING}'"
    for number, landed_at in connection.execute(query).fetchall():
        return int(number), landed_at
    return 0, None
