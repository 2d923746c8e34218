"""What time it is for the simulator that this thread serves: the Date of its replies, and dates in them, must agree."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

_of_thread = threading.local()


def set_thread_clock(now: Callable[[], datetime]) -> None:
    """Let this thread serve the time of a world (UTC)."""
    _of_thread.now = now


def thread_now() -> datetime:
    """Return the time of the world that this thread serves, else the machine's."""
    now: datetime = getattr(_of_thread, "now", lambda: datetime.now(UTC))()
    return now.replace(tzinfo=UTC)
