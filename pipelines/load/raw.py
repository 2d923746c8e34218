"""What was landed raw, read again, and what extraction remembers. How records land: `versions.py`.

No rule of value is here.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import duckdb
import polars as pl

from pipelines.load.frames import read_frame, registered
from pipelines.schema import Table
from pipelines.tables import BACKFILLS, LIVESTREAM_SYNC, SHRINKS
from pipelines.tables_raw import RAW_LIVESTREAM_SESSIONS, RAW_LIVESTREAMS

_GOES_ON_WITHIN = timedelta(days=3)
"""A backfill left for longer starts anew: what it asked then is no longer what the source says."""


def read_versions_of_days(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    app_id: str,
    days: Sequence[date | None],
    *,
    stats: str | None,
) -> pl.DataFrame:
    """Every version of each record that has a version of one of these days (None: of no day)."""
    of_app = f"app_id = $app_id AND {'stats = $stats' if stats else '$stats IS NULL'}"
    of_days = "day IN (SELECT unnest($days::DATE[]))"
    # Each condition by itself: joined by OR, they would make DuckDB read the whole history.
    parts = [f"SELECT * FROM {table.full_name} WHERE {of_app} AND {of_days}"]
    if None in days:
        parts.append(f"SELECT * FROM {table.full_name} WHERE {of_app} AND day IS NULL")
    parameters = {"app_id": app_id, "days": [day for day in days if day], "stats": stats}
    versions = pl.DataFrame(connection.sql(" UNION ALL ".join(parts), params=parameters))
    if "days_differ" not in table.column_names:
        return versions
    # NULL was landed before this was noted: it may be of several days.
    elsewhere = versions.filter(pl.col("days_differ").fill_null(value=True))[table.key[1]].unique().drop_nulls()
    if elsewhere.is_empty():
        return versions
    others = f"""
        SELECT * FROM {table.full_name} WHERE app_id = $app_id AND days_differ IS NOT FALSE
            AND {table.key[1]} IN (SELECT unnest($keys::VARCHAR[])) AND NOT coalesce({of_days}, $dayless)
    """
    elsewhere_too = {"app_id": app_id, "days": parameters["days"], "keys": elsewhere.to_list(), "dayless": None in days}
    return versions.vstack(pl.DataFrame(connection.sql(others, params=elsewhere_too)))


def rows_by_day(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    app_id: str,
    days: Sequence[date | None],
    *,
    stats: str | None,
) -> dict[date | None, int]:
    """How many versions raw holds of each of these days of an app (None: of no day)."""
    of_app = f"app_id = $app_id AND {'stats = $stats' if stats else '$stats IS NULL'}"
    query = f"""
        SELECT day, count(*) FROM {table.full_name} WHERE {of_app} AND day IN (SELECT unnest($days::DATE[])) GROUP BY day
        UNION ALL
        SELECT NULL, count(*) FROM {table.full_name} WHERE {of_app} AND day IS NULL
    """
    parameters = {"app_id": app_id, "days": [day for day in days if day], "stats": stats}
    return dict(connection.execute(query, parameters).fetchall())


def days_changed(
    connection: duckdb.DuckDBPyConnection, table: Table, app_id: str, run_id: str, since: datetime
) -> dict[date, datetime]:
    """When each day last had news, of the days that had any since a moment or by this run.

    News of this run are of the end of time, whatever the clock says. News that a run landed and did not live to
    load are told by their time: they are later than the load.
    """
    of_app = f"FROM {table.full_name} WHERE app_id = $app_id AND day IS NOT NULL"
    # Each condition by itself, for the same reason; the last is of what was landed before changes were noted.
    query = f"""
        SELECT day, max(news_at) FROM (
            SELECT day, changed_at AS news_at {of_app} AND changed_at >= $since
            UNION ALL
            SELECT day, TIMESTAMP '9999-12-31' AS news_at {of_app} AND changed_run_id = $run_id
            UNION ALL
            SELECT day, CASE WHEN run_id = $run_id THEN TIMESTAMP '9999-12-31' ELSE fetched_at END AS news_at
            {of_app} AND changed_at IS NULL AND (fetched_at >= $since OR run_id = $run_id)
        ) GROUP BY day
    """
    return dict(connection.execute(query, {"app_id": app_id, "run_id": run_id, "since": since}).fetchall())


def read_listed(connection: duckdb.DuckDBPyConnection, app_id: str) -> pl.DataFrame:
    """The versions of an app's livestreams that were last received, one each, unless a list held two."""
    query = f"""
        SELECT * FROM {RAW_LIVESTREAMS.full_name} WHERE app_id = ? AND livestream_id IS NOT NULL
        QUALIFY fetched_at = max(fetched_at) OVER (PARTITION BY livestream_id)
    """
    return read_frame(connection, query, [app_id])


def count_livestreams(connection: duckdb.DuckDBPyConnection, app_id: str) -> list[tuple[str | None, int]]:
    """How many versions raw holds of each livestream of an app, by id; None: of records that name none."""
    query = (
        f"SELECT livestream_id, count(*) FROM {RAW_LIVESTREAMS.full_name} WHERE app_id = ? GROUP BY ALL ORDER BY ALL"
    )
    return connection.execute(query, [app_id]).fetchall()


def read_livestreams(
    connection: duckdb.DuckDBPyConnection, app_id: str, livestream_ids: Sequence[str | None]
) -> pl.DataFrame:
    """Every version that is held of some livestreams of an app; None: of the records that name none."""
    of_ids = "livestream_id IN (SELECT unnest($ids::VARCHAR[])) OR ($nameless AND livestream_id IS NULL)"
    query = f"SELECT * FROM {RAW_LIVESTREAMS.full_name} WHERE app_id = $app_id AND ({of_ids})"
    ids = [livestream_id for livestream_id in livestream_ids if livestream_id is not None]
    parameters = {"app_id": app_id, "ids": ids, "nameless": None in livestream_ids}
    return pl.DataFrame(connection.sql(query, params=parameters))


def forget_livestream_versions(connection: duckdb.DuckDBPyConnection, app_id: str, superseded: pl.DataFrame) -> None:
    """Drop versions of livestreams, which change with each session for years: `livestream_id`, `payload`."""
    with registered(connection, "superseded_versions", superseded):
        connection.execute(
            f"DELETE FROM {RAW_LIVESTREAMS.full_name} WHERE app_id = ?"
            " AND (livestream_id, payload) IN (SELECT (livestream_id, payload) FROM superseded_versions)",
            [app_id],
        )


def read_sessions_of(connection: duckdb.DuckDBPyConnection, app_id: str, livestream_ids: Sequence[str]) -> pl.DataFrame:
    """Read every version of the sessions of some livestreams of an app."""
    query = f"""
        SELECT * FROM {RAW_LIVESTREAM_SESSIONS.full_name}
        WHERE app_id = $app_id AND livestream_id IN (SELECT unnest($ids::VARCHAR[]))
    """
    return pl.DataFrame(connection.sql(query, params={"app_id": app_id, "ids": list(livestream_ids)}))


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
    """Rows of ops.shrinks: sessions that a later, complete answer about their livestream no longer had.

    One that moved to another day is still returned there.
    """
    query = f"""
        SELECT app_id, 'core.livestream_sessions' AS table_name, max(day) AS day, session_id AS record_id,
            'the source no longer returns it; the older row stands' AS reason,
            max(fetched_at) AS fetched_at, $run_id AS run_id
        FROM {RAW_LIVESTREAM_SESSIONS.full_name} AS session
        JOIN {LIVESTREAM_SYNC.full_name} AS sync USING (app_id, livestream_id)
        WHERE app_id = $app_id AND sync.complete AND session_id IS NOT NULL
            AND day IN (SELECT unnest($days::DATE[])) AND days_differ IS NOT TRUE
        GROUP BY app_id, session_id HAVING max(fetched_at) < max(synced_at)
    """
    parameters = {"app_id": app_id, "run_id": run_id, "days": [day for day in days if day]}
    return pl.DataFrame(connection.sql(query, params=parameters)).cast(pl.Schema(SHRINKS.polars_schema))


def note_unread(
    connection: duckdb.DuckDBPyConnection,
    app_id: str,
    livestream_ids: Sequence[str],
    reasons: Sequence[str],
    now: datetime,
) -> None:
    """Record livestreams whose sessions could not be read. What is known of them from before stays known."""
    unread = (
        "(SELECT $app_id AS app_id, unnest($ids::VARCHAR[]) AS livestream_id, NULL::TIMESTAMP AS upstream_updated_at,"
    )
    unread += " NULL::TIMESTAMP AS synced_at, false AS complete, $now::TIMESTAMP AS failed_at, unnest($reasons::VARCHAR[]) AS failure)"
    kept = {name: f"held.{name}" for name in ("upstream_updated_at", "synced_at", "complete")}
    parameters = {"app_id": app_id, "ids": list(livestream_ids), "reasons": list(reasons), "now": now}
    connection.execute(LIVESTREAM_SYNC.merge_sql(unread, **kept), parameters)


def forget_before(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    app_id: str,
    days: Sequence[date],
    moment: datetime,
    unread: Sequence[str] = (),
) -> None:
    """Drop the versions of these days that were not received again since: what `--allow-shrink` asks for.

    Sessions of livestreams that are `unread`, since they could not be fetched, stay.
    """
    of_others = "AND NOT coalesce(list_contains(?, livestream_id), false)" if unread else ""
    connection.execute(
        f"DELETE FROM {table.full_name} WHERE app_id = ? AND day IN (SELECT unnest(?::DATE[])) AND fetched_at < ? {of_others}",
        [app_id, list(days), moment, *([list(unread)] if unread else [])],
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
