"""One run at a time on a home. The operating system frees the lock of a process that died."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pipelines.errors import AlreadyRunningError, WarehouseError

_LOOK_AGAIN_SECONDS = 0.2


def holder(lock_path: Path) -> str:
    """Who holds the lock, as it wrote itself in: `PID n`, or `another process`."""
    try:
        written = lock_path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        written = ""
    return written if re.fullmatch(r"PID \d{1,10}", written) else "another process"


@contextmanager
def exclusive(lock_path: Path, *, wait_seconds: float, log: Callable[[str], None]) -> Iterator[None]:
    """Hold the house alone. Waits for another run to end, says so once, and gives up after `wait_seconds`."""
    lock = FileLock(lock_path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log(f"waiting for {holder(lock_path)}, which is writing to {lock_path.parent}")
        deadline = time.monotonic() + wait_seconds
        while not lock.is_locked:
            try:
                lock.acquire(timeout=min(_LOOK_AGAIN_SECONDS, max(deadline - time.monotonic(), 0)))
            except Timeout:
                if time.monotonic() >= deadline:
                    raise AlreadyRunningError(
                        f"{holder(lock_path)} is still writing to {lock_path.parent}"
                        f" after {wait_seconds:.0f} s: wait for it, end it, or raise LIVEHOUSE_LOCK_WAIT_SECONDS"
                    ) from None
    except OSError as error:
        raise WarehouseError(f"{lock_path}: {error.strerror}; fix its permissions or LIVEHOUSE_HOME") from None
    try:
        with suppress(OSError):  # on a full disk the lock holds all the same, without a name
            lock_path.write_text(f"PID {os.getpid()}\n")
        yield
    finally:
        with suppress(OSError):
            lock_path.write_text("")
        lock.release()
