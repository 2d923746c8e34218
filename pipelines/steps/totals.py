"""Finds the days of which the API counts more than the known sessions.

Days that did not change since they were loaded are compared in the core tables, those of all apps at once. Only the others are
normalized, and of their sessions only the sums and the rows of few days are kept.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import polars as pl

from pipelines.catalog.core import LIVESTREAM_ANALYTICS_DAILY, LIVESTREAM_SESSIONS
from pipelines.catalog.ops import DAYS, FINGERPRINTS, LANDINGS, LIVESTREAM_SYNC, LOADS, QUARANTINE
from pipelines.catalog.raw import RAW_LIVESTREAM_ANALYTICS, RAW_LIVESTREAM_DAYWISE
from pipelines.load import raw_tables
from pipelines.steps.compared_days import ComparedDay, compare_days, sum_by_day
from pipelines.steps.context import Range, RunContext
from pipelines.steps.current_rows import days_in_core, normalize_days
from pipelines.steps.session_counts import days_short_by_count, last_changes_of_counts

_READ_BY_EACH_APP = [
    table.full_name
    for table in (
        DAYS,
        FINGERPRINTS,
        LANDINGS,
        LIVESTREAM_ANALYTICS_DAILY,
        LIVESTREAM_SYNC,
        LOADS,
        QUARANTINE,
        RAW_LIVESTREAM_ANALYTICS,
        RAW_LIVESTREAM_DAYWISE,
    )
]
"""Small tables of which each app reads its own rows."""


def days_missing_sessions(run: RunContext, app_id: str, days: Range) -> dict[date, int]:
    """Return the days for which the API's totals or counts are higher than the known sessions, each with the landing since."""
    with run.warehouse.snapshot(_READ_BY_EACH_APP):
        return _find_short_days(run, app_id, _compare(run, app_id, days))


def _compare(run: RunContext, app_id: str, days: Range) -> list[ComparedDay]:
    """Compare the days of an app; the first time in a run, also those of every app of which no day changed, in the same query."""
    landings = run.landings_of_others()
    table, wanted = LIVESTREAM_SESSIONS.full_name, run.days_to_load(app_id, days)
    if (kept := run.kept_comparisons.take(table, app_id, wanted, landings_of_others=landings)) is not None:
        return kept
    others = () if run.has_compared else [other for other in run.settings.app_ids if other != app_id]
    run.has_compared = True
    days_of_others = {other: run.days_to_load(other, days) for other in others}
    compared = _compare_unchanged(run, app_id, wanted, days_of_others)
    for other, found in compared.items():
        if other != app_id:
            run.kept_comparisons.keep(
                table, other, days_of_others[other], found, rows=len(found), landings_of_others=landings
            )
    return compared.get(app_id, [])


def _compare_unchanged(
    run: RunContext, app_id: str, days: Sequence[date], days_of_others: Mapping[str, Sequence[date]]
) -> dict[str, list[ComparedDay]]:
    """Compare the days of an app, and by app those of the others whose days all did not change since they were loaded."""
    app_days = [(each, day) for each, found in {app_id: days, **days_of_others}.items() for day in found]
    sessions_in_core = days_in_core(run, LIVESTREAM_SESSIONS, app_days)
    overall_in_core = days_in_core(run, LIVESTREAM_ANALYTICS_DAILY, app_days)
    changed_sessions, changed_overall = (
        [day for day in days if (app_id, day) not in in_core] for in_core in (sessions_in_core, overall_in_core)
    )
    unchanged = sessions_in_core & overall_in_core
    changed_others = {each for each, day in app_days if (each, day) not in unchanged} - {app_id}
    sums = [
        sum_by_day(app_id, part.rows, part.rejects["day"])
        for _, part in normalize_days(run, LIVESTREAM_SESSIONS, app_id, [*changed_sessions], keep=True)
    ]
    totals = [
        part.rows for _, part in normalize_days(run, LIVESTREAM_ANALYTICS_DAILY, app_id, [*changed_overall], keep=True)
    ]
    compared_days = pl.DataFrame(
        [
            (each, day, (each, day) in sessions_in_core, (each, day) in overall_in_core)
            for each, day in app_days
            if each not in changed_others
        ],
        schema={"app_id": pl.String, "day": pl.Date, "sessions_in_core": pl.Boolean, "overall_in_core": pl.Boolean},
        orient="row",
    )
    with run.warehouse.open_working() as connection:
        return compare_days(connection, compared_days, sums, totals)


def _find_short_days(run: RunContext, app_id: str, compared: Sequence[ComparedDay]) -> dict[date, int]:
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
