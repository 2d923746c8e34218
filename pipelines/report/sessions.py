"""Read the sessions of each livestream, one by one, for the page's view of a livestream and its lists of failed sessions.

The encoding is compact. A livestream's sessions lie side by side, `counts` says how many. Of `rows`, `day` is the difference
from the session before, `length` the difference from the ingest, `state` has a digit per session, an index into `states`; `message`
lists only failed sessions, `session_id` only those that did not end well.
"""

import math
from itertools import groupby
from typing import Any

from duckdb import DuckDBPyConnection

from pipelines.report.run_query import Column, read_query
from pipelines.report.session_states import SESSION_STATES

LIMITS = {
    "sessions": 20_000,  # sessions listed one by one
    "failures": 5_000,  # failed sessions, which may be older
    "quarantine": 500,  # quarantined records
    "stream_peaks": 5_000,  # days with observed viewers
}
"""Bounds that keep the page small for any account. Sessions are listed for whole days, the newest first."""

_LIVESTREAM = ("app", "livestream_id", "name", "status", "created_at")


def read_sessions(
    connection: DuckDBPyConnection, parameters: dict[str, Any], messages: list[str | None]
) -> dict[str, Any]:
    """Return livestreams, their sessions, quarantined records and observed viewers; `messages` are the page's messages."""
    [(sessions_first, failures_first)] = connection.execute(
        """WITH counted AS (
            SELECT
                day,
                sum(count(*)) OVER newest AS sessions,
                sum(count(*) FILTER (WHERE is_failed)) OVER newest AS failures
            FROM core.livestream_sessions WHERE day >= $first
            GROUP BY day WINDOW newest AS (ORDER BY day DESC)
        ),
        cut AS (
            SELECT max(day) FILTER (WHERE sessions > $sessions) AS sessions, max(day) FILTER (WHERE failures > $failures) AS failures
            FROM counted
        )
        SELECT coalesce(sessions + 1, $first), coalesce(failures + 1, $first) FROM cut""",
        {"first": parameters["first"], "sessions": LIMITS["sessions"], "failures": LIMITS["failures"]},
    ).fetchall()
    parameters = parameters | LIMITS | {"sessions_first": sessions_first, "failures_first": failures_first}
    table = read_query(connection, "sessions", parameters)
    livestreams = list(zip(*(table.pop(column) for column in _LIVESTREAM), strict=True))
    distinct = [(key, len(list(group))) for key, group in groupby(livestreams)]
    names = list(SESSION_STATES)
    positions = {message: n for n, message in enumerate(messages)}
    rows = list(zip(table.pop("state"), table.pop("message"), table.pop("session_id"), strict=True))
    return {
        "states": [state._asdict() for state in SESSION_STATES.values()],
        "sessions_first": (sessions_first - parameters["first"]).days,
        "failures_first": (failures_first - parameters["first"]).days,
        "livestreams": {column: [key[n] for key, _ in distinct] for n, column in enumerate(_LIVESTREAM)},
        "counts": [count for _, count in distinct],
        "rows": table
        | {
            "day": _subtract(table["day"], [0, *table["day"]]),
            "length": _subtract(table["length"], table["ingest_seconds"]),
            "state": "".join(str(names.index(state)) for state, _, _ in rows),
            "message": [positions.get(message) for state, message, _ in rows if SESSION_STATES[state].is_failed],
            "session_id": [session_id for state, _, session_id in rows if state != "ended"],
        },
        "quarantine": read_query(connection, "stream_quarantine", parameters),
        "peaks": read_query(connection, "stream_peaks", parameters),
    }


def _subtract(values: Column, others: Column) -> Column:
    """Return how much each value exceeds the other, rounded as `Math.round` of the page does; an unknown other counts as 0."""
    return [
        None if value is None else value - math.floor((other or 0) + 0.5)
        for value, other in zip(values, others, strict=False)
    ]
