"""Dagster's event log in SQLite, written in batches.

Dagster's own SQLite log opens, commits and syncs up to three files for each event: a year took longer to record than to
load, and a night without changes spent a fifth of its time on it. Here events wait for each other, at most a second, and a
batch is one transaction per file. Events about the run itself and failures are stored at once, and every read stores what is
pending first. The stored rows are the same. Dagster's private API is used: see docs/decisions and tests/test_history.py.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Timer, get_ident
from typing import Any

from dagster import AssetKey, DagsterRun, EventLogEntry, EventLogRecord
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS, EVENT_TYPE_TO_PIPELINE_RUN_STATUS, DagsterEventType
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetKeyTable, SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, StaticPool, create_engine, text
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DatabaseError

from pipelines.orchestration.failure_events import rewrite_entry
from pipelines.orchestration.sqlite_files import (
    WAIT_SECONDS,
    build_sqlite_address,
    copy_schema,
    has_schema,
    lock_monitor,
)

_LONGEST_WAIT_SECONDS = 1.0
"""How long an event of a step waits for others; `livehouse ui` shows it that much later."""
_LARGEST_BATCH = 1_000
_MIRRORED = ASSET_EVENTS | ASSET_CHECK_EVENTS | EVENT_TYPE_TO_PIPELINE_RUN_STATUS.keys()
"""Events that Dagster also keeps in the index, across runs."""


class BatchedSqliteEventLogStorage(SqliteEventLogStorage):
    """Dagster's SQLite event log, with one transaction per file for the events of a step."""

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> "BatchedSqliteEventLogStorage":
        """Keep the log where Dagster would: `base_dir` is DAGSTER_HOME, so that the home can be moved."""
        return cls(base_dir=str(Path(config_value["base_dir"]) / "history" / "runs"), inst_data=inst_data)

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}
        self._found: set[tuple[str, str]] = set()
        self._pending: list[EventLogEntry] = []
        self._timer: Timer | None = None
        self._batch: tuple[int, Connection] | None = None
        self._latest: dict[AssetKey, tuple[tuple[str, ...], EventLogRecord | None]] = {}
        super().__init__(base_dir, inst_data)

    def conn_string_for_shard(self, shard_name: str) -> str:
        """Return the SQLAlchemy address of the file of the index or of a run."""
        return build_sqlite_address(self._base_dir, shard_name)

    def _initdb(self, engine: Engine, for_index_shard: bool = False) -> None:  # noqa: FBT001, FBT002 - Dagster's signature
        """Create the tables of a file. Alembic, which takes a third of a second, only creates those of the index."""
        file, index = Path(str(engine.url.database)), Path(self.path_for_shard(INDEX_SHARD_NAME))
        if has_schema(file):
            return
        if file != index and has_schema(index):
            copy_schema(index, file)
        else:
            super()._initdb(engine, for_index_shard)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        """Store the pending events, and open a transaction on the index or on a run's file."""
        with self._db_lock, lock_monitor.watch(Path(self.path_for_shard(shard))):
            self._store([])
            with self._begin(shard) as connection:
                yield connection

    @contextmanager
    def _begin(self, shard: str) -> Iterator[Connection]:
        """Open a transaction. The file stays open until another run's file is used. `_db_lock` must be held."""
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

    @contextmanager
    def index_connection(self) -> Iterator[Connection]:
        """Open a transaction on the index; within a batch, take part in the transaction of the batch."""
        if self._batch and self._batch[0] == get_ident():
            yield self._batch[1]
            return
        with self._connect(INDEX_SHARD_NAME) as connection:
            yield connection

    def _close(self) -> None:
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()

    def _check_once(self, kind: str, name: str, check: Callable[[str], bool]) -> bool:
        """Return whether something exists. It is never dropped, and Dagster checks for each event."""
        known = (kind, name)
        if known not in self._found and check(name):
            self._found.add(known)
        return known in self._found

    def has_table(self, table_name: str) -> bool:
        """Return whether the index has a table."""
        return self._check_once("table", table_name, super().has_table)

    def has_secondary_index(self, name: str) -> bool:
        """Return whether a migration of data is complete."""
        return self._check_once("migration", name, super().has_secondary_index)

    def has_asset_key_col(self, column_name: str) -> bool:
        """Return whether the table of assets has a column, without a transaction once it is known."""
        return self._check_once("column", column_name, super().has_asset_key_col)

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        check = partial(super()._has_asset_key_col_on_connection, conn)
        return self._check_once("column", column_name, check)

    def wipe(self) -> None:
        """Delete the events of all runs. Their files must be closed first."""
        self._close()
        super().wipe()

    def dispose(self) -> None:
        """Store the pending events, and close every file."""
        with self._db_lock:
            self._store([])
        super().dispose()
        self._close()

    def _find_run(self, run_id: str) -> DagsterRun | None:
        return self._instance.get_run_by_id(run_id) if self.has_instance else None

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event."""
        self.store_event_batch([event])

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events, failures as one line: at once if one of them is urgent, else together with the next ones."""
        events = [rewrite_entry(event, self._find_run) for event in events]
        with self._db_lock:
            if any(_is_urgent(event) for event in events) or len(self._pending) + len(events) >= _LARGEST_BATCH:
                self._store(events)
                return
            if not self._pending:
                self._timer = Timer(_LONGEST_WAIT_SECONDS, self._store_late)
                self._timer.daemon = True
                self._timer.start()
            self._pending += events

    def _store_late(self) -> None:
        with suppress(DatabaseError), self._db_lock:  # they stay pending: whatever uses the log next raises the error
            self._store([])

    def _store(self, events: Iterable[EventLogEntry]) -> None:
        """Store the pending events and then these, in one transaction per file. `_db_lock` must be held."""
        events = [*self._pending, *events]
        if not events:
            return
        if self._timer:
            self._timer.cancel()
        rows = [self._event_to_row(event) for event in events]
        with lock_monitor.watch(Path(self.path_for_shard(INDEX_SHARD_NAME))), self._begin(INDEX_SHARD_NAME) as index:
            self._batch = (get_ident(), index)
            try:
                self._mirror(index, events, rows)
            finally:
                self._batch = None
            for run_id in dict.fromkeys(event.run_id for event in events):
                with self._begin(run_id) as connection:
                    of_run = [row for row in rows if row["run_id"] == run_id]
                    connection.execute(SqlEventLogStorageTable.insert(), of_run)
        self._pending.clear()

    def _mirror(self, index: Connection, events: Sequence[EventLogEntry], rows: Sequence[dict[str, Any]]) -> None:
        """Store in the index what Dagster keeps across runs: events of assets, of checks, and of the state of a run."""
        mirrored = [
            (event, row) for event, row in zip(events, rows, strict=True) if event.dagster_event_type in _MIRRORED
        ]
        if not mirrored:
            return
        index.execute(SqlEventLogStorageTable.insert(), [row for _, row in mirrored])
        # The transaction numbers its rows without a gap: no other writer is admitted.
        last_id = index.execute(text("SELECT last_insert_rowid()")).scalar_one()
        numbered = list(enumerate((event for event, _ in mirrored), start=last_id - len(mirrored) + 1))
        of_assets = [(event_id, event) for event_id, event in numbered if event.dagster_event_type in ASSET_EVENTS]
        self._store_asset_event_tags(index, [event for _, event in of_assets], [event_id for event_id, _ in of_assets])
        # The table of assets keeps the last event of each type: earlier ones would be overwritten at once.
        last = {
            (event.get_dagster_event().asset_key, event.dagster_event_type): each
            for each in of_assets
            for event in each[1:]
        }
        for event_id, event in last.values():
            self._store_asset_event(index, event, event_id)
        for event_id, event in numbered:
            if event.dagster_event_type in ASSET_CHECK_EVENTS:
                self.store_asset_check_event(event, event_id)

    def _store_asset_event(self, conn: Connection, event: EventLogEntry, event_id: int) -> None:
        """Insert or update the row of an asset, in one statement."""
        key = event.get_dagster_event().asset_key
        if key is None:
            return
        values = self._get_asset_entry_values(event, event_id, self._has_asset_key_index_cols_on_connection(conn))
        if values:
            row = insert(AssetKeyTable).values(asset_key=key.to_string(), **values)
            conn.execute(row.on_conflict_do_update(index_elements=["asset_key"], set_=values))

    def _get_latest_materialization_records(
        self, raw_asset_rows: Sequence[Mapping[str, Any]]
    ) -> Mapping[AssetKey, EventLogRecord | None]:
        """Return the last materialization of each asset. It is parsed once: every step reads those of all its inputs."""
        found: dict[AssetKey, EventLogRecord | None] = {}
        for row in raw_asset_rows:
            stored = (row["asset_key"], row["last_materialization"], row["asset_details"])
            if (key := AssetKey.from_db_string(row["asset_key"])) is None:
                continue
            if key not in self._latest or self._latest[key][0] != stored:
                self._latest[key] = (stored, super()._get_latest_materialization_records([row]).get(key))
            found[key] = self._latest[key][1]
        return found


def _is_urgent(event: EventLogEntry) -> bool:
    """Return whether an event says more than that a step proceeds: the run's own events, and failures."""
    return event.step_key is None or event.dagster_event_type == DagsterEventType.STEP_FAILURE
