"""S3, where the files of a lakehouse may be: the service's address, and what is wrong if it cannot be reached."""

import os
from http import HTTPStatus
from urllib.parse import urlsplit

import duckdb

from pipelines.errors import SettingsError, WarehouseError
from pipelines.text import quoted

_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Variables of Amazon's own tools for another service; httpfs reads the key and the region from the environment itself."""


def set_endpoint(connection: duckdb.DuckDBPyConnection) -> None:
    """Let a connection with httpfs use the service that the environment names. Raises `SettingsError` if it is malformed.

    Buckets are then part of the path, as MinIO and Cloudflare R2 accept them.
    """
    variable = next((name for name in _ENDPOINT_VARIABLES if os.environ.get(name)), None)
    if variable is None:
        return
    try:
        address = urlsplit(os.environ[variable].strip())
        is_valid = address.scheme in ("http", "https") and address.hostname and address.port != 0
    except ValueError:
        is_valid = False
    if not is_valid or address.path.strip("/") or address.query or address.username:
        raise SettingsError(
            f"{variable} is malformed: it takes https://HOST or https://HOST:PORT, the address of an S3 service"
        )
    connection.execute(f"SET s3_endpoint = {quoted(address.netloc)}")
    connection.execute("SET s3_url_style = 'path'")
    connection.execute(f"SET s3_use_ssl = {address.scheme == 'https'}")


def check_files_reachable(connection: duckdb.DuckDBPyConnection, files: str) -> None:
    """List files at an address of S3. Raises `WarehouseError` with the cause."""
    try:
        connection.execute(f"FROM glob({quoted(files.rstrip('/') + '/livehouse-*')})").fetchall()
    except duckdb.IOException as error:
        raise WarehouseError(f"{files}: {_describe_fault(error, urlsplit(files).netloc)}") from None


def _describe_fault(error: duckdb.IOException, bucket: str) -> str:
    message, status = str(error), getattr(error, "status_code", None)
    if "NoSuchBucket" in message:
        return f"there is no bucket {bucket}: create it, or correct LIVEHOUSE_DATA_PATH"
    if status == HTTPStatus.UNAUTHORIZED or "InvalidAccessKeyId" in message or "SignatureDoesNotMatch" in message:
        return "the service refused the key: correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or DuckDB's stored secret"
    if status == HTTPStatus.FORBIDDEN:
        return f"the key may not list bucket {bucket}: correct it, or grant it s3:ListBucket and s3:GetObject there"
    if status in (HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.BAD_REQUEST) and "region" in message.lower():
        return f"bucket {bucket} is in another region: correct AWS_REGION"
    if "Could not resolve" in message or "Could not connect" in message:
        return "the S3 service cannot be reached: correct AWS_ENDPOINT_URL_S3 (or DuckDB's stored secret), or start it"
    line = " ".join(message.partition("LINE ")[0].split())
    return f"{line}; check that the location of the files can be reached, then run again"
