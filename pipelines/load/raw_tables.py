"""Reads raw records, purges them, and keeps the state of backfills. How records land: `raw_versions.py`.

The rules for values are in `normalize/coerce.py`.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import duckdb
import polars as pl

from pipelines.catalog.ops import BACKFILLS, LIVESTREAM_LISTS
from pipelines.catalog.raw import RAW_LIVESTREAM_ANALYTICS, RAW_LIVESTREAM_SESSIONS, RAW_LIVESTREAMS
from pipelines.catalog.types import Table
from pipelines.load.raw_versions import ARRIVED, last_landing
from pipelines.storage.frames import read_frame, temporary_view

_ARRIVED = ARRIVED.format(table="version")

_RESUMES_WITHIN = timedelta(days=3)
"""A backfill that was interrupted for longer starts from scratch: its replies are outdated."""


def read_versions_of_days(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    app_id: str,
    days: Sequence[date | None],
    *,
    stats: str | None,
) -> pl.DataFrame:
    """Return all versions of each record that has a version of one of these days (None: without a day)."""
    of_app = f"app_id = $app_id AND {'stats = $stats' if stats else '$stats IS NULL'}"
    of_days = "day IN (SELECT unnest($days::DATE[]))"
    # One query per condition: joined by OR, they would make DuckDB read the whole history.
    parts = [f"SELECT * FROM {table.full_name} WHERE {of_app} AND {of_days}"]
    if None in days:
        parts.append(f"SELECT * FROM {table.full_name} WHERE {of_app} AND day IS NULL")
    parameters = {"app_id": app_id, "days": [day for day in days if day], "stats": stats}
    versions = read_frame(connection, " UNION ALL ".join(parts), parameters)
    if not table.can_move_days:
        return versions
    # NULL: landed before this was noted, so there may be versions of several days.
    elsewhere = versions.filter(pl.col("days_differ").fill_null(value=True))[table.key[1]].unique().drop_nulls()
    if elsewhere.is_empty():
        return versions
    others = f"""
        SELECT * FROM {table.full_name} WHERE app_id = $app_id AND days_differ IS NOT FALSE
            AND {table.key[1]} IN (SELECT unnest($keys::VARCHAR[])) AND NOT coalesce({of_days}, $dayless)
    """
    elsewhere_too = {"app_id": app_id, "days": parameters["days"], "keys": elsewhere.to_list(), "dayless": None in days}
    return versions.vstack(read_frame(connection, others, elsewhere_too))


def rows_by_day(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    app_id: str,
    days: Sequence[date | None],
    *,
    stats: str | None,
) -> dict[date | None, int]:
    """Return the number of raw versions of each of these days of an app (None: without a day)."""
    of_app = f"app_id = $app_id AND {'stats = $stats' if stats else '$stats IS NULL'}"
    query = f"""
        SELECT day, count(*) FROM {table.full_name} WHERE {of_app} AND day IN (SELECT unnest($days::DATE[])) GROUP BY day
        UNION ALL
        SELECT NULL, count(*) FROM {table.full_name} WHERE {of_app} AND day IS NULL
    """
    parameters = {"app_id": app_id, "days": [day for day in days if day], "stats": stats}
    return dict(connection.execute(query, parameters).fetchall())


def read_listed(connection: duckdb.DuckDBPyConnection, app_id: str) -> pl.DataFrame:
    """Return the last received version of each livestream of an app; two if one list had two.

    `is_listed`: whether the last complete list of the app had it.
    """
    query = f"""
        SELECT version.*, coalesce(version.arrival > list.arrival, false) AS is_listed
        FROM {RAW_LIVESTREAMS.full_name} AS version LEFT JOIN {LIVESTREAM_LISTS.full_name} AS list USING (app_id)
        WHERE app_id = ? AND livestream_id IS NOT NULL
        QUALIFY {_ARRIVED} = max({_ARRIVED}) OVER (PARTITION BY livestream_id)
    """
    return read_frame(connection, query, [app_id])


def count_livestreams(connection: duckdb.DuckDBPyConnection, app_id: str) -> list[tuple[str | None, int]]:
    """Return the number of raw versions of each livestream of an app, by id; None: of records without an id."""
    query = (
        f"SELECT livestream_id, count(*) FROM {RAW_LIVESTREAMS.full_name} WHERE app_id = ? GROUP BY ALL ORDER BY ALL"
    )
    return connection.execute(query, [app_id]).fetchall()


def read_livestreams(
    connection: duckdb.DuckDBPyConnection, app_id: str, livestream_ids: Sequence[str | None]
) -> pl.DataFrame:
    """Return every raw version of some livestreams of an app; None: of records without an id."""
    of_ids = "livestream_id IN (SELECT unnest($ids::VARCHAR[])) OR ($nameless AND livestream_id IS NULL)"
    query = f"SELECT * FROM {RAW_LIVESTREAMS.full_name} WHERE app_id = $app_id AND ({of_ids})"
    ids = [livestream_id for livestream_id in livestream_ids if livestream_id is not None]
    parameters = {"app_id": app_id, "ids": ids, "nameless": None in livestream_ids}
    return read_frame(connection, query, parameters)


def purge_livestream_versions(connection: duckdb.DuckDBPyConnection, app_id: str, superseded: pl.DataFrame) -> None:
    """Delete versions of livestreams, which change with each session for years. Columns: `livestream_id`, `payload`."""
    with temporary_view(connection, "superseded_versions", superseded):
        connection.execute(
            f"DELETE FROM {RAW_LIVESTREAMS.full_name} WHERE app_id = ?"
            " AND (livestream_id, payload) IN (SELECT (livestream_id, payload) FROM superseded_versions)",
            [app_id],
        )


def read_sessions_of(connection: duckdb.DuckDBPyConnection, app_id: str, livestream_ids: Sequence[str]) -> pl.DataFrame:
    """Return every raw version of the sessions of some livestreams of an app."""
    query = f"""
        SELECT * FROM {RAW_LIVESTREAM_SESSIONS.full_name}
        WHERE app_id = $app_id AND livestream_id IN (SELECT unnest($ids::VARCHAR[]))
    """
    return read_frame(connection, query, {"app_id": app_id, "ids": list(livestream_ids)})


def read_day_versions(connection: duckdb.DuckDBPyConnection, table: Table, app_ids: Sequence[str]) -> pl.DataFrame:
    """Return when the newest version of each day of these apps last changed, and when it was last received.

    Columns: `app_id`; `day`; by the clock `changed_at`, `last_fetched_at`; by the number of the landing `changed_arrival`, `arrival`.
    """
    query = f"""
        SELECT
            app_id,
            day,
            arg_max(coalesce(changed_at, first_fetched_at), {_ARRIVED}) AS changed_at,
            arg_max(fetched_at, {_ARRIVED}) AS last_fetched_at,
            arg_max(coalesce(changed_arrival, 0), {_ARRIVED}) AS changed_arrival,
            coalesce(max(arrival), 0) AS arrival
        FROM {table.full_name} AS version WHERE app_id IN (SELECT unnest(?::VARCHAR[])) GROUP BY app_id, day
    """
    return read_frame(connection, query, [list(app_ids)])


def days_behind_sessions(
    connection: duckdb.DuckDBPyConnection, app_ids: Sequence[str], oldest: date
) -> dict[str, list[date]]:
    """Return, by app, the days since `oldest` whose sessions changed in a later run than the one that last fetched *overall*."""
    # A list of literals: joined to a subquery, a long history takes twice as long to read.
    apps = {f"app_{number}": app_id for number, app_id in enumerate(app_ids)}
    of_apps = f"app_id IN ({', '.join(f'${name}' for name in apps)})"
    query = f"""
        WITH sessions AS (
            SELECT app_id, day, max(changed_arrival) AS arrival, arg_max(changed_run_id, changed_arrival) AS run_id
            FROM {RAW_LIVESTREAM_SESSIONS.full_name}
            WHERE {of_apps} AND day >= $oldest AND changed_arrival IS NOT NULL GROUP BY app_id, day
        ),
        overall AS (
            SELECT app_id, day, max(coalesce(arrival, 0)) AS arrival, arg_max(run_id, coalesce(arrival, 0)) AS run_id
            FROM {RAW_LIVESTREAM_ANALYTICS.full_name} WHERE {of_apps} AND day >= $oldest GROUP BY app_id, day
        )
        SELECT app_id, list(day ORDER BY day) FROM sessions JOIN overall USING (app_id, day)
        WHERE sessions.arrival > overall.arrival AND sessions.run_id <> overall.run_id GROUP BY app_id
    """
    return dict(connection.execute(query, {"oldest": oldest, **apps}).fetchall())


def purge_before(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    app_id: str,
    days: Sequence[date],
    landing: int,
    unread: Sequence[str] = (),
) -> None:
    """Delete the versions of these days that no landing after `landing` received again, as `--allow-shrink` demands.

    Sessions of `unread` livestreams, which could not be fetched, are kept. So are figures of a day without a record in a
    later landing: the reply omitted the day, which does not mean that it was empty.
    """
    key = ", ".join(name for name in ("day", "stats") if name in table.column_names)
    of_answered = f"""
        AND ({key}) IN (SELECT ({key}) FROM {table.full_name} WHERE app_id = ? AND coalesce(arrival, 0) > ?)
    """
    of_others = "AND NOT coalesce(list_contains(?, livestream_id), false)" if unread else ""
    connection.execute(
        f"DELETE FROM {table.full_name} WHERE app_id = ? AND day IN (SELECT unnest(?::DATE[]))"
        f" AND coalesce(arrival, 0) <= ? {of_others} {of_answered if table.is_daily else ''}",
        [
            app_id,
            list(days),
            landing,
            *([list(unread)] if unread else []),
            *([app_id, landing] if table.is_daily else []),
        ],
    )


def begin_backfill(
    connection: duckdb.DuckDBPyConnection, app_ids: str, first: date, last: date, *, is_full: bool, now: datetime
) -> int | None:
    """Record the start of a backfill. Returns the last landing before its first start if it resumes; None if it is new."""
    connection.execute(
        f"DELETE FROM {BACKFILLS.full_name} WHERE started_at NOT BETWEEN ? AND ?",
        [now - _RESUMES_WITHIN, now + _RESUMES_WITHIN],
    )
    key = [app_ids, first, last, is_full]
    query = f"SELECT arrival FROM {BACKFILLS.full_name} WHERE (app_ids, first_day, last_day, is_full) = (?, ?, ?, ?)"
    for (arrival,) in connection.execute(query, key).fetchall():
        return int(arrival) if arrival is not None else None
    started_now = (
        "(SELECT ?::VARCHAR AS app_ids, ?::DATE AS first_day, ?::DATE AS last_day, ?::BOOLEAN AS is_full,"
        " ?::TIMESTAMP AS started_at, ?::BIGINT AS arrival)"
    )
    connection.execute(BACKFILLS.merge_sql(started_now), [*key, now, last_landing(connection)[0]])
    return None


def end_backfill(
    connection: duckdb.DuckDBPyConnection, app_ids: str, first: date, last: date, *, is_full: bool
) -> None:
    """Record that the backfill is complete: the next one with the same range fetches everything again."""
    connection.execute(
        f"DELETE FROM {BACKFILLS.full_name} WHERE (app_ids, first_day, last_day, is_full) = (?, ?, ?, ?)",
        [app_ids, first, last, is_full],
    )
