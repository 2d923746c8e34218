"""When the next request may start. One budget for all apps and threads; nothing else belongs here."""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_HEADROOM = 0.975
"""Share of the rate that is used. A server that counts exactly, over any second, also counts what the
network pushed together: four requests spaced to the letter can arrive as five in one second. Seen on a busy host:
processes that wake up 22 ms too late; four turns have 25 to spare."""

MADE_UP = 0.06
"""How much of its interval a turn may be late and the next one still be on time; what is more moves all that follow, and
a turn that nobody was waiting for is never late.

Less than what four turns have to spare, or the fifth could come within a second of one that was late."""

_REMAINING = re.compile(r"\b(?:r|remaining)\s*=\s*(\d+)")
_RESET = re.compile(r"\b(?:t|reset)\s*=\s*(\d+(?:\.\d+)?)")

_LONGEST_RESET = 900.0
"""Seconds. The vendor's windows last five minutes; a header that says a year must not stop us for one."""


def interval_of(requests_per_second: float) -> float:
    """Seconds between the starts of two requests; 0 requests per second means unlimited."""
    return 1 / (requests_per_second * _HEADROOM) if requests_per_second else 0.0


def left_by(headers: Mapping[str, str]) -> tuple[int, float] | None:
    """How many requests a reply's `Ratelimit` header leaves, and for how many seconds; None where it does not say."""
    header = headers.get("ratelimit", "")
    remaining, reset = _REMAINING.search(header), _RESET.search(header)
    return (int(remaining[1]), min(float(reset[1]), _LONGEST_RESET)) if remaining and reset else None


def is_over_soon(window_seconds: float, interval: float) -> bool:
    """Whether a limit's window ends within the second it is told in: evenly spaced requests need not wait for that.

    Of a limit by the second every other second would be waited for. Should others have used it up, a 429 tells.
    """
    return bool(interval) and window_seconds <= 1


class Budget:
    """Spaces requests evenly, and holds all of them back when the API says to.

    `requests_per_second` 0 means unlimited. What the API's own headers leave comes first: they count what
    other programs with the same token have used up.
    """

    def __init__(self, requests_per_second: float) -> None:
        """Begin with nothing sent, so the first request may go at once."""
        self._interval = interval_of(requests_per_second)
        self._lock = threading.Lock()
        self._next_start = 0.0
        self._held_until = 0.0
        self._credit: int | None = None
        self._credit_ends = 0.0
        self._in_flight = 0
        self.remaining: int | None = None

    @contextmanager
    def request(self) -> Iterator[None]:
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
                return start - now
            if self._credit is not None:
                self._credit -= 1
            late = now - self._next_start
            made_up = min(late, MADE_UP * self._interval) if late < self._interval else 0.0
            self._next_start = now - made_up + self._interval
            self._in_flight += 1
            return 0.0

    def hold(self, seconds: float) -> None:
        """Let no request start for so long."""
        with self._lock:
            self._held_until = max(self._held_until, time.monotonic() + seconds)

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take over what a reply's `Ratelimit` header says is left, less what is under way already."""
        told = left_by(headers)
        if told:
            with self._lock:
                self.remaining, seconds = told
                left = self.remaining - (self._in_flight - 1)
                self._credit = None if is_over_soon(seconds, self._interval) else left
                self._credit_ends = time.monotonic() + seconds

    def close(self) -> None:
        """End it; nothing of it is kept anywhere."""
