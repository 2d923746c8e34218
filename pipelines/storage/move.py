"""Copy the rows of one warehouse into another, by app and day. Existing rows are compared, never replaced."""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial

import duckdb
import polars as pl

from pipelines.catalog.files import MIRRORED, RAW_FILE, WAREHOUSE_FILE
from pipelines.catalog.marts import MART_BUILDS, MART_INPUTS
from pipelines.catalog.ops import SCHEMA_VERSIONS
from pipelines.catalog.types import Table
from pipelines.errors import WarehouseError
from pipelines.storage.frames import read_frame, temporary_view
from pipelines.storage.warehouse import Warehouse

MAX_ROWS_PER_TRANSACTION = 100_000
"""Bounds memory. A single day with more rows is still one transaction."""

Part = tuple[str | None, date | None]
"""App and day of a group of rows; None if the table has no such column, or the rows have no value in it."""

Digest = tuple[int, str]
"""Row count, and the sum of the hashes of the rows: equal if the rows are."""


def list_moved_tables() -> Iterator[tuple[Table, bool]]:
    """Yield every table to copy, and whether it is stored with raw. Marts, and the record of their builds, are rebuilt instead."""
    for table in RAW_FILE:
        if table is not SCHEMA_VERSIONS:  # each warehouse has its own
            yield table, True
    for table in WAREHOUSE_FILE:
        if table not in (*MIRRORED, MART_BUILDS, MART_INPUTS, SCHEMA_VERSIONS):
            yield table, False


def read_digests(warehouse: Warehouse, table: Table, *, is_raw: bool) -> dict[Part, Digest]:
    """Read the digest of each app and day of a table."""
    app, day = (name if name in table.column_names else "NULL" for name in ("app_id", "day"))
    query = f"""
        SELECT {app}, {day}, count(*), sum(hash({", ".join(table.column_names)}))::VARCHAR
        FROM {table.full_name} GROUP BY ALL HAVING count(*) > 0
    """
    with warehouse.open_raw() if is_raw else warehouse.open_working() as connection:
        found = connection.execute(query).fetchall()
    return {(app_id, of_day): (rows, hashed) for app_id, of_day, rows, hashed in found}


def copy_missing(source: Warehouse, target: Warehouse, table: Table, *, is_raw: bool) -> int:
    """Copy what the target lacks of a table, and verify the result. Returns the number of rows copied.

    Raises `WarehouseError` if the target has other rows.
    """
    wanted, existing = read_digests(source, table, is_raw=is_raw), read_digests(target, table, is_raw=is_raw)
    _refuse_other_rows(target, table, wanted, existing)
    copied = 0
    for app_id, days in _batches({part: rows for part, (rows, _) in wanted.items() if part not in existing}):
        with source.open_raw() if is_raw else source.open_working() as connection:
            rows = read_frame(connection, *_query(table, app_id, days))
        (target.write_raw if is_raw else target.write)(partial(insert_rows, table=table, rows=rows))
        copied += rows.height
    result = read_digests(target, table, is_raw=is_raw)
    _refuse_other_rows(target, table, wanted, result)
    if missing := wanted.keys() - result.keys():
        raise WarehouseError(
            f"{target.address}: {table.full_name} lacks {len(missing)} days that were written: run again"
        )
    return copied


def _refuse_other_rows(
    target: Warehouse, table: Table, wanted: dict[Part, Digest], existing: dict[Part, Digest]
) -> None:
    others = sorted((part for part in existing if existing[part] != wanted.get(part)), key=str)
    if others:
        app_id, day = others[0]
        which = " ".join(f"{name} {value}" for name, value in (("app", app_id), ("day", day)) if value) or "some rows"
        raise WarehouseError(
            f"{target.address} holds other rows of {table.full_name} ({which}, and {len(others) - 1} more days):"
            " move into an empty warehouse, or into one that a move of the same, unchanged source began"
        )


def _batches(rows: dict[Part, int]) -> Iterator[tuple[str | None, list[date | None]]]:
    """Yield the days of each app in batches of at most `MAX_ROWS_PER_TRANSACTION` rows."""
    app_id: str | None = None
    days: list[date | None] = []
    batch_rows = 0
    for part in sorted(rows, key=lambda part: (part[0] or "", part[1] or date.min)):
        if days and (part[0] != app_id or batch_rows + rows[part] > MAX_ROWS_PER_TRANSACTION):
            yield app_id, days
            days, batch_rows = [], 0
        app_id = part[0]
        days.append(part[1])
        batch_rows += rows[part]
    if days:
        yield app_id, days


def _query(table: Table, app_id: str | None, days: Sequence[date | None]) -> tuple[str, list[object]]:
    where, values = ["true"], list[object]()
    if "app_id" in table.column_names:
        where, values = [*where, "app_id IS NOT DISTINCT FROM ?"], [*values, app_id]
    if "day" in table.column_names:
        where.append("(day IN (SELECT unnest(?::DATE[])) OR (? AND day IS NULL))")
        values += [[day for day in days if day], None in days]
    order = ", ".join([*(name for name in ("day",) if name in table.column_names), *table.key])
    names = ", ".join(table.column_names)
    return f"SELECT {names} FROM {table.full_name} WHERE {' AND '.join(where)} ORDER BY {order}", values


def insert_rows(connection: duckdb.DuckDBPyConnection, table: Table, rows: pl.DataFrame) -> None:
    """Insert rows, in one transaction."""
    with temporary_view(connection, "moved_rows", rows):
        connection.execute("BEGIN")
        connection.execute(f"INSERT INTO {table.full_name} BY NAME SELECT * FROM moved_rows")
        connection.execute("COMMIT")
