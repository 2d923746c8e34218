"""Finds what changed in raw tables since days were loaded, for every app in one query each."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import NamedTuple

import duckdb
import polars as pl

from pipelines.catalog.ops import LIVESTREAM_SYNC, SHRINKS
from pipelines.catalog.raw import RAW_LIVESTREAM_SESSIONS, RAW_LIVESTREAMS
from pipelines.catalog.types import Table
from pipelines.load.raw_versions import ARRIVED
from pipelines.storage.frames import read_frame, temporary_view

_ARRIVED = ARRIVED.format(table="version")

AppDay = tuple[str, date]


class Source(NamedTuple):
    """A raw table that a core table is built from, or the part of it with these `stats`."""

    table: Table
    stats: str | None = None

    def is_read_by(self, parameter: str) -> str:
        """Return the SQL condition for its rows, with a parameter for its `stats`, which may be None."""
        return f"stats = ${parameter}" if self.stats else f"${parameter} IS NULL"


class Change(NamedTuple):
    """The last change of a day's raw records."""

    arrival: int
    """Number of the landing; 0 where landings were not numbered yet."""
    at: datetime | None
    """Time of the change, for rows from before landings were numbered."""


def digest_inputs(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[Source], days: pl.DataFrame, rules: str
) -> dict[AppDay, int | None]:
    """Return a digest of the raw records of each day, and of the rules that read them; None: versions of other days count too.

    It changes if a version is new, moves to another day, comes back after another version, or is deleted. A day without
    records has a digest too. `days`: columns `app_id` and `day`.
    """
    parts = []
    parameters: dict[str, object] = {"rules": rules}
    for number, source in enumerate(sources):
        table = source.table
        moves = "coalesce(days_differ, true)" if table.can_move_days else "false"
        livestream = ", livestream_id" if table.can_move_days else ""
        parameters[f"stats_{number}"] = source.stats
        parts.append(
            f"""SELECT app_id, day, {number} AS source, count(*) AS versions, bool_or(digest IS NULL OR {moves}) AS is_open,
                sum(hash(digest, key_digest, first_fetched_at, changed_arrival{livestream})::HUGEINT) AS digest
            FROM {table.full_name} JOIN wanted_days USING (app_id, day)
            WHERE {source.is_read_by(f"stats_{number}")} GROUP BY app_id, day"""
        )
    query = f"""
        SELECT app_id, day, CASE WHEN NOT coalesce(bool_or(is_open), false)
            THEN (hash($rules, count(source), sum(hash(source, versions, part.digest)::HUGEINT)) >> 1)::BIGINT END
        FROM wanted_days LEFT JOIN ({" UNION ALL ".join(parts)}) AS part USING (app_id, day) GROUP BY app_id, day
    """
    with temporary_view(connection, "wanted_days", days):
        return {(app_id, day): digest for app_id, day, digest in connection.execute(query, parameters).fetchall()}


def changed_days(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[Table], after: Mapping[str, int | None]
) -> dict[AppDay, Change]:
    """Return the last change of each day that changed `after` the last landing that its app has loaded; None: of every day."""
    parts = []
    for table in tables:
        of_apps = f"FROM {table.full_name} AS version JOIN loaded_landings USING (app_id) WHERE day IS NOT NULL"
        # One query per condition: joined by OR, they would make DuckDB read the whole history.
        parts.append(
            f"SELECT app_id, day, changed_arrival AS arrival, NULL::TIMESTAMP AS changed_at {of_apps}"
            " AND changed_arrival > $least AND changed_arrival > loaded_landings.after"
        )
        if None in after.values():
            changed_at = "CASE WHEN changed_arrival IS NULL THEN coalesce(changed_at, fetched_at) END"
            parts.append(
                f"SELECT app_id, day, changed_arrival, {changed_at} {of_apps} AND loaded_landings.after IS NULL"
            )
        if table.can_move_days:  # a session that is missing from a reply is a change, too
            parts.append(_NEWLY_MISSING)
    query = (
        f"SELECT app_id, day, coalesce(max(arrival), 0), max(changed_at) FROM ({' UNION ALL '.join(parts)})"
        " GROUP BY app_id, day"
    )
    least = min((number for number in after.values() if number is not None), default=0)
    with _loaded_landings(connection, after):
        found = connection.execute(query, {"least": least}).fetchall()
    return {(app_id, day): Change(arrival, at) for app_id, day, arrival, at in found}


_NEWLY_MISSING = f"""
    SELECT app_id, day, sync.arrival, NULL FROM {RAW_LIVESTREAM_SESSIONS.full_name} AS session
    JOIN {LIVESTREAM_SYNC.full_name} AS sync USING (app_id, livestream_id) JOIN loaded_landings USING (app_id)
    WHERE day IS NOT NULL AND sync.complete AND sync.arrival > loaded_landings.after
        AND session.arrival >= sync.previous_arrival AND session.arrival < sync.arrival
"""
"""Versions of sessions that the second last complete reply of their livestream had, and the last one did not."""


def _loaded_landings(
    connection: duckdb.DuckDBPyConnection, after: Mapping[str, int | None]
) -> AbstractContextManager[None]:
    """Register the last landing that each app has loaded as `loaded_landings`; None: all landings count."""
    landings = pl.DataFrame(list(after.items()), schema={"app_id": pl.String(), "after": pl.Int64()}, orient="row")
    return temporary_view(connection, "loaded_landings", landings)


def changed_livestreams(
    connection: duckdb.DuckDBPyConnection, after: Mapping[str, int | None]
) -> dict[str, list[str | None]]:
    """Return, by app, the livestreams that changed `after` the last landing that the app has loaded; None: all of them.

    None among the livestreams: records without an id.
    """
    query = f"""
        SELECT DISTINCT app_id, livestream_id FROM {RAW_LIVESTREAMS.full_name} JOIN loaded_landings USING (app_id)
        WHERE after IS NULL OR changed_arrival > after ORDER BY ALL
    """
    found: dict[str, list[str | None]] = {}
    with _loaded_landings(connection, after):
        for app_id, livestream_id in connection.execute(query).fetchall():
            found.setdefault(app_id, []).append(livestream_id)
    return found


def livestreams_received(connection: duckdb.DuckDBPyConnection, after: Mapping[str, int]) -> pl.DataFrame:
    """Return when livestreams that were received `after` this landing were first and last received.

    Columns: `app_id`, `livestream_id`, `first_seen_at`, `last_seen_at`.
    """
    query = f"""
        SELECT app_id, livestream_id, min(first_fetched_at) AS first_seen_at, arg_max(fetched_at, {_ARRIVED}) AS last_seen_at
        FROM {RAW_LIVESTREAMS.full_name} AS version JOIN loaded_landings USING (app_id)
        WHERE livestream_id IS NOT NULL GROUP BY app_id, livestream_id, after HAVING max(arrival) > after
    """
    with _loaded_landings(connection, after):
        return read_frame(connection, query)


def apps_with_dayless_records(connection: duckdb.DuckDBPyConnection, sources: Sequence[Source]) -> set[str]:
    """Return the apps with raw records of any of these sources that name no day."""
    found: set[str] = set()
    for source in sources:
        condition = source.is_read_by("stats")
        query = f"SELECT DISTINCT app_id FROM {source.table.full_name} WHERE day IS NULL AND {condition}"
        found |= {app_id for (app_id,) in connection.execute(query, {"stats": source.stats}).fetchall()}
    return found


def last_fetched(
    connection: duckdb.DuckDBPyConnection, sources: Sequence[Source], days: pl.DataFrame
) -> dict[AppDay, datetime]:
    """Return when each day was last received: the earliest time of all sources. Days without raw records are omitted.

    `days`: columns `app_id` and `day`.
    """
    parts = []
    parameters: dict[str, object] = {}
    for number, source in enumerate(sources):
        parameters[f"stats_{number}"] = source.stats
        parts.append(
            f"""SELECT app_id, day, arg_max(fetched_at, {_ARRIVED}) AS fetched_at
            FROM {source.table.full_name} AS version JOIN wanted_days USING (app_id, day)
            WHERE {source.is_read_by(f"stats_{number}")} GROUP BY app_id, day"""
        )
    query = f"SELECT app_id, day, min(fetched_at) FROM ({' UNION ALL '.join(parts)}) GROUP BY app_id, day"
    with temporary_view(connection, "wanted_days", days):
        return {(app_id, day): at for app_id, day, at in connection.execute(query, parameters).fetchall()}


def sessions_received(connection: duckdb.DuckDBPyConnection, days: pl.DataFrame) -> pl.DataFrame:
    """Return the sessions of these days that were received after their day was loaded, and when.

    `days`: columns `app_id`, `day` and `arrival`, the last landing that the day was built from. Columns of the result:
    `app_id`, `day`, `session_id`, `fetched_at`.
    """
    query = f"""
        SELECT app_id, day, session_id, arg_max(fetched_at, {_ARRIVED}) AS fetched_at
        FROM {RAW_LIVESTREAM_SESSIONS.full_name} AS version JOIN wanted_days USING (app_id, day)
        GROUP BY app_id, day, session_id, wanted_days.arrival HAVING max(version.arrival) > wanted_days.arrival
    """
    with temporary_view(connection, "wanted_days", days):
        return read_frame(connection, query)


def sessions_missing_upstream(connection: duckdb.DuckDBPyConnection, days: pl.DataFrame, run_id: str) -> pl.DataFrame:
    """Return rows of ops.shrinks for sessions that a later, complete reply of their livestream no longer had.

    `days`: columns `app_id` and `day`. A session that moved to another day is not missing.
    """
    query = f"""
        SELECT app_id, 'core.livestream_sessions' AS table_name, max(day) AS day, session_id AS record_id,
            'the source no longer returns it; the older row is kept' AS reason,
            max(fetched_at) AS fetched_at, $run_id AS run_id
        FROM {RAW_LIVESTREAM_SESSIONS.full_name} AS session
        JOIN wanted_days USING (app_id, day)
        JOIN {LIVESTREAM_SYNC.full_name} AS sync USING (app_id, livestream_id)
        WHERE sync.complete AND session_id IS NOT NULL AND days_differ IS NOT TRUE
        GROUP BY app_id, session_id HAVING CASE
            WHEN max(sync.arrival) IS NULL THEN max(fetched_at) < max(synced_at)
            ELSE coalesce(max(session.arrival), 0) < max(sync.arrival)
        END
    """
    with temporary_view(connection, "wanted_days", days):
        found = read_frame(connection, query, {"run_id": run_id})
    return found.cast(pl.Schema(SHRINKS.polars_schema))


def apps_with_unread_livestreams(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the apps with livestreams whose sessions could not be read the last time."""
    query = f"SELECT DISTINCT app_id FROM {LIVESTREAM_SYNC.full_name} WHERE failed_at IS NOT NULL"
    return {app_id for (app_id,) in connection.execute(query).fetchall()}
