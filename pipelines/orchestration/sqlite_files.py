"""Addresses and tables of Dagster's SQLite files, and messages while another program has one of them locked.

Dagster waits for a locked file for five to thirty seconds, in silence, and then fails the run.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL

from pipelines.telemetry.logs import log

if TYPE_CHECKING:
    from alembic.config import Config

WAIT_SECONDS = 600
"""How long a run waits for a file that another program has locked."""
_REPORT_AFTER_SECONDS = 5.0
_CHECK_INTERVAL_SECONDS = 1.0


def build_sqlite_address(base_dir: str, name: str) -> str:
    """Return the SQLAlchemy address of a database file.

    Dagster appends the path to `sqlite:///`, where `?` begins parameters and `%20` is a space: files were created outside
    of the home, and tables were not found in it.
    """
    path = Path(base_dir).absolute() / f"{name}.db"
    return URL.create("sqlite", database=str(path)).render_as_string()


def has_schema(file: Path) -> bool:
    """Return whether Dagster has created the tables of a file: it writes the version of the schema last."""
    if not file.is_file():
        return False
    with closing(sqlite3.connect(file, timeout=WAIT_SECONDS)) as connection:
        try:
            return connection.execute("SELECT 1 FROM alembic_version").fetchone() is not None
        except sqlite3.DatabaseError:
            return False  # no tables yet; a damaged file is reported when Dagster opens it


@contextmanager
def read_migrations_once() -> Iterator[None]:
    """Let alembic read Dagster's migrations once. For a new history it reads all 89 of them six times, which takes half a second."""
    from alembic.script import ScriptDirectory

    original, found = ScriptDirectory.from_config, dict[str | None, ScriptDirectory]()

    def from_config(config: "Config") -> ScriptDirectory:
        location = config.get_main_option("script_location")
        if location not in found:
            found[location] = original(config)
        return found[location]

    ScriptDirectory.from_config = from_config  # type: ignore[method-assign]  # alembic has no argument for it
    try:
        yield
    finally:
        ScriptDirectory.from_config = original  # type: ignore[method-assign]  # same


def copy_schema(source: Path, target: Path) -> None:
    """Create the tables of one file in another, empty one, with the version of the schema."""
    with closing(sqlite3.connect(target, timeout=WAIT_SECONDS, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("ATTACH ? AS source", [str(source)])
        connection.execute("BEGIN")  # not IMMEDIATE, which would lock the source too
        tables = (
            "SELECT sql FROM source.sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
        )
        for (statement,) in connection.execute(tables).fetchall():
            connection.execute(statement)
        connection.execute("INSERT INTO main.alembic_version SELECT * FROM source.alembic_version")
        connection.execute("COMMIT")


def find_lock_holders(path: Path) -> list[int]:
    """Return the ids of the other processes that have a SQLite file locked, on Linux; elsewhere none."""
    inodes = set()
    for file in (path, Path(f"{path}-shm"), Path(f"{path}-wal"), Path(f"{path}-journal")):
        with suppress(OSError):
            inodes.add(f"{file.stat().st_ino}")
    holders = set()
    with suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines():
            # 1: POSIX  ADVISORY  WRITE 1234 08:01:131338 0 EOF; a line with `->` waits for the one before.
            match line.split():
                case [_, _, _, "WRITE", pid, locked, *_] if locked.split(":")[-1] in inodes:
                    holders.add(int(pid))
    return sorted(holders - {os.getpid()})


def describe_holders(path: Path) -> str:
    """Return the programs that have a file locked, as text: `PID 1234 (python)`, or `another program`."""
    named = []
    for pid in find_lock_holders(path):
        with suppress(OSError):
            named.append(f"PID {pid} ({Path(f'/proc/{pid}/comm').read_text(errors='replace').strip()})")
    return " and ".join(named) or "another program"


class _LockMonitor:
    """Logs once, while a thread of this process waits for a file, which program has it locked."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[float, Path]] = {}
        self._reported: set[int] = set()
        self._started = threading.Event()

    @contextmanager
    def watch(self, path: Path) -> Iterator[None]:
        """Log a message if the body takes long because of a lock on the file."""
        key = threading.get_ident()
        self._waiting[key] = (time.monotonic(), path)
        if not self._started.is_set():
            self._started.set()
            threading.Thread(target=self._report_locks, name="history locks", daemon=True).start()
        try:
            yield
        finally:
            self._waiting.pop(key, None)
            self._reported.discard(key)

    def _report_locks(self) -> None:
        while True:
            time.sleep(_CHECK_INTERVAL_SECONDS)
            for key, (since, path) in list(self._waiting.items()):
                is_late = time.monotonic() - since > _REPORT_AFTER_SECONDS
                if is_late and key not in self._reported and find_lock_holders(path):
                    self._reported.add(key)
                    log(f"waiting for {describe_holders(path)}, which has {path} locked")


lock_monitor = _LockMonitor()
