"""Tables and columns, and the type that each logical type has in DuckDB."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import polars as pl

LogicalType = Literal["seconds", "minutes", "count", "flag", "timestamp", "day", "id", "text", "number"]
"""Logical types of the contract (section 4). Each has one rule, in `normalize/coerce.py`.

Except for `number`, which no field of the API has: a figure in a unit that its row implies.
"""

SQL_TYPES: dict[LogicalType, str] = {
    "seconds": "DOUBLE",
    "minutes": "DOUBLE",
    "count": "BIGINT",
    "flag": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "day": "DATE",
    "id": "VARCHAR",
    "text": "VARCHAR",
    "number": "DOUBLE",
}
UNITS: dict[LogicalType, str] = {"seconds": "seconds", "minutes": "minutes", "timestamp": "UTC", "day": "UTC"}
"""The units of values; other logical types have none."""
assert set(SQL_TYPES) == set(get_args(LogicalType))  # noqa: S101 - a fact about this file


@dataclass(frozen=True)
class Column:
    """One column. `source_field` is the field of the API's record that it is read from; None if it is not read from one."""

    name: str
    logical_type: LogicalType
    description: str
    source_field: str | None = None
    is_measure: bool = False
    """Whether it is a measure: if all measures of a record become null or zero, the source may have lost them."""


@dataclass(frozen=True)
class Table:
    """One table. Facts have a `day` and are replaced by whole days of an app; the rest is replaced by key."""

    schema: str
    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    unique: bool = False
    """Whether the key is a PRIMARY KEY in DuckDB: small tables that are upserted."""
    day_sources: tuple[str, ...] = ()
    """Columns of which the first with a value gives the UTC day of a row. Without any, the request gives the day."""
    request_columns: tuple[str, ...] = ()
    """Columns that take the raw table's column of the same name where the record has no value: the request named it."""
    joined_columns: tuple[str, ...] = ()
    """Columns that another operation fills; NULL where it has no answer."""
    ends: bool = False
    """Whether a row describes something that ends, such as a session: until then its measures are provisional."""
    is_listed: bool = False
    """Whether rows come from a list: they hold when they were first and last listed."""

    @property
    def full_name(self) -> str:
        """Name with its schema, as in SQL and `ops.loads.table_name`."""
        return f"{self.schema}.{self.name}"

    @property
    def is_daily(self) -> bool:
        """Whether records are about one day of an app, and a day of an app is a key."""
        return self.key[1:2] == ("day",)

    @property
    def day_fields(self) -> tuple[str, ...]:
        """Fields of the API's record that `day_sources` are read from."""
        fields = {column.name: column.source_field for column in self.columns}
        return tuple(fields[name] or name for name in self.day_sources)

    @property
    def can_move_days(self) -> bool:
        """Whether versions of a record may name different days (raw tables)."""
        return "days_differ" in self.column_names

    @property
    def polars_schema(self) -> "dict[str, pl.DataType]":
        """Column names and polars types, in order."""
        from pipelines.catalog.polars_types import POLARS_TYPES

        return {column.name: POLARS_TYPES[column.logical_type] for column in self.columns}

    @property
    def partition(self) -> tuple[str, ...]:
        """Partition keys in a lakehouse. Raw tables, which are landed in batches, are partitioned by app only.

        Daily tables are partitioned by year: with a file per day, a year of six apps took 2,190 files of one row each.
        """
        if self.schema == "core" and "day" in self.column_names:
            return ("app_id", "year(day)" if self.is_daily else "day")
        return ("app_id",) if self.schema == "raw" else ()

    @property
    def column_names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the measures."""
        return tuple(column.name for column in self.columns if column.is_measure)

    @property
    def create_sql(self) -> str:
        """Statement that creates the table if it does not exist."""
        parts = [f"{column.name} {SQL_TYPES[column.logical_type]}" for column in self.columns]
        if self.unique:
            parts.append(f"PRIMARY KEY ({', '.join(self.key)})")
        return f"CREATE TABLE IF NOT EXISTS {self.full_name} ({', '.join(parts)})"

    def merge_sql(self, source: str, **expressions: str) -> str:
        """Return the statement that upserts the rows of `source` by key.

        An existing row, `held`, takes the values of the new row, `given`, or those of `expressions` by column.
        """
        same = " AND ".join(f"held.{name} = given.{name}" for name in self.key)
        names = [name for name in self.column_names if name not in self.key]
        assignments = ", ".join(f"{name} = {expressions.get(name, f'given.{name}')}" for name in names)
        return (
            f"MERGE INTO {self.full_name} AS held USING {source} AS given ON ({same})"
            f" WHEN MATCHED THEN UPDATE SET {assignments} WHEN NOT MATCHED THEN INSERT BY NAME"
        )
