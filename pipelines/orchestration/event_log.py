"""Dagster's event log in SQLite, written in batches.

Each day of each asset is two events, and Dagster's own SQLite log opens, commits and syncs two files for each event:
a year took longer to record than to load. Here a batch is one transaction per file, and a file stays open while it is
written to. The stored rows are the same. Dagster's private API is used: see docs/decisions and tests/test_history.py.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import EventLogEntry
from dagster._core.events import ASSET_EVENTS
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlalchemy_compat import db_result
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, StaticPool, create_engine

from pipelines.orchestration.failure_events import rewrite_entry
from pipelines.orchestration.sqlite_files import WAIT_SECONDS, build_sqlite_address, lock_monitor


class BatchedSqliteEventLogStorage(SqliteEventLogStorage):
    """Dagster's SQLite event log, with `store_event_batch` in one transaction per file."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "BatchedSqliteEventLogStorage":
        """Keep the log where Dagster would: `base_dir` is DAGSTER_HOME, so that the home can be moved."""
        return cls(base_dir=str(Path(config_value["base_dir"]) / "history" / "runs"), inst_data=inst_data)

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}
        self._tables: set[str] = set()
        super().__init__(base_dir, inst_data)

    def conn_string_for_shard(self, shard_name: str) -> str:
        """Return the SQLAlchemy address of the file of the index or of a run."""
        return build_sqlite_address(self._base_dir, shard_name)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        """Open a transaction on the index or on a run's file. The file stays open until another run's file is used."""
        with self._db_lock, lock_monitor.watch(Path(self.path_for_shard(shard))):
            engine = self._engines.get(shard)
            if engine is None:
                for other in self._engines.keys() - {INDEX_SHARD_NAME}:
                    self._engines.pop(other).dispose()
                # All threads share one connection: `_db_lock` admits one at a time.
                options = {"timeout": WAIT_SECONDS, "check_same_thread": False}
                engine = create_engine(self.conn_string_for_shard(shard), poolclass=StaticPool, connect_args=options)
                self._initdb(engine)
                self._engines[shard] = engine
            with engine.connect() as connection, connection.begin():
                yield connection

    def _close(self) -> None:
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()

    def has_table(self, table_name: str) -> bool:
        """Check once: a table is never dropped, and Dagster checks for each event, on a connection of its own."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def wipe(self) -> None:
        """Delete the events of all runs. Their files must be closed first."""
        self._close()
        super().wipe()

    def dispose(self) -> None:
        """Close every file."""
        super().dispose()
        self._close()

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event; failures as one line."""
        super().store_event(rewrite_entry(event))

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store the events of assets together, all others one by one."""
        of_assets = [event for event in events if event.dagster_event_type in ASSET_EVENTS]
        for event in events:
            if event.dagster_event_type not in ASSET_EVENTS:
                self.store_event(event)
        for run_id in dict.fromkeys(event.run_id for event in of_assets):
            self._store_asset_events([event for event in of_assets if event.run_id == run_id], run_id)

    def _store_asset_events(self, events: Sequence[EventLogEntry], run_id: str) -> None:
        statements = [self.prepare_insert_event(event) for event in events]
        with self.run_connection(run_id) as connection:
            for statement in statements:
                connection.execute(statement)
        with self.index_transaction() as connection:
            ids = []
            for statement in statements:
                with db_result(connection, statement) as result:
                    ids.append(result.inserted_primary_key[0])
            self._store_asset_event_tags(connection, events, ids)
            # The table of assets keeps the last event of each type: earlier ones would be overwritten at once.
            last = {
                (event.get_dagster_event().asset_key, event.dagster_event_type): (event, event_id)
                for event, event_id in zip(events, ids, strict=True)
            }
            for event, event_id in last.values():
                self._store_asset_event(connection, event, event_id)
