"""Where Dagster's SQLite files lie, and what happens while another program has one of them locked.

Dagster waits for a locked file for five to thirty seconds, in silence, and then fails the run.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import URL

from pipelines.steps.progress import log

WAIT_SECONDS = 600
"""How long a run waits for a file that another program has locked."""
_TELL_AFTER_SECONDS = 5.0
_LOOK_AGAIN_SECONDS = 1.0


def address_of(base_dir: str, name: str) -> str:
    """Return the SQLAlchemy address of a database file.

    Dagster's own joins the path to `sqlite:///`, in which `?` begins parameters and `%20` is a space: files were then made
    outside of the home, and tables were not found in it.
    """
    path = Path(base_dir).absolute() / f"{name}.db"
    return URL.create("sqlite", database=str(path)).render_as_string()


def lock_holders(path: Path) -> list[int]:
    """Return the processes that have a SQLite file locked, where the system tells (Linux), without this one."""
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
    """Return who has a file locked, as text: `PID 1234 (python)`, or `another program`."""
    named = []
    for pid in lock_holders(path):
        with suppress(OSError):
            named.append(f"PID {pid} ({Path(f'/proc/{pid}/comm').read_text(errors='replace').strip()})")
    return " and ".join(named) or "another program"


class _Watch:
    """Says once who has a file locked, while somebody in this process waits for it."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[float, Path]] = {}
        self._is_told: set[int] = set()
        self._started = threading.Event()

    @contextmanager
    def over(self, path: Path) -> Iterator[None]:
        """Watch what goes on meanwhile."""
        key = threading.get_ident()
        self._waiting[key] = (time.monotonic(), path)
        if not self._started.is_set():
            self._started.set()
            threading.Thread(target=self._look, name="history locks", daemon=True).start()
        try:
            yield
        finally:
            self._waiting.pop(key, None)
            self._is_told.discard(key)

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK_AGAIN_SECONDS)
            for key, (since, path) in list(self._waiting.items()):
                if time.monotonic() - since > _TELL_AFTER_SECONDS and key not in self._is_told and lock_holders(path):
                    self._is_told.add(key)
                    log(f"waiting for {describe_holders(path)}, which has {path} locked")


watch = _Watch()
