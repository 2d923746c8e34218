"""Records into raw: every distinct version once, with when it was first and last received, and when it was last news.

The history is long and a batch is small: the held versions of a batch's records are found once, by a digest of their key,
told apart by a digest of their payload, and only those rows are written. Neither ids nor payloads of the history are read.
Two records whose keys have the same digest would be looked at together and each be kept: nothing is taken for another.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

import duckdb
import polars as pl

from pipelines.catalog.ops import FIELD_TYPES, LANDINGS, LIVESTREAM_SYNC
from pipelines.catalog.types import Table
from pipelines.storage.frames import temporary_view

_CLOCKS_DIFFER = timedelta(minutes=10)
"""How much the clocks of machines that share a warehouse may differ before it is reported."""

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
"""Of what was landed before they were noted."""

_KNOWN = """
    CREATE OR REPLACE TEMP TABLE known AS
    SELECT
        held.rowid AS held_row, landing.rowid AS landing_row,
        coalesce(held.digest = landing.digest, false) AS is_same,
        -- a version that is received again after another one was is news, as it was the first time
        is_same AND ({arrived} < max({arrived}) OVER (PARTITION BY landing_row) {is_of_another_day}) AS came_back
    FROM {table} AS held JOIN landing ON held.key_digest = landing.key_digest
"""
_ARRIVED = "row(coalesce(held.arrival, 0), held.fetched_at)"
"""What orders the versions of a record by when each was last received: landings, and before they were numbered, clocks."""

_OF_ANOTHER_DAY = "OR (landing.day IS NOT NULL AND held.day IS DISTINCT FROM landing.day)"
"""A clock that was wrong made a time look impossible, and so the session dayless."""

_RECEIVED_AGAIN = """
    UPDATE {table} AS held SET
        fetched_at = again.fetched_at, run_id = again.run_id, arrival = again.arrival {day},
        -- it cannot have been received, or been news, later than now: heals what a clock that was ahead wrote
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
    SELECT app_id, session_id, max(changed_at) AS changed_at, any_value(run_id) AS run_id, max(arrival) AS arrival
    FROM (
        SELECT app_id, session_id, day, changed_at, run_id, arrival FROM news
        UNION ALL
        SELECT news.app_id, news.session_id, held.day, news.changed_at, news.run_id, news.arrival
        FROM news JOIN known USING (landing_row) JOIN {table} AS held ON held.rowid = held_row
    ) GROUP BY app_id, session_id
    HAVING min(coalesce(day, DATE '0001-01-01')) <> max(coalesce(day, DATE '0001-01-01'))
"""
_MARK_MOVED = """
    UPDATE {table} AS held SET
        days_differ = true, changed_at = moved.changed_at, changed_run_id = moved.run_id, changed_arrival = moved.arrival
    FROM moved WHERE held.app_id = moved.app_id AND held.session_id = moved.session_id
"""


class Landed(NamedTuple):
    """What became of a batch."""

    new: int
    """Versions that were not held before."""
    repeated: int
    """Records that said again what was known."""
    number: int
    """Of this landing: the later it is, the greater."""


def land(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    batch: pl.DataFrame,
    types: pl.DataFrame,
    synced: pl.DataFrame | None = None,
) -> Landed:
    """Land a batch, and what it makes known of livestreams, in one transaction that gets the next number of all landings.

    `synced` rows without an arrival get that number.
    """
    distinct = batch.unique([*table.key, "payload"], keep="last", maintain_order=True)
    named = {
        "table": table.full_name,
        "key_digest": _KEY_DIGEST.format(names=", ".join(table.key)),
        "arrived": _ARRIVED,
        "is_of_another_day": _OF_ANOTHER_DAY if table.can_move_days else "",
        "day": ", day = coalesce(again.day, held.day)" if table.can_move_days else "",
    }

    def run(statement: str) -> int:
        changed = connection.execute(statement.format_map(named)).fetchall()
        return int(changed[0][0]) if changed else 0

    with temporary_view(connection, "landing_batch", distinct), temporary_view(connection, "seen_types", types):
        connection.execute("BEGIN")
        number, landed_at = last_landing(connection)
        if landed_at is None:
            [(landed_at,)] = connection.execute(f"SELECT max(fetched_at) FROM {table.full_name}").fetchall()
        number += 1
        # A clock that went back must not make news look old: a day would count as settled.
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
        repeated, new = run(_RECEIVED_AGAIN), run(_RECEIVED_FIRST)
        if table.can_move_days and run(_MOVED):
            run(_MARK_MOVED)
        connection.execute(_UPSERT_TYPES)
        if synced is not None:
            numbered = synced.with_columns(pl.col("arrival").fill_null(number))
            with temporary_view(connection, "synced_livestreams", numbered):
                connection.execute(_UPSERT_SYNC)
        connection.execute("COMMIT")
    return Landed(new, repeated + batch.height - distinct.height, number)


def describe_future(landed_at: datetime | None, now: datetime) -> str | None:
    """Return one line about answers that were received in the future; None where there are none."""
    if landed_at is None or landed_at <= now + _CLOCKS_DIFFER:
        return None
    return (
        f"raw holds answers received at {landed_at:%Y-%m-%d %H:%M} UTC, which is in the future: the clock of a machine was"
        f" ahead, or this one ({now:%Y-%m-%d %H:%M} UTC) is behind; the order of landing decides, but set the clock"
    )


def last_landing(connection: duckdb.DuckDBPyConnection) -> tuple[int, datetime | None]:
    """Return the number of the last landing, 0 before the first, and the latest time at which an answer was received."""
    query = f"SELECT number, landed_at FROM {LANDINGS.full_name} WHERE name = '{_LANDING}'"
    for number, landed_at in connection.execute(query).fetchall():
        return int(number), landed_at
    return 0, None
