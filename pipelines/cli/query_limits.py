"""Limits of a query that DuckDB does not enforce: its time, ctrl-C, and memory outside of DuckDB's buffers.

DuckDB looks for an interruption between two batches of rows. One call, such as `levenshtein` of two long texts, may take
hours within a batch. So a thread ends the process if the query does not end soon after it was interrupted; a query only
reads, so nothing is lost.
"""

import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

from pipelines.errors import QueryError

_EXTRA_MEMORY_BYTES = 4 * 2**30
"""DuckDB's own limit (`READER_LIMITS`) does not count texts and lists under construction, nor rows that Python holds."""

_INTERRUPTED_SECONDS = 1.0
"""How long an interrupted query may go on before the process is ended."""

_STOPPED = 128 + signal.SIGINT


class TimeLimit:
    """The time that a connection's queries may take together. Waiting for a reader of the output does not count."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, seconds: float) -> None:
        """Take the connection, and the limit in seconds; 0 is no limit."""
        self._connection = connection
        self._seconds = seconds
        self._seconds_left = seconds or None
        self._is_over = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Interrupt what DuckDB does in this block when the time is over, and at ctrl-C at once.

        Raises `QueryError` when the time is over. Call it in the main thread, which receives the signals.
        """
        began = time.monotonic()
        signals, wakeup = socket.socketpair()
        with signals, wakeup:
            wakeup.settimeout(0)  # as `set_wakeup_fd` requires
            previous = signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
            watcher = threading.Thread(target=self._watch, args=(signals,), daemon=True)
            watcher.start()
            try:
                yield
            except duckdb.InterruptException:
                if self._is_over:
                    raise QueryError(self._message()) from None
                raise KeyboardInterrupt from None
            finally:
                signal.set_wakeup_fd(previous)
                wakeup.shutdown(socket.SHUT_RDWR)
                watcher.join()
        if self._seconds_left is not None:
            self._seconds_left -= time.monotonic() - began
            if self._seconds_left <= 0:  # DuckDB ignores an interruption between two queries
                raise QueryError(self._message())

    def _message(self) -> str:
        return f"the query was ended after {self._seconds:g} s: give it more time with --timeout (0 for no limit)"

    def _watch(self, signals: socket.socket) -> None:
        """Wait for ctrl-C, for the end of the time, or for the end of the block."""
        ends = None if self._seconds_left is None else time.monotonic() + self._seconds_left
        while not self._is_over:
            left = None if ends is None else max(0.0, ends - time.monotonic())
            if not select.select([signals], [], [], left)[0]:
                self._is_over = True
            elif not (received := signals.recv(64)):
                return
            elif signal.SIGINT in received:
                break
        self._connection.interrupt()
        if _is_closed_within(signals, _INTERRUPTED_SECONDS):
            return
        line, status = (self._message(), 1) if self._is_over else ("stopped", _STOPPED)
        with suppress(OSError):
            os.write(sys.stderr.fileno(), f"livehouse: {line}\n".encode())
        os._exit(status)


def _is_closed_within(signals: socket.socket, seconds: float) -> bool:
    """Return whether the other end is closed within a time. Further signals are ignored."""
    ends = time.monotonic() + seconds
    while select.select([signals], [], [], max(0.0, ends - time.monotonic()))[0]:
        if not signals.recv(64):
            return True
    return False


@contextmanager
def limit_memory() -> Iterator[None]:
    """Limit the address space of the process. Raises `QueryError` where Python needs more.

    A query needs little beyond DuckDB's limit, unless it builds huge texts: `repeat('x', 100_000_000)` in each row takes 200 GB.
    """
    before = resource.getrlimit(resource.RLIMIT_AS)
    soft, hard = before
    with suppress(OSError, ValueError):  # no /proc: a system other than Linux, which does not enforce this limit either
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + _EXTRA_MEMORY_BYTES
        given = [one for one in (soft, hard) if one != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_AS, (min([limit, *given]), hard))
    try:
        yield
    except MemoryError:
        raise QueryError(
            "the result needs more memory than a query may take: select fewer rows or shorter texts"
        ) from None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
