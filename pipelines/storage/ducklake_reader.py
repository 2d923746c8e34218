"""Opens a lakehouse for readers, and reads its catalog outside of a run."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from pydantic import SecretStr

from pipelines.errors import WarehouseError
from pipelines.storage.attach import S3Key, attach_lake, close_lake, create_reader_secret, restrict_access
from pipelines.storage.ducklake_errors import translate_lake_errors
from pipelines.storage.extensions import find_extension
from pipelines.storage.postgres import Catalog, Role, find_data_path, hide_password_variable
from pipelines.text import quoted

if TYPE_CHECKING:
    import psycopg


class DuckLakeReader:
    """A catalog, with the roles of runs and of readers. See the protocol in `warehouse.py` for the methods."""

    def __init__(self, conninfo: SecretStr, readers: SecretStr | None, readers_key: S3Key | None) -> None:
        """Take the connection string of runs, and of readers if they have their own."""
        self._catalog = Catalog(conninfo)
        variable = "LIVEHOUSE_READER_WAREHOUSE" if readers else "LIVEHOUSE_WAREHOUSE"
        self._readers_catalog = Catalog(readers or conninfo, variable=variable, is_read_only=True)
        self._readers_key = readers_key
        self._extensions = [find_extension(name) for name in ("ducklake", "postgres_scanner")]
        self._httpfs = find_extension("httpfs")  # loaded only for files on S3: verifying an extension reads all of it
        self.address = self._catalog.address

    def exists(self) -> bool:
        """Whether the catalog has been created."""
        with self._catalog.connect() as session:
            return find_data_path(session) is not None

    def open_published(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the catalog for reading, in one transaction: all queries see the same snapshot."""
        return self._open_for_reading(None)

    def open_for_export(self, target: str) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """Open the catalog in the same way, on a connection that may write files."""
        return self._open_for_reading(target)

    @contextmanager
    def _open_for_reading(self, export_to: str | None) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._translate_errors():
            with self._readers_catalog.connect() as session:
                files = find_data_path(session)
            if files is None:
                raise WarehouseError(f"{self.address} has no tables yet: run `livehouse nightly`")
            extensions = self._extensions_for(files, export_to or "")
            connection = attach_lake(self._readers_catalog, extensions, "READ_ONLY", is_reader=True)
            try:
                if export_to is None:
                    restrict_access(connection, files, self._readers_key)
                elif self._readers_key:
                    create_reader_secret(connection, files, self._readers_key)
                connection.execute("BEGIN")
                with hide_password_variable():
                    yield connection
            finally:
                close_lake(connection)

    def connect_catalog(self, *, is_reader: bool = False) -> "psycopg.Connection":
        """Open a session in the database of the catalog, as the role of runs or of readers."""
        return (self._readers_catalog if is_reader else self._catalog).connect()

    def list_stored_names(self) -> set[str] | None:
        """Return the names of all files in S3; None if the files are on a disk."""
        files = self.data_path()
        if "://" not in files:
            return None
        with self.open_published() as connection:
            names = connection.execute(f"FROM glob({quoted(files + '**')})").fetchall()
        return {name for (name,) in names}

    def data_path(self) -> str:
        """Return the directory or the S3 address of the files; empty if there is no lakehouse yet."""
        with self._translate_errors(), self._readers_catalog.connect() as session:
            return find_data_path(session) or ""

    def roles(self) -> tuple[Role, Role | None]:
        """Return the role of runs, and that of readers if they have their own."""
        with self._translate_errors():
            has_readers = self._readers_catalog.address != self._catalog.address
            return self._catalog.role(), self._readers_catalog.role() if has_readers else None

    def _extensions_for(self, *places: str) -> list[Path]:
        return [*self._extensions, *([self._httpfs] if any("://" in place for place in places) else [])]

    def _translate_errors(self) -> AbstractContextManager[None]:
        return translate_lake_errors(self.address, self._catalog, self._readers_catalog)
