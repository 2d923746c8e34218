"""Tables in the PostgreSQL of a lakehouse: what is staged for it. See the protocol in `staging.py` for the methods.

They are plain tables beside the catalog: a poll a minute would otherwise make a snapshot of the lakehouse and a small file
each time, and polling need not load DuckDB's extensions. Texts are stored as JSON, because PostgreSQL's own have no NUL.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from pipelines.catalog.live import POLLS, RAW_LIVE_OBSERVATIONS
from pipelines.catalog.ops import API_DIALECT, QUARANTINE
from pipelines.catalog.types import LogicalType, Table
from pipelines.errors import AlreadyRunningError
from pipelines.live.staging import RunningSession
from pipelines.load.loaded_days import group_by_app
from pipelines.storage.postgres import can_execute, find_active_run, try_advisory_lock

if TYPE_CHECKING:
    import psycopg

_TYPES: dict[LogicalType, str] = {
    "seconds": "double precision",
    "minutes": "double precision",
    "count": "bigint",
    "flag": "boolean",
    "timestamp": "timestamp",
    "day": "date",
    "id": "text",
    "text": "text",
}
_NAMES = {
    RAW_LIVE_OBSERVATIONS: "livehouse_live_observations",
    POLLS: "livehouse_live_polls",
    QUARANTINE: "livehouse_live_rejects",
    API_DIALECT: "livehouse_live_dialect",
}
_UNIQUE = (RAW_LIVE_OBSERVATIONS, POLLS, API_DIALECT)
_OBSERVATIONS = _NAMES[RAW_LIVE_OBSERVATIONS]


def _create_statements() -> Iterator[str]:
    for table, name in _NAMES.items():
        parts = [f"{column.name} {_TYPES[column.logical_type]}" for column in table.columns]
        if table in _UNIQUE:
            parts.append(f"PRIMARY KEY ({', '.join(table.key)})")
        yield f"CREATE TABLE IF NOT EXISTS {name} ({', '.join(parts)})"


def _convert_texts(table: Table, rows: Iterable[Sequence[Any]], convert: Callable[[str], object]) -> list[list[object]]:
    """Convert each text of rows, except in the key: that has ids and addresses."""
    is_text = [column.logical_type == "text" and column.name not in table.key for column in table.columns]
    return [
        [convert(value) if text and value is not None else value for text, value in zip(is_text, row, strict=True)]
        for row in rows
    ]


class SharedStaging:
    """The tables, which any machine with the credentials of runs uses. Created on first use."""

    def __init__(self, session: "psycopg.Connection") -> None:
        """Use a session in autocommit mode, and create missing tables."""
        self._session = session
        [(known,)] = session.execute("SELECT to_regclass(%s)::text", [_NAMES[API_DIALECT]]).fetchall()
        if known is None:
            with session.transaction():
                session.execute("SELECT pg_advisory_xact_lock(hashtextextended('livehouse_live', 0))")
                for statement in _create_statements():
                    session.execute(statement)

    @contextmanager
    def lock_polling(self, app_ids: Sequence[str]) -> Iterator[None]:
        """Hold a lock for each app: machines may poll different apps at the same time."""
        for app_id in app_ids:
            if not try_advisory_lock(self._session, f"polling of {app_id}"):
                self._session.execute("SELECT pg_advisory_unlock_all()")
                raise AlreadyRunningError("another livehouse process is polling right now")
        try:
            yield
        finally:
            if can_execute(self._session):
                self._session.execute("SELECT pg_advisory_unlock_all()")

    def describe_active_run(self) -> str | None:
        """Look for the session of a run on any machine."""
        return find_active_run(self._session)

    def _read(self, table: Table, condition: str, parameters: Sequence[Any]) -> pl.DataFrame:
        query = f"SELECT {', '.join(table.column_names)} FROM {_NAMES[table]} WHERE {condition}"
        rows = _convert_texts(table, self._session.execute(query, parameters).fetchall(), json.loads)
        return pl.DataFrame(rows, schema=table.polars_schema, orient="row")

    def _insert(self, table: Table, rows: Iterable[Sequence[Any]], on_conflict: str = "") -> None:
        encoded = _convert_texts(table, rows, json.dumps)
        if encoded:
            values = ", ".join(["%s"] * len(table.columns))
            with self._session.cursor() as cursor:
                cursor.executemany(f"INSERT INTO {_NAMES[table]} VALUES ({values}) {on_conflict}", encoded)

    def _upsert(self, table: Table, rows: Iterable[Sequence[Any]]) -> None:
        assignments = ", ".join(f"{name} = excluded.{name}" for name in table.column_names if name not in table.key)
        self._insert(table, rows, f"ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {assignments}")

    def read_dialect(self, base_url: str) -> list[dict[str, Any]]:
        """Read the rows of the address."""
        return self._read(API_DIALECT, "base_url = %s", [base_url]).drop("base_url").to_dicts()

    def keep_dialect(self, base_url: str, notes: Sequence[dict[str, Any]]) -> None:
        """Upsert the rows."""
        rows = [note | {"base_url": base_url} for note in notes]
        self._upsert(API_DIALECT, [[row[name] for name in API_DIALECT.column_names] for row in rows])

    def read_running_sessions(self, app_id: str, ended_statuses: Sequence[str]) -> list[RunningSession]:
        """Read the rows of the last poll."""
        last = f"SELECT looked_at FROM {_NAMES[POLLS]} WHERE app_id = %s"
        found = self._read(RAW_LIVE_OBSERVATIONS, f"app_id = %s AND looked_at = ({last})", [app_id, app_id])
        active = found.filter(~pl.col("status").fill_null("").is_in(list(ended_statuses)))
        names = ["livestream_id", "session_id", "observed_at", "meeting_id", "name"]
        return [RunningSession(*row) for row in active.select(names).sort(names).iter_rows()]

    def record_poll(
        self, app_id: str, polled_at: datetime, *, rows: pl.DataFrame, rejects: pl.DataFrame, warnings: str | None
    ) -> None:
        """Insert rows whose key is new, and replace the rest."""
        with self._session.transaction():
            self._insert(RAW_LIVE_OBSERVATIONS, rows.iter_rows(), "ON CONFLICT DO NOTHING")
            self._session.execute(f"DELETE FROM {_NAMES[QUARANTINE]} WHERE app_id = %s", [app_id])
            self._insert(QUARANTINE, rejects.iter_rows())
            self._upsert(POLLS, [[app_id, polled_at, polled_at, warnings]])

    def record_failed_poll(self, app_id: str, tried_at: datetime, error: str) -> None:
        """Leave `looked_at` as it is."""
        update = "tried_at = excluded.tried_at, said = excluded.said"  # public name
        self._insert(POLLS, [[app_id, None, tried_at, error]], f"ON CONFLICT (app_id) DO UPDATE SET {update}")

    def read_polls(self) -> pl.DataFrame:
        """Read the table."""
        return self._read(POLLS, "true ORDER BY app_id", [])

    def read_observations_since(self, moment: datetime) -> pl.DataFrame:
        """Read the rows, merged or not."""
        return self._read(RAW_LIVE_OBSERVATIONS, "observed_at >= %s ORDER BY observed_at", [moment])

    def find_unmerged_days(self) -> dict[str, list[date]]:
        """List the days of unmerged rows."""
        query = f"SELECT DISTINCT app_id, observed_at::date AS day FROM {_OBSERVATIONS} WHERE NOT is_merged"
        return group_by_app(sorted(self._session.execute(query).fetchall()))

    def read_unmerged(self, app_id: str, day: date) -> pl.DataFrame:
        """Read the unmerged rows."""
        condition = "app_id = %s AND observed_at::date = %s AND NOT is_merged"
        return self._read(RAW_LIVE_OBSERVATIONS, condition, [app_id, day])

    def read_rejects(self) -> pl.DataFrame:
        """Read the quarantine of the last poll."""
        return self._read(QUARANTINE, "true", [])

    def mark_merged(self, app_id: str, merged: pl.DataFrame, *, keep_since: datetime) -> None:
        """Update and delete in one transaction."""
        with self._session.transaction():
            self._session.execute(
                f"UPDATE {_OBSERVATIONS} AS held SET is_merged = true"
                " FROM unnest(%s::text[], %s::timestamp[]) AS given (livestream_id, observed_at)"
                " WHERE held.app_id = %s AND held.livestream_id = given.livestream_id"
                " AND held.observed_at = given.observed_at",
                [merged["livestream_id"].to_list(), merged["observed_at"].to_list(), app_id],
            )
            self._session.execute(
                f"DELETE FROM {_OBSERVATIONS} WHERE app_id = %s AND is_merged AND observed_at < %s",
                [app_id, keep_since],
            )

    def add_missing(self, frames: Mapping[Table, pl.DataFrame]) -> None:
        """Add the rows of a file of an earlier version whose key is not here yet. Rejects come with each poll again."""
        with self._session.transaction():
            for table in _UNIQUE:
                self._insert(table, frames[table].iter_rows(), "ON CONFLICT DO NOTHING")
