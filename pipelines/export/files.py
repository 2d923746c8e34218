"""Writes the files of an export below a root: a directory, or an address of S3."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, NamedTuple, Protocol
from urllib.parse import unquote

import duckdb
import polars as pl

from pipelines.export.tables import ExportTable, Partition, read_columns, read_tokens
from pipelines.storage.frames import temporary_view
from pipelines.text import FORMULA, MARKED_FORMULA, quoted

Style = Literal["parquet", "csv"]

_COPY_OPTIONS: dict[Style, str] = {"parquet": "FORMAT parquet, COMPRESSION zstd", "csv": "FORMAT csv, HEADER"}
_DAYS_PER_STATEMENT = 500
"""Days of apps that one statement writes. This bounds its memory and its open files."""


class ExportedFile(NamedTuple):
    """One file of an export, as its manifest lists it."""

    table_name: str
    app_id: str | None
    """None for a file that holds a whole table."""
    day: date | None
    path: str
    """Relative to the root."""
    token: str
    """A later export keeps the file while its rows would have the same token."""


class Target(Protocol):
    """Where an export is written."""

    @property
    def root(self) -> str:
        """Directory, or address of S3, of the files."""

    @property
    def previous(self) -> Sequence[ExportedFile]:
        """The files of the export that this one replaces."""

    @property
    def kept(self) -> int:
        """How many of them this one keeps."""

    def is_unchanged(self, path: str) -> bool:
        """Whether a file of the previous export is as it was written."""

    def keep(self, path: str) -> None:
        """Make a file of the previous export part of this one."""

    def make_directory(self, path: str) -> None:
        """Create a directory below the root."""


@dataclass(frozen=True)
class Export:
    """The tables, days and format of an export."""

    tables: Sequence[ExportTable]
    style: Style = "parquet"
    since: date | None = None
    """First day of facts; None: all days."""
    for_spreadsheet: bool = False
    """CSV: put a `'` in front of text that a spreadsheet would evaluate as a formula."""
    for_dbt: bool = False
    """Parquet in a directory: also write `sources.yml`. A later export writes it again."""


def write_files(connection: duckdb.DuckDBPyConnection, target: Target, export: Export) -> Iterator[ExportedFile]:
    """Write every table. Yield the files written and kept."""
    for table in export.tables:
        columns = read_columns(connection, table)
        select = _select(columns, export)
        shape = f"{export.style} {select} {' '.join(columns.values())}"  # a file with other columns is not kept
        if table.is_fact:
            wanted = {at: f"{shape} {token}" for at, token in read_tokens(connection, table, export.since).items()}
            yield from _write_days(connection, target, export.style, table, select, wanted)
        else:
            target.make_directory(table.path.partition("/")[0])
            path = f"{table.path}.{export.style}"
            query = f"SELECT {select} FROM {table.name} ORDER BY {', '.join(table.order)}"
            connection.execute(f"COPY ({query}) TO {quoted(f'{target.root}/{path}')} ({_COPY_OPTIONS[export.style]})")
            yield ExportedFile(table.name, None, None, path, shape)


def _select(columns: Mapping[str, str], export: Export) -> str:
    if not export.for_spreadsheet:
        return ", ".join(columns)
    arguments = f"{quoted(FORMULA)}, {quoted(MARKED_FORMULA)}, 'g'"
    return ", ".join(
        f"regexp_replace({name}, {arguments}) AS {name}" if sql_type == "VARCHAR" else name
        for name, sql_type in columns.items()
    )


def _write_days(
    connection: duckdb.DuckDBPyConnection,
    target: Target,
    style: Style,
    table: ExportTable,
    select: str,
    wanted: Mapping[Partition, str],
) -> Iterator[ExportedFile]:
    """Write the days of a fact table that were loaded again, each to `app_id=…/day=…/`, and keep the others.

    All files of a day are kept, or none: DuckDB would write into a kept one, which is a hard link.
    """
    previous: dict[Partition, list[ExportedFile]] = {}
    for file in target.previous:
        if file.table_name == table.name and file.app_id and file.day:
            previous.setdefault((file.app_id, file.day), []).append(file)
    kept = {
        partition
        for partition, files in previous.items()
        if all(wanted.get(partition) == file.token and target.is_unchanged(file.path) for file in files)
    }
    for file in (file for partition in kept for file in previous[partition]):
        target.keep(file.path)
        yield file
    changed = sorted(wanted.keys() - kept)
    target.make_directory(table.path)
    options = f"{_COPY_OPTIONS[style]}, PARTITION_BY (app_id, day), OVERWRITE_OR_IGNORE, RETURN_FILES"
    order = ", ".join(dict.fromkeys(("app_id", "day", *table.order)))
    for begin in range(0, len(changed), _DAYS_PER_STATEMENT):
        chunk = pl.DataFrame(
            changed[begin : begin + _DAYS_PER_STATEMENT], {"app_id": pl.String, "day": pl.Date}, orient="row"
        )
        with temporary_view(connection, "days_to_export", chunk):
            query = f"SELECT {select} FROM {table.name} SEMI JOIN days_to_export USING (app_id, day) ORDER BY {order}"
            copied = connection.execute(f"COPY ({query}) TO {quoted(f'{target.root}/{table.path}')} ({options})")
            [(_, paths)] = copied.fetchall()
        for path in paths:
            app_id, day = _parse_partition(path)
            yield ExportedFile(table.name, app_id, day, path.removeprefix(f"{target.root}/"), wanted[app_id, day])


def write_empty(connection: duckdb.DuckDBPyConnection, target: Target, file: ExportedFile) -> None:
    """Replace a file of a day, or of a table, by one without rows."""
    columns = "* EXCLUDE (app_id, day)" if file.day else "*"
    query = f"SELECT {columns} FROM {file.table_name} LIMIT 0"
    options = next(options for style, options in _COPY_OPTIONS.items() if file.path.endswith(f".{style}"))
    connection.execute(f"COPY ({query}) TO {quoted(f'{target.root}/{file.path}')} ({options})")


def _parse_partition(path: str) -> Partition:
    """Return the app and day that DuckDB has written into a path as `app_id=…/day=…`, percent-encoded."""
    app_id, day = (unquote(part.partition("=")[2]) for part in path.split("/")[-3:-1])
    return app_id, date.fromisoformat(day)
