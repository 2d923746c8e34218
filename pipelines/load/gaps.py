"""Finds days that a warehouse lacks, and days that it lists although no raw record of them was ever landed.

Facts are not touched here (see `days.py`).
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime

import duckdb

from pipelines.catalog.ops import DAYS, LOADS, MISSING_DAYS
from pipelines.catalog.streams import DAILY_RAW, FACTS

_FACT_NAMES = [table.full_name for table in FACTS]
_IS_OVER = "coalesce(loaded_at >= day + INTERVAL 1 DAY, true)"
"""Whether a day in ops.days was over when it was loaded; otherwise the rest of the day is missing."""


def missing_days(
    connection: duckdb.DuckDBPyConnection, app_ids: Sequence[str], *, oldest: date, before: date
) -> dict[str, list[date]]:
    """Return, by app, the days that at least one fact table lacks: from the first day any of the apps has, up to `before`.

    A table also lacks a day that it loaded before the day was over (UTC).
    `before` itself is excluded, and so is every day before `oldest`. Apps that lack nothing are left out, and nothing is
    missing where nothing was ever loaded.
    """
    query = f"""
        WITH first AS (
            SELECT min(day) AS day FROM {DAYS.full_name}
            WHERE list_contains($apps::VARCHAR[], app_id) AND list_contains($tables::VARCHAR[], table_name)
        ),
        calendar AS (
            SELECT unnest(range(greatest(first.day, $oldest::DATE), $before::DATE, INTERVAL 1 DAY))::DATE AS day
            FROM first WHERE first.day IS NOT NULL -- greatest() passes over NULL
        ),
        apps AS (SELECT unnest($apps::VARCHAR[]) AS app_id),
        tables AS (SELECT unnest($tables::VARCHAR[]) AS table_name)
        SELECT DISTINCT app_id, day FROM (
            SELECT app_id, table_name, day FROM calendar CROSS JOIN apps CROSS JOIN tables
            EXCEPT SELECT app_id, table_name, day FROM {DAYS.full_name} WHERE {_IS_OVER}
        ) ORDER BY app_id, day
    """
    parameters = {"apps": list(app_ids), "tables": _FACT_NAMES, "oldest": oldest, "before": before}
    found: dict[str, list[date]] = {}
    for app_id, day in connection.execute(query, parameters).fetchall():
        found.setdefault(app_id, []).append(day)
    return found


def failed_attempts(connection: duckdb.DuckDBPyConnection, app_id: str) -> dict[date, tuple[int, datetime]]:
    """Return how often catching up on each day of an app has failed, and when it last did."""
    query = f"SELECT day, attempts, tried_at FROM {MISSING_DAYS.full_name} WHERE app_id = ?"
    return {day: (attempts, tried_at) for day, attempts, tried_at in connection.execute(query, [app_id]).fetchall()}


def note_attempts(
    connection: duckdb.DuckDBPyConnection, app_id: str, days: Sequence[date], *, run_id: str, now: datetime
) -> None:
    """Record which of the days that a run tried to catch up on are still missing, and delete the loaded ones.

    A day is missing if a table lacks it of which the run loaded other days. A table without any day failed as a whole,
    which is no evidence about single days.
    """
    still = f"""
        WITH held AS (SELECT table_name, day, run_id FROM {DAYS.full_name} WHERE app_id = $app_id AND {_IS_OVER}),
        loaded AS (SELECT DISTINCT table_name FROM held WHERE run_id = $run_id),
        tried AS (SELECT unnest($days::DATE[]) AS day)
        SELECT DISTINCT day FROM (
            SELECT loaded.table_name, tried.day FROM loaded CROSS JOIN tried EXCEPT SELECT table_name, day FROM held
        )
    """
    parameters = {"app_id": app_id, "days": list(days), "run_id": run_id}
    missing = [day for (day,) in connection.execute(still, parameters).fetchall()]
    tried = "(SELECT $app_id AS app_id, unnest($days::DATE[]) AS day, 1 AS attempts, $now::TIMESTAMP AS tried_at)"
    connection.execute("BEGIN")
    connection.execute(
        f"""DELETE FROM {MISSING_DAYS.full_name} WHERE app_id = $app_id AND day IN (
            SELECT day FROM {DAYS.full_name} WHERE app_id = $app_id AND list_contains($tables::VARCHAR[], table_name)
                AND {_IS_OVER}
            GROUP BY day HAVING count(*) = len($tables))""",
        {"app_id": app_id, "tables": _FACT_NAMES},
    )
    connection.execute(
        MISSING_DAYS.merge_sql(tried, attempts="held.attempts + 1"), {"app_id": app_id, "days": missing, "now": now}
    )
    connection.execute("COMMIT")


def days_in_raw(connection: duckdb.DuckDBPyConnection, app_id: str, first: date, last: date) -> set[date]:
    """Return the days of an app for which a daily raw table has a record.

    Every load lands at least one, if only an empty one. Raw sessions prove nothing: the sessions of a livestream are
    fetched all together, so they also arrive for days that were never loaded.
    """
    parts = [
        f"SELECT day FROM {table.full_name} WHERE app_id = $app_id AND day BETWEEN $first AND $last"
        for table in DAILY_RAW
    ]
    found = connection.execute(" UNION ".join(parts), {"app_id": app_id, "first": first, "last": last})
    return {day for (day,) in found.fetchall()}


def days_only_rebuilt(connection: duckdb.DuckDBPyConnection, app_ids: Collection[str]) -> dict[str, list[date]]:
    """Return, by app, the days that all of their fact tables have from rebuilds, which fetch nothing."""
    query = f"""
        SELECT app_id, day FROM {DAYS.full_name} WHERE list_contains(?::VARCHAR[], app_id)
        GROUP BY app_id, day HAVING count(*) FILTER (run_id IN ({_FETCHED})) = 0 ORDER BY app_id, day
    """
    found: dict[str, list[date]] = {}
    for app_id, day in connection.execute(query, [list(app_ids)]).fetchall():
        found.setdefault(app_id, []).append(day)
    return found


_FETCHED = f"SELECT run_id FROM {LOADS.full_name} WHERE starts_with(table_name, 'raw.')"
"""Runs that fetched from the API."""
