"""Compares sessions with the API's own totals and counts, by the rule of marts.reconciliation.

Days that did not change since they were loaded are compared in the core tables. Only the others are normalized, and of these
only the sums are kept.
"""

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import duckdb
import polars as pl

from pipelines.catalog.core import LIVESTREAM_ANALYTICS_DAILY, LIVESTREAM_SESSIONS
from pipelines.catalog.ops import DAYS, FINGERPRINTS, LIVESTREAM_SYNC, LOADS, QUARANTINE
from pipelines.catalog.raw import RAW_LIVESTREAM_ANALYTICS, RAW_LIVESTREAM_DAYWISE
from pipelines.load import raw_tables
from pipelines.marts.macros import create_macros
from pipelines.steps.context import Range, RunContext
from pipelines.steps.current_rows import days_in_core, normalize_days
from pipelines.steps.session_counts import days_short_by_count, last_changes_of_counts
from pipelines.storage.frames import temporary_view

_SUMS = {
    "day": pl.Date,
    "sessions": pl.Int64,
    "quarantined": pl.Int64,
    **{
        f"{name}_{kind}": pl.Float64
        for name in LIVESTREAM_SESSIONS.measures
        for kind in ("sum", "rounded_down", "rounded_up")
    },
}
"""Columns of the sums of sessions by day."""

_OVERALL = {
    name: LIVESTREAM_ANALYTICS_DAILY.polars_schema[name]
    for name in ("day", "session_count", *LIVESTREAM_SESSIONS.measures)
}
"""Columns of *overall* that are compared."""

_UNEXPLAINED = " OR ".join(
    f"""unexplained_seconds(
        overall.{name}, finite(coalesce(sums.{name}_sum, 0)),
        coalesce(sums.{name}_rounded_down, 0), coalesce(sums.{name}_rounded_up, 0)
    ) > 0"""
    for name in LIVESTREAM_SESSIONS.measures
)
_SUMS_IN_CORE = ", ".join(
    f"sum({name}) AS {name}_sum, sum(floor({name})) AS {name}_rounded_down, sum(ceil({name})) AS {name}_rounded_up"
    for name in LIVESTREAM_SESSIONS.measures
)
_COMPARE = f"""
    WITH sums AS (
        SELECT day, count(*) AS sessions, {_SUMS_IN_CORE}
        FROM {LIVESTREAM_SESSIONS.full_name}
        WHERE app_id = $app_id AND day IN (SELECT unnest($session_days::DATE[])) GROUP BY day
        UNION ALL BY NAME SELECT * EXCLUDE (quarantined) FROM changed_sums
    ),
    quarantined AS (
        SELECT day, count(*) AS records FROM {QUARANTINE.full_name}
        WHERE app_id = $app_id AND table_name = '{LIVESTREAM_SESSIONS.full_name}'
            AND day IN (SELECT unnest($session_days::DATE[])) GROUP BY day
        UNION ALL BY NAME SELECT day, quarantined AS records FROM changed_sums
    ),
    overall AS (
        SELECT {", ".join(_OVERALL)} FROM {LIVESTREAM_ANALYTICS_DAILY.full_name}
        WHERE app_id = $app_id AND day IN (SELECT unnest($overall_days::DATE[]))
        UNION ALL BY NAME SELECT * FROM changed_overall
    )
    SELECT
        wanted.day,
        overall.day IS NOT NULL AS has_overall,
        coalesce({_UNEXPLAINED} OR overall.session_count > coalesce(sums.sessions, 0), false) AS is_short,
        -- the API counts quarantined sessions, too
        coalesce(sums.sessions, 0) + coalesce(quarantined.records, 0) AS known_sessions,
        overall.session_count
    FROM (SELECT unnest($days::DATE[]) AS day) AS wanted
    LEFT JOIN sums ON sums.day = wanted.day
    LEFT JOIN quarantined ON quarantined.day = wanted.day
    LEFT JOIN overall ON overall.day = wanted.day
"""

_READ_BY_EACH_APP = [
    table.full_name
    for table in (
        DAYS,
        FINGERPRINTS,
        LIVESTREAM_ANALYTICS_DAILY,
        LIVESTREAM_SYNC,
        LOADS,
        QUARANTINE,
        RAW_LIVESTREAM_ANALYTICS,
        RAW_LIVESTREAM_DAYWISE,
    )
]
"""Small tables of which each app reads its own rows."""


class ComparedDay(NamedTuple):
    """The comparison of one day."""

    day: date
    has_overall: bool
    is_short: bool
    """Whether *overall* has more than the sessions, whether or not the day is settled."""
    known_sessions: int
    """Sessions, quarantined ones included."""
    session_count: int | None
    """Sessions by the API's count; None if unknown."""


def days_missing_sessions(run: RunContext, app_id: str, days: Range) -> dict[date, int]:
    """Return the days for which the API's totals or counts are higher than the known sessions, each with the landing since."""
    with run.warehouse.snapshot(_READ_BY_EACH_APP):
        return _find_short_days(run, app_id, days)


def _find_short_days(run: RunContext, app_id: str, days: Range) -> dict[date, int]:
    wanted = run.days_to_load(app_id, days)
    session_days = days_in_core(run, LIVESTREAM_SESSIONS, app_id, wanted)
    overall_days = days_in_core(run, LIVESTREAM_ANALYTICS_DAILY, app_id, wanted)
    changed_sessions = [day for day in wanted if day not in session_days]
    changed_overall = [day for day in wanted if day not in overall_days]
    sums = [
        sum_by_day(part.rows, part.rejects["day"])
        for _, part in normalize_days(run, LIVESTREAM_SESSIONS, app_id, [*changed_sessions], keep=True)
    ]
    overall = [
        part.rows.select(list(_OVERALL))
        for _, part in normalize_days(run, LIVESTREAM_ANALYTICS_DAILY, app_id, [*changed_overall], keep=True)
    ]
    with run.warehouse.open_working() as connection:
        compared = compare_days(
            connection,
            app_id,
            wanted,
            session_days=session_days,
            overall_days=overall_days,
            changed_sums=pl.concat([pl.DataFrame(schema=_SUMS), *sums]),
            changed_overall=pl.concat([pl.DataFrame(schema=_OVERALL), *overall]),
        )
    by_total = [day.day for day in compared if day.is_short]
    by_count = [day.day for day in compared if (day.session_count or 0) > day.known_sessions]
    by_count += days_short_by_count(
        run, app_id, {day.day: day.known_sessions for day in compared if not day.has_overall}
    )
    since = last_changes_of_counts(run, app_id) if by_count else {}
    short = {day: since[day] for day in by_count}
    if by_total:
        with run.warehouse.open_raw() as connection:
            versions = raw_tables.read_day_versions(connection, RAW_LIVESTREAM_ANALYTICS, [app_id])
        changed = dict(versions.select("day", "changed_arrival").iter_rows())
        short |= {day: max(changed[day], short.get(day, 0)) for day in by_total}
    return short


def sum_by_day(sessions: pl.DataFrame, quarantined: pl.Series) -> pl.DataFrame:
    """Return the sums of sessions by day. Columns: `_SUMS`. `quarantined`: the day of each quarantined record."""
    measures = [pl.col(name) for name in LIVESTREAM_SESSIONS.measures]
    sums = sessions.group_by("day").agg(
        pl.len().alias("sessions"),
        *(measure.sum().name.suffix("_sum") for measure in measures),
        *(measure.floor().sum().name.suffix("_rounded_down") for measure in measures),
        *(measure.ceil().sum().name.suffix("_rounded_up") for measure in measures),
    )
    rejects = quarantined.drop_nulls().rename("day").to_frame().group_by("day").agg(pl.len().alias("quarantined"))
    joined = sums.join(rejects, on="day", how="full", coalesce=True)
    return joined.with_columns(pl.exclude("day").fill_null(0)).select(pl.col(name).cast(_SUMS[name]) for name in _SUMS)


def compare_days(
    connection: duckdb.DuckDBPyConnection,
    app_id: str,
    days: Sequence[date],
    *,
    session_days: set[date],
    overall_days: set[date],
    changed_sums: pl.DataFrame,
    changed_overall: pl.DataFrame,
) -> list[ComparedDay]:
    """Compare each of these days. Sessions and totals of `session_days` and `overall_days` are read from core.

    `changed_sums`: sums of the other days with sessions, see `sum_by_day`; `changed_overall`: their totals.
    """
    create_macros(connection, _COMPARE)
    with (
        temporary_view(connection, "changed_sums", changed_sums),
        temporary_view(connection, "changed_overall", changed_overall),
    ):
        found = connection.execute(
            _COMPARE,
            {
                "app_id": app_id,
                "days": list(days),
                "session_days": sorted(session_days),
                "overall_days": sorted(overall_days),
            },
        ).fetchall()
    return [ComparedDay(*row) for row in found]
