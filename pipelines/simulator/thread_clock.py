"""The time of the world that this thread serves: the Date header and the dates in responses must agree."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

_of_thread = threading.local()


def set_thread_clock(now: Callable[[], datetime]) -> None:
    """Set the clock of this thread (UTC)."""
    _of_thread.now = now


def thread_now() -> datetime:
    """Return the time of the world that this thread serves, or the system time outside of one."""
    now: datetime = getattr(_of_thread, "now", lambda: datetime.now(UTC))()
    return now.replace(tzinfo=UTC)
