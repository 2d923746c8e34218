"""Raw records in and out of `pipeline_raw.duckdb`, and what extraction remembers. No rule of value is here.

Every distinct version of a record is kept once, with when it was first and last received.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import duckdb
import polars as pl

from pipelines.load.frames import read_frame, registered
from pipelines.schema import Table
from pipelines.tables import (
    BACKFILLS,
    FIELD_TYPES,
    LIVESTREAM_SYNC,
    RAW_LIVESTREAM_SESSIONS,
    RAW_LIVESTREAMS,
    SHRINKS,
)

_UPSERT_SYNC = LIVESTREAM_SYNC.merge_sql("synced_livestreams")
_UPSERT_TYPES = FIELD_TYPES.merge_sql(
    "seen_types", records="held.records + given.records", first_seen_at="held.first_seen_at"
)

_GOES_ON_WITHIN = timedelta(days=3)
"""A backfill left for longer starts anew: what it asked then is no longer what the source says."""


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
    keys = list(table.key)
    distinct = batch.unique([*keys, "payload"], keep="last", maintain_order=True)
    same = " AND ".join(f"held.{name} IS NOT DISTINCT FROM landing.{name}" for name in [*keys, "payload"])
    with registered(connection, "landing_batch", distinct), registered(connection, "seen_types", types):
        connection.execute("BEGIN")
        connection.execute("CREATE OR REPLACE TEMP TABLE landing AS SELECT * FROM landing_batch")
        repeated = connection.execute(
            f"UPDATE {table.full_name} AS held SET fetched_at = landing.fetched_at, run_id = landing.run_id"
            f" FROM landing WHERE {same}"
        ).fetchall()
        inserted = connection.execute(
            f"INSERT INTO {table.full_name} BY NAME SELECT * FROM landing"
            f" WHERE NOT EXISTS (FROM {table.full_name} AS held WHERE {same})"
        ).fetchall()
        connection.execute(_UPSERT_TYPES)
        if synced is not None:
            with registered(connection, "synced_livestreams", synced):
                connection.execute(_UPSERT_SYNC)
        connection.execute("COMMIT")
    return int(inserted[0][0]), int(repeated[0][0]) + batch.height - distinct.height


def read_versions_of_days(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    app_id: str,
    days: Sequence[date | None],
    *,
    stats: str | None,
) -> pl.DataFrame:
    """Every version of each record that has a version of one of these days (None: of no day)."""
    key = table.key[1]
    part = "AND stats = $stats" if stats else "AND $stats IS NULL"
    where = f"app_id = $app_id AND (day IN (SELECT unnest($days::DATE[])) OR ($dayless AND day IS NULL)) {part}"
    parameters = {
        "app_id": app_id,
        "days": [day for day in days if day],
        "dayless": None in days,
        "stats": stats,
    }
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE wanted AS SELECT DISTINCT " + key + f" FROM {table.full_name} WHERE {where}",
        parameters,
    )
    other_days = f"OR (app_id = $app_id AND {key} IN (FROM wanted)) {part}" if key != "day" else ""
    return pl.DataFrame(
        connection.sql(f"SELECT * FROM {table.full_name} WHERE ({where}) {other_days}", params=parameters)
    )


def rows_by_day(connection: duckdb.DuckDBPyConnection, table: Table, app_id: str) -> dict[date | None, int]:
    """How many versions raw holds of each day of an app."""
    query = f"SELECT day, count(*) FROM {table.full_name} WHERE app_id = ? GROUP BY day"
    return dict(connection.execute(query, [app_id]).fetchall())


def days_changed(connection: duckdb.DuckDBPyConnection, table: Table, app_id: str, run_id: str) -> dict[date, datetime]:
    """When each day last had news, on every day that a version of a record names.

    News of this run are of the end of time, whatever the clock says. News that a run landed and did not live to
    load are told by their time: they are later than the load. A version that came back is news too.
    """
    key = table.key[1]
    query = f"""
        SELECT held.day, max(changed_at) FROM {table.full_name} AS held JOIN (
            SELECT {key}, CASE
                WHEN bool_or(run_id = $run_id AND first_fetched_at = fetched_at) THEN TIMESTAMP '9999-12-31'
                WHEN arg_max(first_fetched_at, fetched_at) < max(first_fetched_at) THEN max(fetched_at)
                ELSE max(first_fetched_at) END AS changed_at
            FROM {table.full_name} WHERE app_id = $app_id GROUP BY {key}
        ) AS news USING ({key})
        WHERE held.app_id = $app_id AND held.day IS NOT NULL GROUP BY held.day
    """
    return dict(connection.execute(query, {"app_id": app_id, "run_id": run_id}).fetchall())


def read_livestreams(connection: duckdb.DuckDBPyConnection, app_id: str) -> pl.DataFrame:
    """Every version of the livestreams of an app."""
    return read_frame(connection, f"SELECT * FROM {RAW_LIVESTREAMS.full_name} WHERE app_id = ?", [app_id])


def read_sync(connection: duckdb.DuckDBPyConnection, app_id: str) -> pl.DataFrame:
    """Of which livestreams of an app the sessions are known."""
    return read_frame(connection, f"SELECT * FROM {LIVESTREAM_SYNC.full_name} WHERE app_id = ?", [app_id])


def read_day_versions(connection: duckdb.DuckDBPyConnection, table: Table, app_id: str) -> pl.DataFrame:
    """When the newest answer about each day was first and last received: `day`, `changed_at`, `asked_at`."""
    query = f"""
        SELECT day, max(fetched_at) AS asked_at, arg_max(first_fetched_at, fetched_at) AS changed_at
        FROM {table.full_name} WHERE app_id = ? GROUP BY day
    """
    return read_frame(connection, query, [app_id])


def vanished_sessions(
    connection: duckdb.DuckDBPyConnection, app_id: str, days: Sequence[date | None], run_id: str
) -> pl.DataFrame:
    """Rows of ops.shrinks: sessions that a later, complete answer about their livestream no longer had."""
    query = f"""
        SELECT app_id, 'core.livestream_sessions' AS table_name, max(day) AS day, session_id AS record_id,
            'the source no longer returns it; the older row stands' AS reason,
            max(fetched_at) AS fetched_at, $run_id AS run_id
        FROM {RAW_LIVESTREAM_SESSIONS.full_name} AS session
        JOIN {LIVESTREAM_SYNC.full_name} AS sync USING (app_id, livestream_id)
        WHERE app_id = $app_id AND sync.complete AND session_id IS NOT NULL
            AND day IN (SELECT unnest($days::DATE[]))
        GROUP BY app_id, session_id HAVING max(fetched_at) < max(synced_at)
    """
    parameters = {"app_id": app_id, "run_id": run_id, "days": [day for day in days if day]}
    return pl.DataFrame(connection.sql(query, params=parameters)).cast(pl.Schema(SHRINKS.polars_schema))


def forget_before(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    app_id: str,
    first: date,
    last: date,
    moment: datetime,
) -> None:
    """Drop the versions of these days that were not received again since: what `--allow-shrink` asks for."""
    connection.execute(
        f"DELETE FROM {table.full_name} WHERE app_id = ? AND day BETWEEN ? AND ? AND fetched_at < ?",
        [app_id, first, last, moment],
    )


def begin_backfill(
    connection: duckdb.DuckDBPyConnection, app_ids: str, first: date, last: date, *, is_full: bool, now: datetime
) -> datetime:
    """When this backfill was first started: now, or earlier if it was killed before it finished."""
    connection.execute(f"DELETE FROM {BACKFILLS.full_name} WHERE started_at < ?", [now - _GOES_ON_WITHIN])
    started_now = (
        "(SELECT ?::VARCHAR AS app_ids, ?::DATE AS first_day, ?::DATE AS last_day, ?::BOOLEAN AS is_full,"
        " ?::TIMESTAMP AS started_at)"
    )
    key = [app_ids, first, last, is_full]
    connection.execute(BACKFILLS.merge_sql(started_now, started_at="held.started_at"), [*key, now])
    query = f"SELECT started_at FROM {BACKFILLS.full_name} WHERE (app_ids, first_day, last_day, is_full) = (?, ?, ?, ?)"
    started: datetime = connection.execute(query, key).fetchall()[0][0]
    return started


def end_backfill(
    connection: duckdb.DuckDBPyConnection, app_ids: str, first: date, last: date, *, is_full: bool
) -> None:
    """Note that the backfill is whole: started again, it asks anew."""
    connection.execute(
        f"DELETE FROM {BACKFILLS.full_name} WHERE (app_ids, first_day, last_day, is_full) = (?, ?, ?, ?)",
        [app_ids, first, last, is_full],
    )
