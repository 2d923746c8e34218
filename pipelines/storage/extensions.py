"""DuckDB's settings, and its extensions from installed wheels: nothing is downloaded, DuckDB verifies each signature."""

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import duckdb

from pipelines.errors import SettingsError
from pipelines.storage.s3 import set_endpoint

Config = dict[str, str | bool | int | float | list[str]]

NO_EXTENSIONS: Config = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
}
"""Keep DuckDB from downloading extensions."""

NO_VARIABLES: Config = {"python_enable_replacements": "false"}
"""Without it, `FROM name` reads a Python variable of this program where there is no table of that name."""

READER_LIMITS: Config = {
    "memory_limit": "2GB",
    "max_temp_directory_size": "4GB",
    "threads": min(4, os.cpu_count() or 1),
}
"""Limits for a reader's query: by default DuckDB takes most of the memory, and 90 % of the free disk."""

FILE_READER: Config = (
    NO_EXTENSIONS
    | NO_VARIABLES
    | READER_LIMITS
    | {"enable_external_access": "false", "allow_persistent_secrets": "false"}
)
"""Settings for readers of a published file."""

FILE_EXPORTER: Config = NO_EXTENSIONS | NO_VARIABLES | READER_LIMITS
"""Settings for exports of a published file: they write files, and run no query of a user."""


def find_extension(name: str) -> Path:
    """Return the file of an installed extension. Raises `SettingsError` if the extra `lakehouse` is missing."""
    found = find_spec(f"duckdb_extension_{name}")
    remedy = "pip install 'livehouse[lakehouse]'"
    if found is None or found.origin is None:
        raise SettingsError(f"LIVEHOUSE_WAREHOUSE is a lakehouse, and DuckDB's {name} is not installed: {remedy}")
    file = Path(found.origin).parent / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not file.exists():
        raise SettingsError(f"DuckDB's {name} is installed for another version than {duckdb.__version__}: {remedy}")
    return file


def connect_with_extensions(files: Iterable[Path], *, is_reader: bool = False) -> duckdb.DuckDBPyConnection:
    """Connect to an in-memory DuckDB with these extensions and no others."""
    connection = duckdb.connect(config=NO_EXTENSIONS | (NO_VARIABLES | READER_LIMITS if is_reader else {}))
    for file in files:
        connection.load_extension(str(file))
        if file.name.startswith("httpfs"):
            set_endpoint(connection)
    return connection
