"""Dagster's history of runs and of schedules in SQLite, with two differences from Dagster's own.

The directory may have any name, and a run waits for a file that another program has locked (see `sqlite_files.py`).
The event log is in `event_log.py`. Dagster's private API is used: see docs/decisions and tests/test_history.py.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import SqliteRunStorage
from dagster._core.storage.schedules.sqlite import sqlite_schedule_storage
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import SqliteScheduleStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, NullPool, create_engine

from pipelines.orchestration.failure_events import build_failure_tags, rewrite_event
from pipelines.orchestration.sqlite_files import WAIT_SECONDS, build_sqlite_address, has_schema, lock_monitor

_lock = Lock()


@contextmanager
def _escape_addresses(module: ModuleType) -> Iterator[None]:
    """Let a module of Dagster build addresses with `build_sqlite_address`: it accepts a directory, and no address."""
    with _lock:
        original = module.create_db_conn_string
        module.create_db_conn_string = build_sqlite_address  # type: ignore[attr-defined]  # a ModuleType declares no names of its module
        try:
            yield
        finally:
            module.create_db_conn_string = original  # type: ignore[attr-defined]  # same


@cache
def _build_engine(address: str) -> Engine:
    """Return the engine of a file, once: building it takes longer than opening a connection."""
    return create_engine(address, poolclass=NullPool, connect_args={"timeout": WAIT_SECONDS})


@contextmanager
def _connect(address: str) -> Iterator[Connection]:
    engine = _build_engine(address)
    with lock_monitor.watch(Path(engine.url.database or "")), engine.connect() as connection, connection.begin():
        yield connection


class HomeRunStorage(SqliteRunStorage):
    """The history of runs, below `base_dir`, which is DAGSTER_HOME."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "HomeRunStorage":
        """Keep the history where Dagster would. Only creating its file needs alembic, which takes a third of a second."""
        directory = Path(config_value["base_dir"]) / "history"
        if has_schema(directory / "runs.db"):
            return cls(build_sqlite_address(str(directory), "runs"), inst_data)
        with _escape_addresses(sqlite_run_storage):
            return cls.from_local(str(directory), inst_data)

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a transaction."""
        with _connect(self._conn_string) as connection:
            yield connection

    def handle_run_event(self, run_id: str, event: DagsterEvent, update_timestamp: datetime | None = None) -> None:
        """Update the status of a run, and say in its tags why it failed."""
        event = rewrite_event(event, partial(self._get_run_by_id, run_id))
        super().handle_run_event(run_id, event, update_timestamp)
        if event.event_type == DagsterEventType.RUN_FAILURE and (run := self._get_run_by_id(run_id)):
            self.add_run_tags(run_id, build_failure_tags(run, event))


class HomeScheduleStorage(SqliteScheduleStorage):
    """The history of schedules and sensors, below the same directory."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "HomeScheduleStorage":
        """Keep the history where Dagster would."""
        directory = Path(config_value["base_dir"]) / "schedules"
        if has_schema(directory / "schedules.db"):
            return cls(build_sqlite_address(str(directory), "schedules"), inst_data)
        with _escape_addresses(sqlite_schedule_storage):
            storage = cls.from_local(str(directory), inst_data)
        assert isinstance(storage, cls)  # noqa: S101 - Dagster annotates its base class
        return storage

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a transaction."""
        with _connect(self._conn_string) as connection:
            yield connection
