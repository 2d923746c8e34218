"""Replaces an export in S3, which has no directories that could be swapped: file by file, each of them whole."""

import duckdb

from pipelines.errors import UsageError
from pipelines.export.files import ExportedFile
from pipelines.export.manifest import MANIFEST, parse_manifest
from pipelines.text import quoted


class S3Prefix:
    """An address of S3 that an export is written to."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, address: str) -> None:
        """Take the address, `s3://BUCKET/PREFIX`, and read the manifest that is there. Raises `UsageError` for a pattern."""
        if set(address) & set("*[]{}"):
            raise UsageError(f"{address}: DuckDB reads * [ ] {{ }} as a pattern: choose another address")
        self.root = address.rstrip("/")
        # Only with a pattern does DuckDB check whether the object exists.
        pattern = quoted(f"{self.root}/{MANIFEST}*")
        self.previous: list[ExportedFile] = []
        self.kept = 0
        if connection.execute(f"FROM glob({pattern})").fetchall():
            [(text,)] = connection.execute(f"SELECT content FROM read_text({pattern})").fetchall()
            self.previous = parse_manifest(text)

    def is_unchanged(self, path: str) -> bool:  # noqa: ARG002 - of the protocol `Target`
        """Return that it is: asking takes a request for each file."""
        return True

    def keep(self, path: str) -> None:  # noqa: ARG002 - of the protocol `Target`
        """Leave the file where it is."""
        self.kept += 1

    def make_directory(self, path: str) -> None:
        """Do nothing: S3 has no directories."""
