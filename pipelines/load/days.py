"""Replaces whole days of an app in one transaction. No other module deletes facts."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

import duckdb
import polars as pl

from pipelines.catalog.core import LIVESTREAM_SESSIONS, LIVESTREAMS
from pipelines.catalog.marts import MART_BUILDS
from pipelines.catalog.ops import DAYS, LOADS, QUARANTINE, SHRINKS
from pipelines.catalog.streams import FACTS
from pipelines.catalog.types import Table
from pipelines.storage.digests import digest_rows
from pipelines.storage.frames import transaction_with_views


def replace_days(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    app_id: str,
    days: Sequence[date | None],
    *,
    rows: pl.DataFrame,
    rejects: pl.DataFrame,
    shrinks: pl.DataFrame,
    run_id: str,
    now: datetime,
    retention_days: int,
    arrival: int,
    fetched_at: Mapping[date, datetime] | None = None,
    unread_livestreams: Mapping[date, int] | None = None,
    inputs_digests: Mapping[date, int | None] | None = None,
) -> None:
    """Make these days hold exactly these rows, rejects and shrinks, or change nothing.

    None among the days: replace rejects without a day. `fetched_at`: when the source last answered about each day; `now`
    for days that it lacks. A rebuild from raw must not make a day that was fetched at noon look as if it had been over.
    `unread_livestreams`: how many livestreams that may have had a session on a day could not be read; such a day without
    rows is unknown, not zero. `inputs_digests`: see ops.days. Raises `duckdb.TransactionException` if another writer
    replaces the same day: both update its row in ops.days.
    """
    named = [day for day in days if day]
    outside = rows.filter(~pl.col("day").is_in(named))
    assert outside.is_empty(), f"{table.full_name}: rows outside of the days replaced"  # noqa: S101 - guards the DELETE
    parameters = {"app_id": app_id, "days": named, "dayless": None in days, "table_name": table.full_name}
    of_named = "day IN (SELECT unnest($days::DATE[]))"
    of_days = f"app_id = $app_id AND ({of_named} OR ($dayless AND day IS NULL))"
    sorted_rows = rows.sort("day", table.key[-1])
    with transaction_with_views(connection, new_rows=sorted_rows, new_rejects=rejects, new_shrinks=shrinks):
        connection.execute(
            f"DELETE FROM {table.full_name} WHERE app_id = $app_id AND {of_named}", {"app_id": app_id, "days": named}
        )
        connection.execute(f"INSERT INTO {table.full_name} BY NAME SELECT * FROM new_rows")
        for notes, new in ((QUARANTINE, "new_rejects"), (SHRINKS, "new_shrinks")):
            connection.execute(
                f"DELETE FROM {notes.full_name} WHERE table_name = $table_name AND {of_days}", parameters
            )
            connection.execute(f"INSERT INTO {notes.full_name} BY NAME SELECT * FROM {new}")
        oldest = now.date() - timedelta(days=retention_days)
        unread = {day: None if unread_livestreams is None else unread_livestreams.get(day, 0) for day in named}
        empty = [day for day in named if day >= oldest and not unread[day]]
        loaded_at = {day: (fetched_at or {}).get(day, now) for day in named}
        _note_days(
            connection,
            table,
            app_id,
            loaded_at,
            unread_livestreams=list(unread.values()),
            inputs_digests=[(inputs_digests or {}).get(day) for day in named],
            empty_if_no_rows=empty,
            run_id=run_id,
            arrival=arrival,
        )


def _note_days(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    app_id: str,
    loaded_at: Mapping[date, datetime],
    *,
    unread_livestreams: Sequence[int | None],
    inputs_digests: Sequence[int | None],
    empty_if_no_rows: Sequence[date],
    run_id: str,
    arrival: int,
) -> None:
    """Record the days in ops.days. A day without rows is zero if it is in `empty_if_no_rows`, else unknown, unless known before.

    `unread_livestreams` and `inputs_digests` are in the order of `loaded_at`.
    """
    rows_digest = digest_rows(*(f"held.{name}" for name in table.column_names))
    connection.execute(
        DAYS.merge_sql(
            f"""(
        SELECT $table_name AS table_name, $app_id AS app_id, wanted.day, count(held.day) AS row_count,
            count(held.day) > 0 OR list_contains($empty::DATE[], wanted.day) AS is_known,
            wanted.loaded_at, $run_id AS run_id, $arrival::BIGINT AS arrival, wanted.unread_livestreams, wanted.inputs_digest,
            CASE WHEN count(held.day) > 0 THEN {rows_digest} ELSE 0 END AS rows_digest
        FROM (
            SELECT unnest($days::DATE[]) AS day, unnest($loaded_at::TIMESTAMP[]) AS loaded_at,
                unnest($unread::BIGINT[]) AS unread_livestreams, unnest($inputs::BIGINT[]) AS inputs_digest
        ) AS wanted
        LEFT JOIN {table.full_name} AS held ON held.app_id = $app_id AND held.day = wanted.day
        GROUP BY wanted.day, wanted.loaded_at, wanted.unread_livestreams, wanted.inputs_digest)""",
            is_known="held.is_known OR given.is_known",
        ),
        {
            "table_name": table.full_name,
            "app_id": app_id,
            "days": list(loaded_at),
            "loaded_at": list(loaded_at.values()),
            "unread": list(unread_livestreams),
            "inputs": list(inputs_digests),
            "empty": list(empty_if_no_rows),
            "run_id": run_id,
            "arrival": arrival,
        },
    )


def remove_days(connection: duckdb.DuckDBPyConnection, days_by_app: Mapping[str, Sequence[date]]) -> None:
    """Remove days from every fact table and from ops, as if never loaded. Every mart is then rebuilt completely."""
    connection.execute("BEGIN")
    for table in (*FACTS, QUARANTINE, SHRINKS, DAYS):
        names = "" if table in FACTS else "AND list_contains($tables::VARCHAR[], table_name)"
        for app_id, days in days_by_app.items():
            parameters: dict[str, object] = {"app_id": app_id, "days": list(days)}
            if names:
                parameters["tables"] = [fact.full_name for fact in FACTS]
            connection.execute(
                f"DELETE FROM {table.full_name} WHERE app_id = $app_id"
                f" AND day IN (SELECT unnest($days::DATE[])) {names}",
                parameters,
            )
    connection.execute(f"DELETE FROM {MART_BUILDS.full_name}")
    connection.execute("COMMIT")


def replace_shrinks(
    connection: duckdb.DuckDBPyConnection, table: Table, app_ids: Sequence[str], shrinks: pl.DataFrame
) -> None:
    """Replace the rows of ops.shrinks of a table without days, for these apps."""
    of_apps = f"FROM {SHRINKS.full_name} WHERE table_name = $table_name AND list_contains($apps::VARCHAR[], app_id)"
    parameters = {"table_name": table.full_name, "apps": list(app_ids)}
    if shrinks.is_empty() and connection.execute(f"SELECT count(*) {of_apps}", parameters).fetchall() == [(0,)]:
        return
    with transaction_with_views(connection, new_shrinks=shrinks):
        connection.execute(f"DELETE {of_apps}", parameters)
        connection.execute(f"INSERT INTO {SHRINKS.full_name} BY NAME SELECT * FROM new_shrinks")


def replace_livestreams(
    connection: duckdb.DuckDBPyConnection,
    app_id: str,
    livestream_ids: Sequence[str | None],
    *,
    rows: pl.DataFrame,
    rejects: pl.DataFrame,
) -> None:
    """Replace the rows of these livestreams in core.livestreams. None: rejects without an id."""
    parameters = {
        "app_id": app_id,
        "ids": [livestream_id for livestream_id in livestream_ids if livestream_id is not None],
        "nameless": None in livestream_ids,
    }
    of_ids = "app_id = $app_id AND ({0} IN (SELECT unnest($ids::VARCHAR[])) OR ($nameless AND {0} IS NULL))"
    with transaction_with_views(connection, new_rows=rows, new_rejects=rejects):
        connection.execute(f"DELETE FROM {LIVESTREAMS.full_name} WHERE {of_ids.format('livestream_id')}", parameters)
        connection.execute(f"INSERT INTO {LIVESTREAMS.full_name} BY NAME SELECT * FROM new_rows ORDER BY livestream_id")
        connection.execute(
            f"DELETE FROM {QUARANTINE.full_name} WHERE table_name = $table_name AND {of_ids.format('record_id')}",
            parameters | {"table_name": LIVESTREAMS.full_name},
        )
        connection.execute(f"INSERT INTO {QUARANTINE.full_name} BY NAME SELECT * FROM new_rejects")


_COUNTED = (
    "rows_received",
    "rows_landed",
    "rows_quarantined",
    "rows_duplicate",
    "api_requests",
    "api_retries",
    "api_refusals",
)
_SPANS = {"first_day": "least", "last_day": "greatest", "finished_at": "greatest", "arrival": "greatest"}


def note_loads(connection: duckdb.DuckDBPyConnection, loads: Sequence[dict[str, object]]) -> None:
    """Add loads to ops.loads, which must balance. A second load of a run, table and app is added to the first."""
    rows = (
        pl.DataFrame(loads, schema=dict(LOADS.polars_schema))
        .group_by(LOADS.key, maintain_order=True)
        .agg(
            pl.col("started_at").first(),
            pl.col("first_day").min(),
            pl.col("last_day", "finished_at", "arrival").max(),
            pl.col(_COUNTED).sum(),
            pl.col("note").drop_nulls().str.join("; ").replace("", None),
        )
        .select(LOADS.column_names)
    )
    same = " AND ".join(f"held.{name} = given.{name}" for name in LOADS.key)
    both = [f"{name} = held.{name} + given.{name}" for name in _COUNTED]
    both += [f"{name} = {which}(held.{name}, given.{name})" for name, which in _SPANS.items()]
    with transaction_with_views(connection, finished_loads=rows):
        connection.execute(
            f"MERGE INTO {LOADS.full_name} AS held USING finished_loads AS given ON ({same})"
            f" WHEN MATCHED THEN UPDATE SET {', '.join(both)}, note = nullif(concat_ws('; ', held.note, given.note), '')"
            " WHEN NOT MATCHED THEN INSERT BY NAME"
        )


def unfinished_sessions(
    connection: duckdb.DuckDBPyConnection, app_ids: Sequence[str]
) -> dict[str, list[tuple[str, date]]]:
    """Return, by app, livestream and day of each session that had neither stopped nor failed when last received."""
    query = """
        SELECT app_id, livestream_id, day FROM core.livestream_sessions
        WHERE app_id IN (SELECT unnest(?::VARCHAR[]))
            AND coalesce(is_provisional, stopped_at IS NULL) -- NULL until a first run after an update
    """
    found: dict[str, list[tuple[str, date]]] = {app_id: [] for app_id in app_ids}
    for app_id, livestream_id, day in connection.execute(query, [list(app_ids)]).fetchall():
        found[app_id].append((livestream_id, day))
    return found


def livestreams_with_shrinks(connection: duckdb.DuckDBPyConnection, app_id: str, oldest: date) -> list[str]:
    """Return the livestreams with sessions since `oldest` that the source has lost, or whose figures it has lost."""
    query = f"""
        SELECT DISTINCT livestream_id FROM {LIVESTREAM_SESSIONS.full_name} AS session JOIN {SHRINKS.full_name} AS shrink
            ON shrink.table_name = ? AND shrink.app_id = session.app_id AND shrink.record_id = session.session_id
        WHERE session.app_id = ? AND session.day >= ?
    """
    found = connection.execute(query, [LIVESTREAM_SESSIONS.full_name, app_id, oldest]).fetchall()
    return [livestream_id for (livestream_id,) in found]
