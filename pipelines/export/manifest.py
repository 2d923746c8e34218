"""`export.json`: one object per file of an export. It is written last, so an export without one is unfinished."""

import json
from collections.abc import Sequence
from datetime import date

import duckdb
import polars as pl

from pipelines.export.files import ExportedFile
from pipelines.storage.frames import temporary_view
from pipelines.text import quoted

MANIFEST = "export.json"

_SCHEMA = {name: pl.Date() if name == "day" else pl.String() for name in ExportedFile._fields}


def write_manifest(connection: duckdb.DuckDBPyConnection, root: str, files: Sequence[ExportedFile]) -> None:
    """Write the manifest of an export."""
    with temporary_view(connection, "exported_files", pl.DataFrame(files, _SCHEMA, orient="row")):
        connection.execute(f"COPY (FROM exported_files) TO {quoted(f'{root}/{MANIFEST}')} (FORMAT json, ARRAY true)")


def parse_manifest(text: str) -> list[ExportedFile]:
    """Return the files of an export; none if the manifest is damaged, so that the next export writes every file again."""
    try:
        files = [ExportedFile(**{name: file.get(name) for name in _SCHEMA}) for file in json.loads(text)]
        return [file._replace(day=date.fromisoformat(str(file.day))) if file.day else file for file in files]
    except (ValueError, TypeError, AttributeError):
        return []
