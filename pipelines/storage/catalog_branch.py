"""A branch of a lakehouse's catalog: several transactions on it become visible to readers together, or not at all.

DuckLake cannot forget a file that it cannot read and replace its rows in one transaction; between two, readers would see
sums without those rows. So both happen in a copy of the catalog, in a PostgreSQL schema of its own, which then replaces the
catalog in one transaction of PostgreSQL. Other runs wait with their next commit meanwhile; readers do not.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import duckdb

from pipelines.errors import AlreadyRunningError
from pipelines.storage.attach import attach_lake
from pipelines.storage.ducklake_warehouse import DuckLakeWarehouse
from pipelines.storage.memory import LAKEHOUSE_MEMORY_LIMIT

if TYPE_CHECKING:
    import psycopg

_Result = TypeVar("_Result")

_BRANCH = "livehouse_branch"
"""The schema. A killed process leaves it behind, and the next branch replaces it."""

_LIST_TABLES = """
    SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r' AND relname LIKE 'ducklake\\_%%'
    ORDER BY relname
"""


class BranchWarehouse(DuckLakeWarehouse):
    """A lakehouse seen through a branch of its catalog, which no other run can see or change."""

    @contextmanager
    def lock_table(self, table: str, *app_ids: str) -> Iterator[None]:  # noqa: ARG002 - of the protocol
        """Do nothing: the branch is locked. A run that holds such a lock may be waiting for the branch."""
        yield

    def write_raw(self, operation: Callable[[duckdb.DuckDBPyConnection], _Result]) -> _Result:
        """Run one transaction."""
        return self.write(operation)

    def _connect(self) -> duckdb.DuckDBPyConnection:
        connection = attach_lake(self._catalog, self._extensions_for(self.data_path()), f"METADATA_SCHEMA '{_BRANCH}'")
        connection.execute(f"SET memory_limit = '{LAKEHOUSE_MEMORY_LIMIT}'")
        return connection


@contextmanager
def branch_catalog(warehouse: DuckLakeWarehouse, *, wait_seconds: float) -> Iterator["psycopg.Connection"]:
    """Branch the catalog; replace it by the branch at the end, or drop the branch after an error.

    Yields a session in which the names of DuckLake's tables mean those of the branch.
    """
    with warehouse.connect_catalog() as guard, warehouse.connect_catalog() as session:
        guard.autocommit = False
        [(schema,)] = guard.execute("SELECT current_schema()").fetchall()
        _lock_commits(guard, wait_seconds)
        _create(session, schema)
        try:
            session.execute(f"SET search_path = {_BRANCH}")
            yield session
            session.close()
            _replace(guard, schema)
            guard.execute(f"DROP SCHEMA {_BRANCH} CASCADE")
            guard.commit()
        except BaseException:
            guard.rollback()
            guard.execute(f"DROP SCHEMA IF EXISTS {_BRANCH} CASCADE")
            guard.commit()
            raise


def _lock_commits(guard: "psycopg.Connection", wait_seconds: float) -> None:
    """Lock the table that every commit writes first."""
    import psycopg

    guard.execute(f"SET LOCAL lock_timeout = {max(1, int(wait_seconds * 1000))}")
    try:
        guard.execute("LOCK TABLE ducklake_snapshot IN SHARE ROW EXCLUSIVE MODE")
    except psycopg.errors.LockNotAvailable:
        raise AlreadyRunningError(
            f"another run is still committing after {wait_seconds:.0f} s: wait for it, end it,"
            " or raise LIVEHOUSE_LOCK_WAIT_SECONDS"
        ) from None


def _create(session: "psycopg.Connection", schema: str) -> None:
    with session.transaction():
        session.execute(f"DROP SCHEMA IF EXISTS {_BRANCH} CASCADE")
        session.execute(f"CREATE SCHEMA {_BRANCH}")
        for name in _list_tables(session, schema):
            session.execute(f"CREATE TABLE {_BRANCH}.{name} (LIKE {schema}.{name} INCLUDING ALL)")
            session.execute(f"INSERT INTO {_BRANCH}.{name} SELECT * FROM {schema}.{name}")


def _replace(guard: "psycopg.Connection", schema: str) -> None:
    """Make the tables of the catalog equal to those of the branch. Only rows that differ are written."""
    existing = set(_list_tables(guard, schema))
    for name in _list_tables(guard, _BRANCH):
        held, new = f"{schema}.{name}", f"{_BRANCH}.{name}"
        if name not in existing:
            guard.execute(f"CREATE TABLE {held} (LIKE {new} INCLUDING ALL)")
        guard.execute(
            f"DELETE FROM {held} AS held WHERE NOT EXISTS (SELECT FROM {new} AS b WHERE b::text = held::text)"
        )
        guard.execute(
            f"INSERT INTO {held} SELECT b.* FROM {new} AS b"
            f" WHERE NOT EXISTS (SELECT FROM {held} AS held WHERE held::text = b::text)"
        )


def _list_tables(session: "psycopg.Connection", schema: str) -> list[str]:
    return [name for (name,) in session.execute(_LIST_TABLES, [schema]).fetchall()]
