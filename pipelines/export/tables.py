"""Lists the tables of an export, and tells which days of facts were loaded again."""

from dataclasses import dataclass
from datetime import date

import duckdb

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.catalog.ops import DAYS
from pipelines.catalog.streams import CORE_TABLES
from pipelines.catalog.types import Table
from pipelines.errors import WarehouseError
from pipelines.marts.build import Mart, find_marts

Partition = tuple[str, date]
"""An app and a day of a fact table."""


@dataclass(frozen=True)
class ExportTable:
    """A table of an export: facts have a file for each app and day, other tables a single file."""

    name: str
    """With its schema."""
    order: tuple[str, ...]
    is_fact: bool

    @property
    def path(self) -> str:
        """Its directory or file, without suffix, below the root of an export."""
        return self.name.replace(".", "/")


def find_tables() -> list[ExportTable]:
    """Return all of core and marts, and `ops.days`.

    `ops.days` says which days are loaded: a day without rows is zero if it is known there, else unknown.
    """
    sources: list[Table | Mart] = [*CORE_TABLES, LIVE_OBSERVATIONS, DAYS, *find_marts()]
    return [_describe(source) for source in sources]


def _describe(source: Table | Mart) -> ExportTable:
    if isinstance(source, Mart):
        return ExportTable(source.full_name, source.grain, is_fact=False)
    return ExportTable(source.full_name, source.key, is_fact=source.schema == "core" and "day" in source.column_names)


def read_columns(connection: duckdb.DuckDBPyConnection, table: ExportTable) -> dict[str, str]:
    """Return the columns of a published table with their types.

    Raises `WarehouseError` if the warehouse lacks the table, because no run of this version has published it.
    """
    query = """
        SELECT column_name, data_type FROM duckdb_columns()
        WHERE schema_name || '.' || table_name = ? AND database_name = current_database() ORDER BY column_index
    """
    columns = dict(connection.execute(query, [table.name]).fetchall())
    if not columns:
        raise WarehouseError(f"the warehouse has no {table.name} yet: run `livehouse nightly`")
    return columns


def read_tokens(connection: duckdb.DuckDBPyConnection, table: ExportTable, since: date | None) -> dict[Partition, str]:
    """Return the loaded days of a fact table that have rows, each with a text that changes whenever the day is loaded again."""
    query = f"""
        SELECT app_id, day, concat_ws(' ', run_id, arrival, loaded_at, row_count)
        FROM {DAYS.full_name} WHERE table_name = ? AND row_count > 0 AND day >= ?
    """
    found = connection.execute(query, [table.name, since or date.min]).fetchall()
    return {(app_id, day): token for app_id, day, token in found}
