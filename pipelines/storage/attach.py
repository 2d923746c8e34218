"""Connections of DuckDB to a lakehouse: extensions, the catalog in PostgreSQL, credentials for its files."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import duckdb
from pydantic import SecretStr

from pipelines.errors import WarehouseError
from pipelines.storage.extensions import connect_with_extensions
from pipelines.storage.postgres import Catalog
from pipelines.text import quoted

_COMMIT_RETRIES = {"ducklake_max_retry_count": 30, "ducklake_retry_wait_ms": 20, "ducklake_retry_backoff": 1.2}
"""DuckLake retries a commit itself when the concurrent commit changed other tables."""

_S3_OPTIONS = {"ENDPOINT": "s3_endpoint", "REGION": "s3_region", "URL_STYLE": "s3_url_style", "USE_SSL": "s3_use_ssl"}
"""Options of an S3 secret, and the settings that httpfs reads from the environment for them."""

_S3_CREDENTIALS = ("s3_access_key_id", "s3_secret_access_key", "s3_session_token")


class S3Key(NamedTuple):
    """A read-only S3 key."""

    key_id: str
    secret: SecretStr


def attach_lake(
    catalog: Catalog, extensions: Sequence[Path], *options: str, is_reader: bool = False
) -> duckdb.DuckDBPyConnection:
    """Connect to a lakehouse, with these options of ATTACH."""
    connection = connect_with_extensions(extensions, is_reader=is_reader)
    try:
        connection.execute(catalog.create_secret_sql())
        connection.execute(
            f"CREATE SECRET livehouse_lake (TYPE ducklake, METADATA_PATH {quoted(catalog.other_options)},"
            " METADATA_PARAMETERS MAP {'TYPE': 'postgres', 'SECRET': 'livehouse_catalog'})"
        )
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        for name, value in _COMMIT_RETRIES.items():
            connection.execute(f"SET {name} = {value}")
        if not is_reader:
            connection.execute("SET pg_pool_health_check_query = ''")  # two statements a transaction
        attach_options = f" ({', '.join(options)})" if options else ""
        connection.execute(f"ATTACH 'ducklake:livehouse_lake' AS lake{attach_options}")
        connection.execute("USE lake")
    except BaseException:
        connection.close()
        raise
    return connection


def close_lake(connection: duckdb.DuckDBPyConnection) -> None:
    """Roll back, then close: closing a lost connection within a transaction crashes the process (duckdb 1.5.5)."""
    with suppress(duckdb.Error):
        connection.rollback()
    connection.close()


def create_data_path(files: str | None, home: Path) -> str:
    """Return where a new lakehouse keeps its files, with a slash at the end; a directory is created."""
    if files and "://" in files:
        return files.rstrip("/") + "/"
    directory = Path(files or home / "lake").resolve()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WarehouseError(f"{directory} cannot be created: {error.strerror}; set LIVEHOUSE_DATA_PATH") from None
    return f"{directory}/"


def restrict_access(connection: duckdb.DuckDBPyConnection, files: str, key: S3Key | None) -> None:
    """Restrict a reader's connection to the files of the lakehouse, with credentials that no query can read."""
    if "://" in files:
        _hide_credentials(connection, files, key)
    connection.execute(f"SET allowed_directories = [{quoted(files)}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _hide_credentials(connection: duckdb.DuckDBPyConnection, files: str, key: S3Key | None) -> None:
    """Move credentials from settings, which queries can read, into a secret, whose values DuckDB does not show."""
    create_reader_secret(connection, files, key)
    for name in _S3_CREDENTIALS:
        connection.execute(f"SET {name} = ''")


def create_reader_secret(connection: duckdb.DuckDBPyConnection, files: str, key: S3Key | None) -> None:
    """Create a secret for the files of a lakehouse from the readers' key; without one, from the environment."""
    query = "SELECT name, value FROM duckdb_settings() WHERE name LIKE 's3%' AND value <> ''"
    settings = dict(connection.execute(query).fetchall())
    key_id, secret, token = (settings.get(name, "") for name in _S3_CREDENTIALS)
    if key:
        key_id, secret, token = key.key_id, key.secret.get_secret_value(), ""
    stored = connection.execute(
        "SELECT secret_string FROM duckdb_secrets() WHERE name IN (SELECT name FROM which_secret(?, 's3'))", [files]
    ).fetchall()
    if key or (key_id and not stored):  # a stored secret takes precedence over the environment, as in DuckDB
        parts = {option: settings[setting] for option, setting in _S3_OPTIONS.items() if setting in settings}
        for (text,) in stored:  # it also has the service's address: `endpoint=…;url_style=path;…`
            stored_options = dict(part.partition("=")[::2] for part in str(text).split(";"))
            parts |= {
                option: stored_options[option.lower()] for option in _S3_OPTIONS if stored_options.get(option.lower())
            }
        parts |= {"KEY_ID": key_id, "SECRET": secret, "SCOPE": files} | ({"SESSION_TOKEN": token} if token else {})
        options = ", ".join(f"{option} {quoted(str(value))}" for option, value in parts.items())
        connection.execute(f"CREATE SECRET livehouse_reader_files (TYPE s3, {options})")
