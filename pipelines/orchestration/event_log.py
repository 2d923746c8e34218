"""Dagster's event log in SQLite, written by the batch.

Each day of each asset is two events, and Dagster's own SQLite log opens, commits and syncs two files for each:
a year took longer to book than to load. Here a batch is one transaction a file, and a file stays open while it is
written to. What is stored is the same.
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

from pipelines.orchestration.sqlite_files import WAIT_SECONDS, address_of, watch


class BatchedSqliteEventLogStorage(SqliteEventLogStorage):
    """Dagster's SQLite event log, with `store_event_batch` in one transaction a file."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "BatchedSqliteEventLogStorage":
        """Keep the log where Dagster would: `base_dir` is DAGSTER_HOME, so that the house can be moved."""
        return cls(base_dir=str(Path(config_value["base_dir"]) / "history" / "runs"), inst_data=inst_data)

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}
        self._tables: set[str] = set()
        super().__init__(base_dir, inst_data)

    def conn_string_for_shard(self, shard_name: str) -> str:
        """Return the address of the index's or a run's file."""
        return address_of(self._base_dir, shard_name)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        """Open a transaction on the index or on a run's file, each of which stays open until another run's is used."""
        with self._db_lock, watch.over(Path(self.path_for_shard(shard))):
            engine = self._engines.get(shard)
            if engine is None:
                for other in self._engines.keys() - {INDEX_SHARD_NAME}:
                    self._engines.pop(other).dispose()
                # One connection for every thread: the lock lets them in one by one.
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
        """Look once: a table that is there stays, and Dagster asks for each event, each time on a connection of its own."""
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def wipe(self) -> None:
        """Delete every run's events, whose files must be closed first."""
        self._close()
        super().wipe()

    def dispose(self) -> None:
        """Close every file."""
        super().dispose()
        self._close()

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of assets together; any others one by one."""
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
            # The table of assets keeps the last event of each kind: earlier ones would be overwritten at once.
            last = {
                (event.get_dagster_event().asset_key, event.dagster_event_type): (event, event_id)
                for event, event_id in zip(events, ids, strict=True)
            }
            for event, event_id in last.values():
                self._store_asset_event(connection, event, event_id)
