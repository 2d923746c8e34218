"""core.live_observations: merges staged observations, and thins them as they age.

The merge commits here before the staged rows are marked as merged. A run killed in between merges them again, and their
key keeps them from being stored twice.

Thinning keeps the last row of each minute and, on days older than a setting, the first and the last row of each hour, so
that viewing around a full hour stays in its own hour. The figures are running totals: dropping a row between two others
changes no total. Three things must survive: the start of a session, a fall of its seconds, and a gap in polling
longer than `MAX_GAP`. So the first row of a session is kept, and both rows beside a fall or a gap. A row that follows dropped
ones is marked (`is_thinned`): its distance to the row before is no gap.
"""

from datetime import date, datetime, timedelta
from typing import Literal

import duckdb
import polars as pl

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.catalog.ops import DAYS, QUARANTINE
from pipelines.live.observations import MAX_GAP
from pipelines.storage.frames import temporary_view

_GAP = f"to_minutes({MAX_GAP // timedelta(minutes=1)})"
_TABLE = LIVE_OBSERVATIONS.full_name
_LEDGER = DAYS.full_name

_THIN = f"""
    CREATE OR REPLACE TEMP TABLE thinned AS
    WITH edges AS (
        SELECT
            *,
            coalesce(NOT is_thinned AND observed_at - lag(observed_at) OVER session_rows > {_GAP}, true) AS after_gap,
            after_gap OR viewer_seconds < lag(viewer_seconds) OVER session_rows AS is_edge
        FROM {_TABLE}
        WHERE app_id = $app_id AND day BETWEEN $day::DATE - 1 AND $day::DATE + 1
        WINDOW session_rows AS (PARTITION BY livestream_id, session_id, viewer_seconds IS NULL ORDER BY observed_at)
    ),
    marked AS (
        SELECT
            *,
            is_edge
            OR coalesce(lead(is_edge) OVER session_rows, true)
            OR date_trunc($bucket, observed_at) <> date_trunc($bucket, lead(observed_at) OVER session_rows)
            OR $bucket = 'hour' AND date_trunc('hour', observed_at) <> date_trunc('hour', lag(observed_at) OVER session_rows)
            OR day <> $day AS is_kept
        FROM edges
        WINDOW session_rows AS (PARTITION BY livestream_id, session_id, viewer_seconds IS NULL ORDER BY observed_at)
    )
    SELECT * REPLACE (NOT after_gap AND (is_thinned OR NOT lag(is_kept) OVER session_rows) AS is_thinned)
    FROM marked
    WINDOW session_rows AS (PARTITION BY livestream_id, session_id, viewer_seconds IS NULL ORDER BY observed_at)
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
    """Insert the observations of a day, thin the day, and record it in ops.days, in one transaction.

    `rows` are rows of raw.live_observations. Returns the number of rows inserted.
    """
    is_same_row = " AND ".join(f"held.{name} = given.{name}" for name in LIVE_OBSERVATIONS.key)
    names = ", ".join(name for name in LIVE_OBSERVATIONS.column_names if name in rows.columns)
    with temporary_view(connection, "new_observations", rows):
        connection.execute("BEGIN")
        inserted = connection.execute(
            f"INSERT INTO {_TABLE} BY NAME SELECT {names}, $day::DATE AS day, false AS is_thinned"
            " FROM new_observations AS given"
            f" WHERE NOT EXISTS (FROM {_TABLE} AS held WHERE held.day = $day AND {is_same_row})",
            {"day": day},
        ).fetchall()[0][0]
        if inserted or by_hour:
            thin(connection, app_id, day, bucket="minute")
        if by_hour:
            thin(connection, app_id, day, bucket="hour")
        if inserted or by_hour:
            _record_day(connection, app_id, day, run_id=run_id, now=now)
        connection.execute("COMMIT")
    return int(inserted)


def thin(connection: duckdb.DuckDBPyConnection, app_id: str, day: date, *, bucket: Literal["minute", "hour"]) -> None:
    """Keep the last row of each session and minute (or the first and last of each hour) of a day.

    Runs in the transaction of the caller.
    """
    names = ", ".join(LIVE_OBSERVATIONS.column_names)
    connection.execute(_THIN, {"app_id": app_id, "day": day, "bucket": bucket})
    connection.execute(f"DELETE FROM {_TABLE} WHERE app_id = ? AND day = ?", [app_id, day])
    connection.execute(
        f"INSERT INTO {_TABLE} BY NAME SELECT {names} FROM thinned WHERE is_kept AND day = ?"
        " ORDER BY livestream_id, observed_at",
        [day],
    )


def _record_day(connection: duckdb.DuckDBPyConnection, app_id: str, day: date, *, run_id: str, now: datetime) -> None:
    """Record the day as changed. The mart of audiences itself names the neighbouring days that this affects."""
    connection.execute(
        DAYS.merge_sql(
            f"""(
        SELECT $table_name AS table_name, $app_id AS app_id, $day::DATE AS day, count(*) AS row_count,
            true AS is_known, $now::TIMESTAMP AS loaded_at, $run_id AS run_id, NULL::BIGINT AS arrival
        FROM {_TABLE} WHERE app_id = $app_id AND day = $day)""",
            **dict.fromkeys(("unread_livestreams", "inputs_digest", "rows_digest"), "NULL"),
        ),
        {"table_name": _TABLE, "app_id": app_id, "day": day, "now": now, "run_id": run_id},
    )


def find_days_to_thin(
    connection: duckdb.DuckDBPyConnection, app_id: str, *, observation_days: int, now: datetime
) -> list[date]:
    """Return the days that are old enough to be kept by the hour, and were last written before they were."""
    query = f"""
        SELECT day FROM {_LEDGER}
        WHERE table_name = ? AND app_id = ? AND day < ? AND loaded_at < day + to_days(? + 1) ORDER BY day
    """
    first_by_minute = first_day_by_minute(observation_days, now)
    found = connection.execute(query, [_TABLE, app_id, first_by_minute, observation_days]).fetchall()
    return [day for (day,) in found]


def first_day_by_minute(observation_days: int, now: datetime) -> date:
    """Return the first day whose observations are kept by the minute."""
    return now.date() - timedelta(days=observation_days)


def find_quarantined_apps(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the apps for which ops.quarantine has live observations."""
    query = f"SELECT DISTINCT app_id FROM {QUARANTINE.full_name} WHERE table_name = ?"
    return {app_id for (app_id,) in connection.execute(query, [_TABLE]).fetchall()}


def replace_quarantined(connection: duckdb.DuckDBPyConnection, app_id: str, rejects: pl.DataFrame, run_id: str) -> None:
    """Replace the rows that ops.quarantine has for live observations of an app."""
    given = rejects.with_columns(pl.lit(run_id).alias("run_id"))
    with temporary_view(connection, "live_rejects", given):
        connection.execute("BEGIN")
        connection.execute(f"DELETE FROM {QUARANTINE.full_name} WHERE app_id = ? AND table_name = ?", [app_id, _TABLE])
        connection.execute(f"INSERT INTO {QUARANTINE.full_name} BY NAME SELECT * FROM live_rejects")
        connection.execute("COMMIT")
