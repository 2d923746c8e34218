"""The storage format of database files: v1.0.0, which every DuckDB since 1.1, and every tool that embeds one, can read."""

import os
import tempfile
from pathlib import Path

import duckdb

from pipelines.files import TEMPORARY_PREFIX
from pipelines.storage.duckdb_errors import translate_errors
from pipelines.storage.extensions import Config
from pipelines.storage.memory import FILE_MEMORY_LIMIT, retry_with_more_memory
from pipelines.text import quoted

STORAGE_FORMAT: Config = {"storage_compatibility_version": "v1.0.0"}
"""The format of new files. A file and its published copy keep the format with which the file was created."""

_VERSION_SHOWN = f"{STORAGE_FORMAT['storage_compatibility_version']}+"
"""How DuckDB shows that format."""


def create_database_file(path: Path) -> None:
    """Create an empty database file if there is none, atomically.

    DuckDB, killed while it creates one, leaves an incomplete file that it then refuses to open.
    """
    if path.exists():
        return
    with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=path.parent) as directory:
        made = Path(directory) / path.name
        duckdb.connect(made, config=STORAGE_FORMAT).close()
        try:
            path.hardlink_to(made)  # fails rather than replaces if another process has created it meanwhile
        except FileExistsError:
            pass
        except OSError:  # the file system does not support hard links
            made.replace(path)


def has_newer_format(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the default database was created in a newer format, as by livehouse until 2026-11."""
    query = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = current_database()"
    [(version,)] = connection.execute(query).fetchall()
    return bool(version != _VERSION_SHOWN)


def convert_database_file(path: Path) -> None:
    """Replace a file of a newer format, which must be closed, by a copy in `STORAGE_FORMAT`: completely or not at all.

    The copy has the same tables, keys, comments and rows. It is built beside the file, whose disk needs the room.
    """
    with (
        translate_errors(path),
        tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=path.parent) as directory,
    ):
        made = Path(directory) / path.name
        create_database_file(made)
        spill_directory = str(path.with_name(f"{path.name}.tmp"))
        with duckdb.connect(
            config={"memory_limit": FILE_MEMORY_LIMIT, "temp_directory": spill_directory}
        ) as connection:
            connection.execute(f"ATTACH {quoted(str(path))} AS given")  # for writing: replays the .wal of a killed run
            connection.execute("CHECKPOINT given")
            connection.execute(f"ATTACH {quoted(str(made))} AS converted")
            retry_with_more_memory(connection, lambda writer: writer.execute("COPY FROM DATABASE given TO converted"))
        with made.open("rb") as copied:
            os.fsync(copied.fileno())
        made.replace(path)
