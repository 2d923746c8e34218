"""DuckDB's extensions, from the files of their wheels: nothing is downloaded, and DuckDB checks each signature."""

import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import duckdb

from pipelines.errors import SettingsError

Config = dict[str, str | bool | int | float | list[str]]

NO_EXTENSIONS: Config = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
}
"""Settings of a DuckDB that fetches nothing."""

NO_VARIABLES: Config = {"python_enable_replacements": "false"}
"""Without it, `FROM name` finds a variable of this program where there is no table of that name."""

READER_LIMITS: Config = {
    "memory_limit": "2GB",
    "max_temp_directory_size": "4GB",
    "threads": min(4, os.cpu_count() or 1),
}
"""What the query of a person may take: by default DuckDB takes most of the memory, and 90 % of the free disk."""

FILE_READER: Config = (
    NO_EXTENSIONS
    | NO_VARIABLES
    | READER_LIMITS
    | {"enable_external_access": "false", "allow_persistent_secrets": "false"}
)
"""Settings of a DuckDB that reads one file for a person."""


def extension_file(name: str) -> Path:
    """Find the file of an extension. Raises `SettingsError` where the extra `lakehouse` is not installed."""
    found = find_spec(f"duckdb_extension_{name}")
    remedy = "pip install 'livehouse[lakehouse]'"
    if found is None or found.origin is None:
        raise SettingsError(f"LIVEHOUSE_WAREHOUSE is a lakehouse, and DuckDB's {name} is not installed: {remedy}")
    file = Path(found.origin).parent / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not file.exists():
        raise SettingsError(f"DuckDB's {name} is installed for another version than {duckdb.__version__}: {remedy}")
    return file


def connect_with(files: Iterable[Path], *, is_reader: bool = False) -> duckdb.DuckDBPyConnection:
    """Connect to a DuckDB in memory that has these extensions and fetches no others."""
    connection = duckdb.connect(config=NO_EXTENSIONS | (NO_VARIABLES | READER_LIMITS if is_reader else {}))
    for file in files:
        connection.load_extension(str(file))
    return connection
