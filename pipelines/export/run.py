"""Exports the published warehouse to a directory or to S3."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import duckdb

from pipelines.clock import utc_now
from pipelines.export.dbt_sources import SOURCES, write_sources
from pipelines.export.directory import ExportDirectory
from pipelines.export.files import Export, ExportedFile, write_empty, write_files
from pipelines.export.manifest import write_manifest
from pipelines.export.s3 import S3Prefix
from pipelines.storage.duckdb_errors import translate_errors
from pipelines.storage.warehouse import Warehouse


class Exported(NamedTuple):
    """The files of a finished export, and those of them that were kept from the export before."""

    files: list[ExportedFile]
    kept: int


def export_warehouse(
    warehouse: Warehouse, target: str, export: Export, *, wait_seconds: float, log: Callable[[str], None]
) -> Exported:
    """Export the published tables, from one snapshot.

    `target`: a directory, in which a finished export replaces an older one atomically, or `s3://BUCKET/PREFIX`, in which each
    file is replaced atomically and the manifest last. Days that were not loaded again since the last export are not written
    again. Raises `WarehouseError` if the directory has files of others.
    """
    with warehouse.open_for_export(target) as connection:
        if "://" in target:
            return _export_to_s3(connection, target, export)
        with translate_errors(Path(target)):
            directory = ExportDirectory(Path(target), utc_now(), for_dbt=export.for_dbt)
            with directory.replaced(wait_seconds=wait_seconds, log=log):
                files = list(write_files(connection, directory, export))
                if directory.for_dbt and export.style == "parquet":
                    written = {file.table_name for file in files}
                    write_sources(connection, directory.new / SOURCES, Path(target).absolute(), export.tables, written)
                write_manifest(connection, directory.root, files)
            return Exported(files, directory.kept)


def _export_to_s3(connection: duckdb.DuckDBPyConnection, address: str, export: Export) -> Exported:
    """Write the files of an export in place. Files of days that it no longer has are emptied: DuckDB cannot delete them."""
    target = S3Prefix(connection, address)
    files = list(write_files(connection, target, export))
    written, names = {file.path for file in files}, {table.name for table in export.tables}
    others = [file for file in target.previous if file.table_name not in names]  # a later export has to know them
    for file in target.previous:
        if file.path not in written and file.table_name in names:
            write_empty(connection, target, file)
    write_manifest(connection, target.root, [*files, *others])
    return Exported(files, target.kept)
