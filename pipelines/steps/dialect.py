"""Keeps the dialect of the service between runs and polls. Sends no request."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial

from duckdb import CatalogException, DuckDBPyConnection

from pipelines.errors import LivehouseError
from pipelines.extract.client import ApiClient
from pipelines.extract.dialect import DialectNote
from pipelines.load.dialects import keep_dialect, read_dialect
from pipelines.storage.warehouse import Warehouse


def recall(client: ApiClient, connection: DuckDBPyConnection, base_url: str) -> None:
    """Load the noted dialect into a client."""
    client.dialect.load_notes(DialectNote(**row) for row in read_dialect(connection, base_url))


def recall_published(client: ApiClient, warehouse: Warehouse, base_url: str) -> None:
    """Load the dialect from the published warehouse: works during a run, and before the first one."""
    try:
        if warehouse.exists():
            with warehouse.open_published() as connection:
                recall(client, connection, base_url)
    except (LivehouseError, CatalogException):
        return  # costs one refused request


def keep(client: ApiClient, write: Callable[[Callable[[DuckDBPyConnection], None]], object], base_url: str) -> None:
    """Write what a client has found out about the dialect."""
    if changed := client.dialect.pop_changes():
        write(partial(keep_dialect, base_url=base_url, notes=[asdict(note) for note in changed]))
