"""When the next request may start. One budget for all apps and threads; nothing else belongs here."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from time import time as unix_time

from pipelines.clock import utc_now
from pipelines.extract.ratelimit import parse_ratelimit

Notify = Callable[[str], None]

_HEADROOM = 0.975
"""Share of the rate that is used. A server that counts exactly, over any second, also counts what the
network pushed together: four requests spaced to the letter can arrive as five in one second. Seen on a busy host:
processes that wake up 22 ms too late; four turns have 25 to spare."""

MAX_CATCH_UP = 0.06
"""How much of its interval a turn may be late and the next one still be on time; what is more moves all that follow, and
a turn that nobody was waiting for is never late.

Less than what four turns have to spare, or the fifth could come within a second of one that was late."""

_TOLD_FROM = 10.0
"""Seconds. A longer wait is announced: without a word it looks as if the program hung."""


def request_interval(requests_per_second: float) -> float:
    """Seconds between the starts of two requests; 0 requests per second means unlimited."""
    return 1 / (requests_per_second * _HEADROOM) if requests_per_second else 0.0


def is_subsecond_window(window_seconds: float, interval: float) -> bool:
    """Whether a limit's window ends within the second it is told in: evenly spaced requests need not wait for that.

    Of a limit by the second every other second would be waited for. Should others have used it up, a 429 tells.
    """
    return bool(interval) and window_seconds <= 1


class WaitNotice:
    """Announces each long wait once, though every thread of the budget waits."""

    def __init__(self, notify: Notify) -> None:
        """Announce by `notify`."""
        self._notify = notify
        self._announced_until = 0.0
        self._reason = ""

    def explain(self, seconds: float, reason: str) -> None:
        """Note why the next wait comes about, if it is one to be announced."""
        self._reason = reason if seconds > _TOLD_FROM else ""

    def announce(self, seconds: float, ends: float) -> None:
        """Say that requests wait for so long, if that is long and has not been said; `ends` identifies the wait."""
        if seconds <= _TOLD_FROM or ends <= self._announced_until + 1:
            return
        self._announced_until = ends
        until = (utc_now() + timedelta(seconds=seconds)).strftime("%H:%M:%S")
        reason, self._reason = self._reason or "the API's rate limit is used up", ""
        self._notify(f"waiting {seconds:,.0f} s, until {until} UTC: {reason}")


class Budget:
    """Spaces requests evenly, and holds all of them back when the API says to.

    `requests_per_second` 0 means unlimited. What the API's own headers leave comes first: they count what
    other programs with the same token have used up.
    """

    def __init__(self, requests_per_second: float, notify: Notify = lambda _: None) -> None:
        """Begin with nothing sent, so the first request may go at once. `notify` is told of long waits."""
        self._notice = WaitNotice(notify)
        self._interval = request_interval(requests_per_second)
        self._lock = threading.Lock()
        self._next_start = 0.0
        self._held_until = 0.0
        self._credit: int | None = None
        self._credit_ends = 0.0
        self._in_flight = 0
        self.remaining: int | None = None

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a turn, then hold a place among the requests in flight."""
        while (seconds := self._seconds_to_wait()) > 0:
            time.sleep(seconds)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def _seconds_to_wait(self) -> float:
        """0 when the turn was taken, else how long to sleep before asking again."""
        with self._lock:
            now = time.monotonic()
            start = max(self._next_start, self._held_until)
            if self._credit is not None and now >= self._credit_ends:
                self._credit = None
            if self._credit is not None and self._credit <= 0:
                start = max(start, self._credit_ends)
            if start > now:
                if start > self._next_start:  # not merely its place in the row
                    self._notice.announce(start - now, start)
                return start - now
            if self._credit is not None:
                self._credit -= 1
            late = now - self._next_start
            made_up = min(late, MAX_CATCH_UP * self._interval) if late < self._interval else 0.0
            self._next_start = now - made_up + self._interval
            self._in_flight += 1
            return 0.0

    def pause(self, seconds: float, reason: str = "") -> None:
        """Let no request start for so long."""
        with self._lock:
            self._notice.explain(seconds, reason)
            self._held_until = max(self._held_until, time.monotonic() + seconds)

    def update_from_headers(self, headers: Mapping[str, str]) -> None:
        """Take over what a reply's headers say is left, less what is under way already."""
        told = parse_ratelimit(headers, unix_time())
        if told:
            with self._lock:
                self.remaining, seconds = told
                left = self.remaining - (self._in_flight - 1)
                self._credit = None if is_subsecond_window(seconds, self._interval) else left
                self._credit_ends = time.monotonic() + seconds

    def close(self) -> None:
        """End it; nothing of it is kept anywhere."""
