"""Compares the sessions of days with the API's own totals and counts, by the rule of marts.reconciliation."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import duckdb
import polars as pl

from pipelines.catalog.core import LIVESTREAM_ANALYTICS_DAILY, LIVESTREAM_SESSIONS
from pipelines.catalog.ops import QUARANTINE
from pipelines.marts.macros import create_macros
from pipelines.storage.frames import temporary_view

_SUMS = {
    "app_id": pl.String,
    "day": pl.Date,
    "sessions": pl.Int64,
    "quarantined": pl.Int64,
    **{
        f"{name}_{kind}": pl.Float64
        for name in LIVESTREAM_SESSIONS.measures
        for kind in ("sum", "rounded_down", "rounded_up")
    },
}
"""Columns of the sums of sessions by app and day."""

_OVERALL = {
    name: LIVESTREAM_ANALYTICS_DAILY.polars_schema[name]
    for name in ("app_id", "day", "session_count", *LIVESTREAM_SESSIONS.measures)
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
        SELECT app_id, day, count(*) AS sessions, {_SUMS_IN_CORE}
        FROM {LIVESTREAM_SESSIONS.full_name} JOIN compared_days USING (app_id, day)
        WHERE sessions_in_core GROUP BY app_id, day
        UNION ALL BY NAME SELECT * EXCLUDE (quarantined) FROM changed_sums
    ),
    quarantined AS (
        SELECT app_id, day, count(*) AS records
        FROM {QUARANTINE.full_name} JOIN compared_days USING (app_id, day)
        WHERE table_name = '{LIVESTREAM_SESSIONS.full_name}' AND sessions_in_core GROUP BY app_id, day
        UNION ALL BY NAME SELECT app_id, day, quarantined AS records FROM changed_sums
    ),
    overall AS (
        SELECT {", ".join(_OVERALL)}
        FROM {LIVESTREAM_ANALYTICS_DAILY.full_name} JOIN compared_days USING (app_id, day) WHERE overall_in_core
        UNION ALL BY NAME SELECT * FROM changed_overall
    )
    SELECT
        app_id,
        day,
        overall.day IS NOT NULL AS has_overall,
        coalesce({_UNEXPLAINED} OR overall.session_count > coalesce(sums.sessions, 0), false) AS is_short,
        -- the API counts quarantined sessions, too
        coalesce(sums.sessions, 0) + coalesce(quarantined.records, 0) AS known_sessions,
        overall.session_count
    FROM compared_days
    LEFT JOIN sums USING (app_id, day)
    LEFT JOIN quarantined USING (app_id, day)
    LEFT JOIN overall USING (app_id, day)
    ORDER BY app_id, day
"""


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


def sum_by_day(app_id: str, sessions: pl.DataFrame, quarantined: pl.Series) -> pl.DataFrame:
    """Return the sums of an app's sessions by day. Columns: `_SUMS`. `quarantined`: the day of each quarantined record."""
    measures = [pl.col(name) for name in LIVESTREAM_SESSIONS.measures]
    sums = sessions.group_by("day").agg(
        pl.len().alias("sessions"),
        *(measure.sum().name.suffix("_sum") for measure in measures),
        *(measure.floor().sum().name.suffix("_rounded_down") for measure in measures),
        *(measure.ceil().sum().name.suffix("_rounded_up") for measure in measures),
    )
    rejects = quarantined.drop_nulls().rename("day").to_frame().group_by("day").agg(pl.len().alias("quarantined"))
    joined = sums.join(rejects, on="day", how="full", coalesce=True)
    return joined.with_columns(pl.exclude("day").fill_null(0), pl.lit(app_id).alias("app_id")).select(
        pl.col(name).cast(_SUMS[name]) for name in _SUMS
    )


def compare_days(
    connection: duckdb.DuckDBPyConnection,
    days: pl.DataFrame,
    changed_sums: Sequence[pl.DataFrame] = (),
    changed_overall: Sequence[pl.DataFrame] = (),
) -> dict[str, list[ComparedDay]]:
    """Compare days, and return them by app and in order.

    `days` has the columns `app_id`, `day`, `sessions_in_core` and `overall_in_core`: what is read from core. The others are given:
    their sums of sessions (see `sum_by_day`), and their current rows of core.livestream_analytics_daily.
    """
    create_macros(connection, _COMPARE)
    compared: dict[str, list[ComparedDay]] = defaultdict(list)
    with (
        temporary_view(connection, "compared_days", days),
        temporary_view(connection, "changed_sums", pl.concat([pl.DataFrame(schema=_SUMS), *changed_sums])),
        temporary_view(
            connection,
            "changed_overall",
            pl.concat([pl.DataFrame(schema=_OVERALL), *(rows.select(list(_OVERALL)) for rows in changed_overall)]),
        ),
    ):
        for app_id, *values in connection.execute(_COMPARE).fetchall():
            compared[app_id].append(ComparedDay(*values))
    return compared
