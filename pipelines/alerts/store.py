"""Read and write ops.incidents."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, fields
from datetime import datetime

import duckdb

from pipelines.alerts.incidents import NOTIFIED_CLOSINGS, Incident
from pipelines.catalog.alerts import INCIDENTS
from pipelines.storage.frames import temporary_view

_NAMES = ", ".join(field.name for field in fields(Incident))


def read_incidents(connection: duckdb.DuckDBPyConnection, *, closed_since: datetime) -> list[Incident]:
    """Return the open incidents, those closed since a time, and those of which the closing was not posted; oldest first."""
    query = f"""
        SELECT {_NAMES} FROM {INCIDENTS.full_name}
        WHERE closed_at IS NULL OR closed_at >= ?
            OR (open_posted_at IS NOT NULL AND close_posted_at IS NULL AND list_contains(?, closing))
        ORDER BY opened_at, rule, app_id, scope, first_day
    """
    return [Incident(*row) for row in connection.execute(query, [closed_since, list(NOTIFIED_CLOSINGS)]).fetchall()]


def write_incidents(connection: duckdb.DuckDBPyConnection, incidents: Sequence[Incident]) -> None:
    """Add or replace incidents, in one transaction."""
    import polars as pl

    rows = pl.DataFrame([asdict(incident) for incident in incidents], schema=INCIDENTS.polars_schema)
    with temporary_view(connection, "changed_incidents", rows):
        connection.execute("BEGIN")
        connection.execute(INCIDENTS.merge_sql("changed_incidents"))
        connection.execute("COMMIT")


def note_posted(
    connection: duckdb.DuckDBPyConnection, opened: Collection[str], closed: Collection[str], now: datetime
) -> None:
    """Note that the webhook has accepted messages about incidents that opened and that closed, by id."""
    connection.execute("BEGIN")
    for column, ids in (("open_posted_at", opened), ("close_posted_at", closed)):
        connection.execute(
            f"UPDATE {INCIDENTS.full_name} SET {column} = $now WHERE list_contains($ids::VARCHAR[], incident_id)",
            {"now": now, "ids": list(ids)},
        )
    connection.execute("COMMIT")
