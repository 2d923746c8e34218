"""Writes rows of core tables back to raw, where the records that they were built from were lost.

Without them, the next load of such a day would build it from what raw still has, and lose rows that core has. The written
versions are the oldest of their records, so that a record that the source still returns takes precedence over them.
"""

import duckdb

from pipelines.catalog.ops import LANDINGS, LIVESTREAM_SYNC
from pipelines.catalog.raw import RAW_LIVESTREAM_DAYWISE, SESSION_COUNTS
from pipelines.catalog.streams import LOADED_STREAMS, STREAMS, Part, Stream
from pipelines.catalog.types import Column, Table

_ISO_8601 = "strftime({name}, '%Y-%m-%dT%H:%M:%S.%fZ')"


def restore_raw(connection: duckdb.DuckDBPyConnection, table: Table, apps: tuple[str, str], run_id: str) -> int:
    """Write the rows of core tables that lack a record in a raw table, of these apps (first and last). Returns their number."""
    restored = 0
    connection.execute("BEGIN")
    for core, columns, part in _sources(table):
        [(written,)] = connection.execute(
            _insert_sql(table, core, columns, part), {"first": apps[0], "last": apps[1], "run_id": run_id}
        ).fetchall()
        restored += int(written)
    connection.execute("COMMIT")
    return restored


def _sources(table: Table) -> list[tuple[Table, list[Column], Part | None]]:
    """Return the core tables with columns from this raw table, these columns, and the part of its records."""
    if table is RAW_LIVESTREAM_DAYWISE:
        return [(SESSION_COUNTS, [column for column in SESSION_COUNTS.columns if column.name == "session_count"], None)]
    parts = [(stream, part) for stream in LOADED_STREAMS if stream.raw is table for part in stream.parts]
    return [(part.table, _received_columns(stream, part), part) for stream, part in parts]


def _received_columns(stream: Stream, part: Part) -> list[Column]:
    key = "id" if not stream.is_by_day else None  # the record of a day names no key of its own
    return [
        Column(column.name, column.logical_type, column.description, column.source_field or key)
        for column in part.table.columns
        if column.name not in part.table.joined_columns
        and (column.source_field or (key and column.name == part.table.key[1]))
    ]


def _insert_sql(table: Table, core: Table, columns: list[Column], part: Part | None) -> str:
    fields = ", ".join(
        f"'{column.source_field}', "
        + (
            _ISO_8601.format(name=f"held.{column.name}")
            if column.logical_type == "timestamp"
            else f"held.{column.name}"
        )
        for column in columns
    )
    fetched_at = "held.last_seen_at" if core.is_listed else "held.fetched_at"
    values = {
        "payload": f"json_object({fields})::VARCHAR",
        "first_fetched_at": "held.first_seen_at" if core.is_listed else fetched_at,
        "fetched_at": fetched_at,
        "changed_at": fetched_at,
        "run_id": "$run_id",
        "changed_run_id": "$run_id",
        "stats": f"'{part.stats}'" if part and part.stats else "NULL",
    } | {name: f"held.{name}" for name in ("app_id", "livestream_id", "session_id", "day")}
    selected = ", ".join(f"{values[name]} AS {name}" for name in table.column_names if name in values)
    same = " AND ".join(f"known.{name} = {values[name]}" for name in table.key)
    known = " AND ".join(f"held.{column.name} IS NOT NULL" for column in columns) if part is None else "true"
    return (
        f"INSERT INTO {table.full_name} BY NAME SELECT {selected} FROM {core.full_name} AS held"
        f" WHERE held.app_id BETWEEN $first AND $last AND {known}"
        f" AND NOT EXISTS (SELECT 1 FROM {table.full_name} AS known WHERE {same})"
    )


def forget_livestreams(connection: duckdb.DuckDBPyConnection, apps: tuple[str, str]) -> None:
    """Have the next run fetch the sessions of every livestream of these apps (first and last)."""
    connection.execute(f"DELETE FROM {LIVESTREAM_SYNC.full_name} WHERE app_id BETWEEN ? AND ?", apps)


def note_landings(connection: duckdb.DuckDBPyConnection) -> None:
    """Record the number of the last landing by the raw tables, where its own record was lost."""
    numbers = " UNION ALL ".join(f"SELECT arrival, fetched_at FROM {stream.raw.full_name}" for stream in STREAMS)
    connection.execute(
        f"INSERT INTO {LANDINGS.full_name} BY NAME"
        f" SELECT 'landing' AS name, max(arrival) AS number, max(fetched_at) AS landed_at FROM ({numbers})"
        f" WHERE NOT EXISTS (SELECT 1 FROM {LANDINGS.full_name}) HAVING max(arrival) IS NOT NULL"
    )
