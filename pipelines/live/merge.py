"""core.live_observations: observations merged into it, thinned as they age, never doubled.

Merging commits here first, and only then are the rows dropped where they came from: killed in between, the next
merge finds them by their key and passes them over.

Thinning keeps the last row of each minute and, of days older than a setting, the first and the last of each hour: so what
was watched around a full hour stays in its own hour. The counters add up, so what is dropped between two rows changes no total. Three things must survive it: where a session begins, where
its seconds went back, and where nobody looked for longer than `GAP`. So a session's first row is kept, and both
rows beside a fall or a gap; and a row that follows dropped ones says so (`is_thinned`): the long way back from
it to the row before is no gap.
"""

from datetime import date, datetime, timedelta
from typing import Literal

import duckdb
import polars as pl

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.catalog.ops import DAYS, QUARANTINE
from pipelines.storage.frames import temporary_view

GAP = "INTERVAL 5 MINUTE"
"""Observations further apart leave open how many watched in a minute between them: that is unknown, not
interpolated. Looks come every minute; one may fail, and a run keeps them off for a few. sql/marts/live_audience.sql
has the same figure."""

_TABLE = LIVE_OBSERVATIONS.full_name
_LEDGER = DAYS.full_name

_THIN = f"""
    CREATE OR REPLACE TEMP TABLE thinned AS
    WITH looked AS (
        SELECT
            *,
            coalesce(NOT is_thinned AND observed_at - lag(observed_at) OVER feed > {GAP}, true) AS after_gap,
            after_gap OR viewer_seconds < lag(viewer_seconds) OVER feed AS is_edge
        FROM {_TABLE}
        WHERE app_id = $app_id AND day BETWEEN $day::DATE - 1 AND $day::DATE + 1
        WINDOW feed AS (PARTITION BY livestream_id, session_id, viewer_seconds IS NULL ORDER BY observed_at)
    ),
    marked AS (
        SELECT
            *,
            is_edge
            OR coalesce(lead(is_edge) OVER feed, true)
            OR date_trunc($bucket, observed_at) <> date_trunc($bucket, lead(observed_at) OVER feed)
            OR $bucket = 'hour' AND date_trunc('hour', observed_at) <> date_trunc('hour', lag(observed_at) OVER feed)
            OR day <> $day AS is_kept
        FROM looked
        WINDOW feed AS (PARTITION BY livestream_id, session_id, viewer_seconds IS NULL ORDER BY observed_at)
    )
    SELECT * REPLACE (NOT after_gap AND (is_thinned OR NOT lag(is_kept) OVER feed) AS is_thinned)
    FROM marked
    WINDOW feed AS (PARTITION BY livestream_id, session_id, viewer_seconds IS NULL ORDER BY observed_at)
"""


def merge_day(
    connection: duckdb.DuckDBPyConnection,
    app_id: str,
    day: date,
    *,
    rows: pl.DataFrame,
    by_hour: bool,
    run_id: str,
    now: datetime,
) -> int:
    """Add these observations of a day, thin it, note it in ops.days; or change nothing. Returns how many were new."""
    same = " AND ".join(f"held.{name} = given.{name}" for name in LIVE_OBSERVATIONS.key)
    names = ", ".join(name for name in LIVE_OBSERVATIONS.column_names if name in rows.columns)
    with temporary_view(connection, "new_observations", rows):
        connection.execute("BEGIN")
        inserted = connection.execute(
            f"INSERT INTO {_TABLE} BY NAME SELECT {names}, $day::DATE AS day, false AS is_thinned"
            " FROM new_observations AS given"
            f" WHERE NOT EXISTS (FROM {_TABLE} AS held WHERE held.day = $day AND {same})",
            {"day": day},
        ).fetchall()[0][0]
        if inserted or by_hour:
            thin(connection, app_id, day, bucket="minute")
        if by_hour:
            thin(connection, app_id, day, bucket="hour")
        if inserted or by_hour:
            _note_day(connection, app_id, day, run_id=run_id, now=now)
        connection.execute("COMMIT")
    return int(inserted)


def thin(connection: duckdb.DuckDBPyConnection, app_id: str, day: date, *, bucket: Literal["minute", "hour"]) -> None:
    """Keep the last row of each session and minute (or the first and last of each hour) of a day. Within a transaction of the caller."""
    names = ", ".join(LIVE_OBSERVATIONS.column_names)
    connection.execute(_THIN, {"app_id": app_id, "day": day, "bucket": bucket})
    connection.execute(f"DELETE FROM {_TABLE} WHERE app_id = ? AND day = ?", [app_id, day])
    connection.execute(
        f"INSERT INTO {_TABLE} BY NAME SELECT {names} FROM thinned WHERE is_kept AND day = ?"
        " ORDER BY livestream_id, observed_at",
        [day],
    )


def _note_day(connection: duckdb.DuckDBPyConnection, app_id: str, day: date, *, run_id: str, now: datetime) -> None:
    """Make marts build the day again, and the days beside it: audience at midnight is told by rows on both sides."""
    connection.execute(
        DAYS.merge_sql(f"""(
        SELECT $table_name AS table_name, $app_id AS app_id, $day::DATE AS day, count(*) AS row_count,
            true AS is_known, $now::TIMESTAMP AS loaded_at, $run_id AS run_id, NULL::BIGINT AS arrival
        FROM {_TABLE} WHERE app_id = $app_id AND day = $day)"""),
        {"table_name": _TABLE, "app_id": app_id, "day": day, "now": now, "run_id": run_id},
    )
    connection.execute(
        f"UPDATE {_LEDGER} SET loaded_at = ? WHERE table_name = ? AND app_id = ? AND day IN (?, ?)",
        [now, _TABLE, app_id, day - timedelta(days=1), day + timedelta(days=1)],
    )


def days_to_thin(
    connection: duckdb.DuckDBPyConnection, app_id: str, *, observation_days: int, now: datetime
) -> list[date]:
    """Days that are old enough to be kept by the hour, and were last written when they were not."""
    query = f"""
        SELECT day FROM {_LEDGER}
        WHERE table_name = ? AND app_id = ? AND day < ? AND loaded_at < day + to_days(? + 1) ORDER BY day
    """
    oldest = oldest_by_minute(observation_days, now)
    found = connection.execute(query, [_TABLE, app_id, oldest, observation_days]).fetchall()
    return [day for (day,) in found]


def oldest_by_minute(observation_days: int, now: datetime) -> date:
    """First day whose observations are kept by the minute."""
    return now.date() - timedelta(days=observation_days)


def replace_rejects(connection: duckdb.DuckDBPyConnection, app_id: str, rejects: pl.DataFrame, run_id: str) -> None:
    """Make ops.quarantine hold exactly these records that were seen on air and that no rule takes."""
    given = rejects.with_columns(pl.lit(run_id).alias("run_id"))
    with temporary_view(connection, "seen_rejects", given):
        connection.execute("BEGIN")
        connection.execute(f"DELETE FROM {QUARANTINE.full_name} WHERE app_id = ? AND table_name = ?", [app_id, _TABLE])
        connection.execute(f"INSERT INTO {QUARANTINE.full_name} BY NAME SELECT * FROM seen_rejects")
        connection.execute("COMMIT")
