"""The lock of a home: one run at a time. The operating system releases it when its process dies."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pipelines.errors import AlreadyRunningError, WarehouseError

_POLL_SECONDS = 0.2


def lock_holder(lock_path: Path) -> str:
    """Return the process that holds the lock, as it wrote itself into the file: `PID n`, or `another process`."""
    try:
        content = lock_path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        content = ""
    return content if re.fullmatch(r"PID \d{1,10}", content) else "another process"


@contextmanager
def exclusive_lock(lock_path: Path, *, wait_seconds: float, log: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a home. Wait for another run to end, and log that once.

    Raises `AlreadyRunningError` after `wait_seconds`, `WarehouseError` if the file cannot be opened.
    """
    lock = FileLock(lock_path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log(f"waiting for {lock_holder(lock_path)}, which is writing to {lock_path.parent}")
        deadline = time.monotonic() + wait_seconds
        while not lock.is_locked:
            try:
                lock.acquire(timeout=min(_POLL_SECONDS, max(deadline - time.monotonic(), 0)))
            except Timeout:
                if time.monotonic() >= deadline:
                    raise AlreadyRunningError(
                        f"{lock_holder(lock_path)} is still writing to {lock_path.parent}"
                        f" after {wait_seconds:.0f} s: wait for it, end it, or raise LIVEHOUSE_LOCK_WAIT_SECONDS"
                    ) from None
    except OSError as error:
        raise WarehouseError(f"{lock_path}: {error.strerror}; fix its permissions or LIVEHOUSE_HOME") from None
    try:
        with suppress(OSError):  # on a full disk the lock works without its holder's name
            lock_path.write_text(f"PID {os.getpid()}\n")
        yield
    finally:
        with suppress(OSError):
            lock_path.write_text("")
        lock.release()
