"""Reads the state of loaded days from ops.days, for every app in one query each, and confirms days that did not change."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

import duckdb
import polars as pl

from pipelines.catalog.ops import DAYS, FINGERPRINTS, LOADS, QUARANTINE, SHRINKS
from pipelines.catalog.types import Table
from pipelines.load.raw_changes import AppDay
from pipelines.storage.digests import digest_rows
from pipelines.storage.frames import read_frame, temporary_view, transaction_with_views

APP_DAYS = {"app_id": pl.String(), "day": pl.Date()}
"""Columns of frames that name days of apps."""


class LoadedDay(NamedTuple):
    """The state of a loaded day."""

    arrival: int | None
    """Number of the last landing that it was built from; None for days from before landings were numbered."""
    at: datetime
    """Time as of which it is known: `loaded_at`."""


def read_loaded_days(connection: duckdb.DuckDBPyConnection, table: Table, app_id: str) -> set[date]:
    """Return the loaded days of an app in a fact table."""
    query = f"SELECT day FROM {DAYS.full_name} WHERE table_name = ? AND app_id = ?"
    return {day for (day,) in connection.execute(query, [table.full_name, app_id]).fetchall()}


def find_loaded_days(
    connection: duckdb.DuckDBPyConnection, table: Table, days: pl.DataFrame
) -> dict[AppDay, LoadedDay]:
    """Return which of these days of apps are loaded in a fact table. `days`: columns `app_id` and `day`."""
    query = f"""
        SELECT app_id, day, arrival, loaded_at FROM {DAYS.full_name} JOIN wanted_days USING (app_id, day)
        WHERE table_name = ?
    """
    with temporary_view(connection, "wanted_days", days):
        found = connection.execute(query, [table.full_name]).fetchall()
    return {(app_id, day): LoadedDay(arrival, at) for app_id, day, arrival, at in found}


def days_of_other_rules(connection: duckdb.DuckDBPyConnection, table: Table, fingerprint: str) -> dict[str, list[date]]:
    """Return the loaded days, by app, that were built with other columns or rules than those of this fingerprint."""
    query = f"""
        SELECT app_id, list(day) FROM {DAYS.full_name} WHERE table_name = $table_name AND app_id NOT IN (
            SELECT app_id FROM {FINGERPRINTS.full_name} WHERE table_name = $table_name AND fingerprint = $fingerprint)
        GROUP BY app_id ORDER BY app_id
    """
    given = {"table_name": table.full_name, "fingerprint": fingerprint}
    return dict(connection.execute(query, given).fetchall())


def apps_of_rules(connection: duckdb.DuckDBPyConnection, table: Table, fingerprint: str) -> set[str]:
    """Return the apps of which a table was completely built with the columns and rules of this fingerprint."""
    query = f"SELECT app_id FROM {FINGERPRINTS.full_name} WHERE table_name = ? AND fingerprint = ?"
    return {app_id for (app_id,) in connection.execute(query, [table.full_name, fingerprint]).fetchall()}


def note_fingerprints(
    connection: duckdb.DuckDBPyConnection, table: Table, app_ids: Collection[str], fingerprint: str, now: datetime
) -> None:
    """Record that a table of these apps was completely built with these columns and rules."""
    given = (
        "(SELECT $table_name AS table_name, unnest($apps::VARCHAR[]) AS app_id, $fingerprint AS fingerprint,"
        " $now::TIMESTAMP AS noted_at)"
    )
    parameters = {"table_name": table.full_name, "apps": sorted(app_ids), "fingerprint": fingerprint, "now": now}
    connection.execute(FINGERPRINTS.merge_sql(given), parameters)


def incomplete_days(connection: duckdb.DuckDBPyConnection, table: Table, oldest: date) -> dict[str, list[date]]:
    """Return, by app, the loaded days since `oldest` that are not known to be empty, or that lack livestreams not read."""
    query = f"""
        SELECT app_id, list(day) FROM {DAYS.full_name}
        WHERE table_name = ? AND (NOT is_known OR unread_livestreams > 0) AND day >= ? GROUP BY app_id
    """
    return dict(connection.execute(query, [table.full_name, oldest]).fetchall())


def last_loaded_landings(connection: duckdb.DuckDBPyConnection, table: Table) -> dict[str, int | None]:
    """Return, by app, the last landing that a load of a table has read; without an app that no load noted one for."""
    query = f"""
        SELECT app_id, max(arrival) FROM {LOADS.full_name}
        WHERE table_name = ? AND NOT starts_with(coalesce(note, ''), 'failed') GROUP BY app_id
    """
    return dict(connection.execute(query, [table.full_name]).fetchall())


def apps_with_dayless_rejects(connection: duckdb.DuckDBPyConnection, table: Table) -> set[str]:
    """Return the apps with quarantined records of a table that name no day."""
    query = f"SELECT DISTINCT app_id FROM {QUARANTINE.full_name} WHERE table_name = ? AND day IS NULL"
    return {app_id for (app_id,) in connection.execute(query, [table.full_name]).fetchall()}


def days_of_inputs(
    connection: duckdb.DuckDBPyConnection, table: Table, digests: Mapping[AppDay, int | None]
) -> pl.DataFrame:
    """Return the loaded days that were built from inputs with these digests, and that no other reason makes a load repeat.

    Those reasons are in ops.days (a day that is not known, livestreams not read) and in ops.quarantine and ops.shrinks, whose
    rows name the run that last received the record. Columns: `app_id`, `day`, `row_count`, `arrival`, `loaded_at`,
    `inputs_digest`.
    """
    given = pl.DataFrame(
        [(*app_day, digest) for app_day, digest in digests.items()],
        schema=APP_DAYS | {"inputs_digest": pl.Int64()},
        orient="row",
    )
    noted = " AND ".join(
        f"NOT EXISTS (FROM {notes.full_name} AS noted WHERE noted.table_name = held.table_name"
        " AND noted.app_id = held.app_id AND noted.day = held.day)"
        for notes in (QUARANTINE, SHRINKS)
    )
    query = f"""
        SELECT app_id, day, row_count, arrival, loaded_at, inputs_digest
        FROM {DAYS.full_name} AS held JOIN input_digests USING (app_id, day, inputs_digest)
        WHERE table_name = ? AND is_known AND coalesce(unread_livestreams, 0) = 0 AND arrival IS NOT NULL AND {noted}
    """
    with temporary_view(connection, "input_digests", given):
        return read_frame(connection, query, [table.full_name])


def confirm_days(
    connection: duckdb.DuckDBPyConnection,
    table: Table,
    days: pl.DataFrame,
    received: pl.DataFrame,
    *,
    run_id: str,
    arrival: int,
) -> None:
    """Record that days did not change up to a landing: the run, the landing, and when their records were last received.

    `days`: columns `app_id`, `day`, `inputs_digest` and `loaded_at`. `received`: rows of the table that were received again,
    by key, with their `day` and `fetched_at`. A day that another run has rebuilt since is left alone.
    """
    is_unchanged = (
        f"EXISTS (FROM {DAYS.full_name} AS ledger JOIN confirmed_days USING (app_id, day, inputs_digest)"
        " WHERE ledger.table_name = $table_name AND ledger.app_id = again.app_id AND ledger.day = again.day)"
    )
    same_key = " AND ".join(f"held.{name} = again.{name}" for name in table.key)
    parameters = {"table_name": table.full_name}
    with transaction_with_views(connection, confirmed_days=days, received_again=received):
        if not received.is_empty():
            connection.execute(
                f"UPDATE {table.full_name} AS held SET fetched_at = again.fetched_at FROM received_again AS again"
                f" WHERE {same_key} AND held.day = again.day AND {is_unchanged}",
                parameters,
            )
        connection.execute(
            f"""UPDATE {DAYS.full_name} AS held SET
                loaded_at = given.loaded_at, run_id = $run_id, arrival = $arrival, rows_digest = given.rows_digest
            FROM (
                SELECT app_id, day, inputs_digest, loaded_at, coalesce(digest, 0) AS rows_digest FROM confirmed_days LEFT JOIN (
                    SELECT app_id, day, {digest_rows(*table.column_names)} AS digest
                    FROM {table.full_name} JOIN confirmed_days USING (app_id, day) GROUP BY app_id, day
                ) AS held_rows USING (app_id, day)
            ) AS given
            WHERE held.table_name = $table_name AND held.app_id = given.app_id AND held.day = given.day
                AND held.inputs_digest = given.inputs_digest""",
            parameters | {"run_id": run_id, "arrival": arrival},
        )


def to_frame(days: Collection[AppDay]) -> pl.DataFrame:
    """Return days of apps as a frame with the columns `app_id` and `day`."""
    return pl.DataFrame(sorted(days), schema=APP_DAYS, orient="row")


def group_by_app(days: Sequence[AppDay]) -> dict[str, list[date]]:
    """Return days of apps by app, in their order."""
    found: dict[str, list[date]] = {}
    for app_id, day in days:
        found.setdefault(app_id, []).append(day)
    return found
