"""Evaluate a rule: which days, or which current states, are in violation of it, and which are not.

A day is judged only once its figures are final, so a provisional, unknown or missing day is neither in violation nor evidence
that a violation is over.
"""

import math
import re
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import duckdb

from pipelines.alerts.limit_query import LONGEST_ERROR, limit_query
from pipelines.alerts.metrics import FRESHNESS, METRICS
from pipelines.alerts.rules import Rule
from pipelines.errors import QueryError
from pipelines.marts.macros import create_macros
from pipelines.storage.sandbox import check_query

_MAX_ROWS = 1_000
QUERY_COLUMNS = {
    "app_id": "VARCHAR",
    "value": "a number",
    "livestream_id": "VARCHAR",
    "scope": "VARCHAR",
    "day": "DATE",
    "threshold": "a number",
}
"""The columns that the query of a rule may return, with their types."""
_REQUIRED = ("app_id", "value")
_INTEGER_TYPES = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_NUMBER_TYPES = (*_INTEGER_TYPES, *(f"U{name}" for name in _INTEGER_TYPES), "FLOAT", "DOUBLE", "DECIMAL")

Key = tuple[str | None, str | None]
"""App and scope of an incident: a livestream, or another part of the app; None for all of it."""


@dataclass(frozen=True)
class Reading:
    """The verdict of a rule on one day of an app, or on its current state if there is no day."""

    app_id: str | None
    scope: str | None
    day: date | None
    value: float | None
    threshold: float | None
    is_violation: bool
    can_open: bool = True
    """Whether a violation may open an incident, or only keep one open."""


@dataclass(frozen=True)
class Scope:
    """The extent of an evaluation: the apps, the days from `first` to today, and the days that may open an incident."""

    apps: Sequence[str]
    first: date
    recent: date
    now: datetime

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of queries."""
        return {"now": self.now, "today": self.now.date(), "recent": self.recent}


def evaluate_rule(
    connection: duckdb.DuckDBPyConnection, rule: Rule, scope: Scope, open_keys: Collection[Key]
) -> list[Reading]:
    """Return the readings of a rule, also for the keys of its open incidents.

    Raises `QueryError` if the rule's query is refused, fails, or takes too long.
    """
    try:
        if rule.sql is not None:
            return _evaluate_query(connection, rule, scope, open_keys)
        if rule.metric == FRESHNESS:
            return list(_read_freshness(connection, rule, scope))
        return list(_judge_days(rule, scope, _read_metric(connection, rule, scope)))
    except duckdb.Error as error:  # such as a mart that an older version has not built
        raise QueryError(" ".join(str(error).split())[:LONGEST_ERROR]) from None


# --- metrics ------------------------------------------------------------------------------------------------

_METRIC_SQL = """
    WITH days AS (
        SELECT app_id, day, {final} AS is_final, coalesce(sessions, 0) AS sessions
        FROM marts.daily_usage
        WHERE day >= $first AND list_contains($apps::VARCHAR[], app_id)
    ),
    windows AS (
        SELECT days.app_id, days.day, count(*) FILTER (WHERE near.is_final) = {days} AS is_final, sum(near.sessions) AS sessions
        FROM days
        INNER JOIN days AS near
            ON days.app_id = near.app_id AND near.day BETWEEN days.day - {days_before} AND days.day
        GROUP BY days.app_id, days.day
    ),
    -- by a constant first: the join below compares each row with each window of its app
    figures AS (SELECT * FROM {source} WHERE day >= $first)
    SELECT windows.app_id, windows.day, windows.sessions, (
        SELECT {aggregate} FROM figures
        WHERE figures.app_id = windows.app_id AND figures.day BETWEEN windows.day - {days_before} AND windows.day
    ) AS value
    FROM windows
    WHERE windows.is_final
"""


def _read_metric(
    connection: duckdb.DuckDBPyConnection, rule: Rule, scope: Scope
) -> dict[str, dict[date, tuple[int, float | None]]]:
    """Return the sessions and the value of each window that ends on a day and has final figures only, by app and day."""
    metric = METRICS[str(rule.metric)]
    query = _METRIC_SQL.format(
        final=metric.final,
        days=rule.window_days,
        days_before=rule.window_days - 1,
        aggregate=metric.aggregate,
        source=metric.source,
    )
    first = scope.first - timedelta(days=7 * (rule.median_of_weekdays or 0) + rule.window_days - 1)
    found: dict[str, dict[date, tuple[int, float | None]]] = {}
    for app_id, day, sessions, value in connection.execute(
        query, {"first": first, "apps": list(scope.apps)}
    ).fetchall():
        found.setdefault(app_id, {})[day] = (int(sessions), _as_number(value))
    return found


def _judge_days(
    rule: Rule, scope: Scope, figures: Mapping[str, Mapping[date, tuple[int, float | None]]]
) -> Iterator[Reading]:
    """Compare each day with the threshold. A day without a value, or without enough days to compare with, is left out."""
    assert rule.limit is not None, "a metric has a threshold"  # noqa: S101 - Rule validates it
    for app_id, days in sorted(figures.items()):
        for day, (sessions, value) in sorted(days.items()):
            if day < scope.first:
                continue
            if sessions < rule.minimum_sessions:
                yield Reading(app_id, None, day, value, None, is_violation=False)
                continue
            threshold, is_exempt = rule.limit, False
            if rule.median_of_weekdays is not None:
                earlier = [days.get(day - timedelta(weeks=n + 1), (0, None))[1] for n in range(rule.median_of_weekdays)]
                known = [one for one in earlier if one is not None]
                if len(known) < len(earlier):
                    continue
                median = statistics.median(known)
                threshold, is_exempt = rule.limit * median, median < rule.minimum_median
            if value is None or not math.isfinite(threshold):
                continue
            is_violation = not is_exempt and (value > threshold if rule.below is None else value < threshold)
            yield Reading(app_id, None, day, value, threshold, is_violation=is_violation)


_FRESHNESS_SQL = """
    SELECT app_id, max(day), arg_max(loaded_at, day) FROM ops.days
    WHERE table_name = 'core.livestream_sessions' AND is_known AND is_after_day(loaded_at, day)
        AND list_contains($apps::VARCHAR[], app_id)
    GROUP BY app_id ORDER BY app_id
"""


def _read_freshness(connection: duckdb.DuckDBPyConnection, rule: Rule, scope: Scope) -> Iterator[Reading]:
    """Compare the time since the newest complete day of each app.

    An app of which only old days were loaded, by a backfill, opens no incident; one whose nights ended long ago does.
    """
    assert rule.above is not None, "the metric takes above"  # noqa: S101 - Rule validates it
    create_macros(connection, _FRESHNESS_SQL)
    for app_id, newest, loaded_at in connection.execute(_FRESHNESS_SQL, {"apps": list(scope.apps)}).fetchall():
        ended = datetime.combine(newest, datetime.min.time()) + timedelta(days=1)
        hours = max((scope.now - ended) / timedelta(hours=1), 0.0)
        is_late = hours > rule.above
        is_nightly = loaded_at - ended <= scope.now.date() - scope.recent
        yield Reading(app_id, None, None, hours, rule.above, is_violation=is_late, can_open=is_nightly)


# --- queries ------------------------------------------------------------------------------------------------


def check_rule(connection: duckdb.DuckDBPyConnection, rule: Rule, scope: Scope) -> None:
    """Raise `QueryError` if the query of a rule is refused, or its columns are not those of a rule."""
    if rule.sql is not None:
        with limit_query(connection, rule.name) as cursor:
            _execute(cursor, rule, scope, rows=0)


def _evaluate_query(
    connection: duckdb.DuckDBPyConnection, rule: Rule, scope: Scope, open_keys: Collection[Key]
) -> list[Reading]:
    with limit_query(connection, rule.name) as cursor:
        names, rows = _execute(cursor, rule, scope, rows=_MAX_ROWS + 1)
        if len(rows) > _MAX_ROWS:
            raise QueryError(f"it returns more than {_MAX_ROWS:,} rows: select the worst ones with ORDER BY and LIMIT")
    found: dict[tuple[Key, date | None], Reading] = {}
    for values in rows:
        row = dict(zip(names, values, strict=True))
        app_id, day = row["app_id"], row.get("day")
        if app_id is not None and app_id not in scope.apps:
            continue
        key = (app_id, row.get("livestream_id") or row.get("scope"))
        threshold = _as_number(row.get("threshold", rule.limit))
        found.setdefault(
            (key, day),
            Reading(*key, day, _as_number(row["value"]), threshold, is_violation=True),
        )
    keys = {*(key for key, _ in found), *open_keys}
    if "day" not in names:
        return [
            found.get((key, None)) or Reading(*key, None, None, None, is_violation=False)
            for key in sorted(keys, key=str)
        ]
    settled = _list_settled_days(connection, scope)
    return [
        found.get((key, day)) or Reading(*key, day, None, None, is_violation=False)
        for key in sorted(keys, key=str)
        for day in settled.get(key[0], [])
    ]


def _list_settled_days(connection: duckdb.DuckDBPyConnection, scope: Scope) -> dict[str | None, list[date]]:
    """Return the settled days of each app, and with the key None the days that are settled for every app."""
    query = """
        SELECT app_id, day FROM marts.daily_usage
        WHERE is_settled AND day >= $first AND list_contains($apps::VARCHAR[], app_id) ORDER BY day
    """
    settled: dict[str | None, list[date]] = {}
    for app_id, day in connection.execute(query, {"first": scope.first, "apps": list(scope.apps)}).fetchall():
        settled.setdefault(app_id, []).append(day)
    of_all = set.intersection(*(set(settled.get(app_id, [])) for app_id in scope.apps)) if scope.apps else set()
    return settled | {None: sorted(of_all)}


def _as_number(value: Any) -> float | None:  # noqa: ANN401 - a numeric value of any type of DuckDB
    number = None if value is None else float(value)
    return number if number is None or math.isfinite(number) else None


def _execute(
    cursor: duckdb.DuckDBPyConnection, rule: Rule, scope: Scope, *, rows: int
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run the query, which may use `$now`, `$today` and `$recent`, and return its columns and first rows."""
    query = check_query(cursor, str(rule.sql)).strip().removesuffix(";")
    used = {name: value for name, value in scope.parameters.items() if re.search(rf"\${name}\b", query)}
    result = cursor.execute(f"SELECT * FROM ({query}\n) LIMIT 0", used)
    types = {str(name): str(kind) for name, kind, *_ in result.description or []}
    for name in _REQUIRED:
        if name not in types:
            raise QueryError(f"it must return the column {name} ({QUERY_COLUMNS[name]})")
    for name, kind in types.items():
        if name not in QUERY_COLUMNS:
            raise QueryError(f"unknown column {name!r}: it may return {', '.join(QUERY_COLUMNS)}")
        accepted = _NUMBER_TYPES if QUERY_COLUMNS[name] == "a number" else (QUERY_COLUMNS[name],)
        if re.sub(r"\(\d+,\d+\)$", "", kind) not in accepted:  # of DECIMAL(18,3)
            raise QueryError(f"the column {name} must be {QUERY_COLUMNS[name]}, and is {kind}")
    condition = "" if rule.limit is None else f"WHERE value {'>' if rule.below is None else '<'} {rule.limit!r}"
    return list(types), cursor.execute(f"SELECT * FROM ({query}\n) {condition} LIMIT {rows}", used).fetchall()
