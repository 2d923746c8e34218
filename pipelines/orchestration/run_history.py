"""Dagster's history of runs and of schedules in SQLite, as Dagster keeps it, but for two things.

It may lie in a directory of any name, and a file that another program has locked is waited for (see `sqlite_files.py`).
The log of events is in `event_log.py`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, NullPool, create_engine, make_url

from pipelines.orchestration.sqlite_files import WAIT_SECONDS, address_of, watch

_lock = Lock()


@contextmanager
def _own_addresses(module: ModuleType) -> Iterator[None]:
    """Let a module of Dagster's make addresses as `address_of` does: it takes no address, only a directory."""
    with _lock:
        theirs = module.create_db_conn_string
        module.create_db_conn_string = address_of  # type: ignore[attr-defined]
        try:
            yield
        finally:
            module.create_db_conn_string = theirs  # type: ignore[attr-defined]


@contextmanager
def _connection_to(address: str) -> Iterator[Connection]:
    engine = create_engine(address, poolclass=NullPool, connect_args={"timeout": WAIT_SECONDS})
    with watch.over(Path(make_url(address).database or "")), engine.connect() as connection, connection.begin():
        yield connection


class HomeRunStorage(SqliteRunStorage):
    """The history of runs, below `base_dir`, which is DAGSTER_HOME."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "HomeRunStorage":
        """Keep it where Dagster would."""
        with _own_addresses(sqlite_run_storage):
            return cls.from_local(str(Path(config_value["base_dir"]) / "history"), inst_data)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a transaction."""
        with _connection_to(self._conn_string) as connection:
            yield connection


class HomeScheduleStorage(SqliteScheduleStorage):
    """The history of schedules and sensors, likewise."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "HomeScheduleStorage":
        """Keep it where Dagster would."""
        with _own_addresses(sqlite_schedule_storage):
            storage = cls.from_local(str(Path(config_value["base_dir"]) / "schedules"), inst_data)
        assert isinstance(storage, cls)  # noqa: S101 - as Dagster makes it, with another annotation
        return storage

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a transaction."""
        with _connection_to(self._conn_string) as connection:
            yield connection
