"""The request budget: when the next request may start, over all apps and threads of a process. Keep everything else out."""

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
"""Share of the rate that is used. A server that counts over any second also counts requests that the network bunched: four
requests spaced exactly can arrive as five in one second. Seen on a busy host: processes woke up 22 ms late; this leaves
25 ms over four slots."""

MAX_CATCH_UP = 0.06
"""Share of its interval that a slot may be late without delaying the next one. A longer delay moves all later slots, and a
slot that no request waited for is never late.

It is less than the headroom of four slots; otherwise the fifth could start within a second of a late one."""

WRITE_TOLERANCE = 0.02
"""The same share for the writing of requests: less than the headroom of one slot, so that it holds for a limit of any size."""

_NOTIFY_FROM_SECONDS = 10.0
"""A longer wait is reported; otherwise the program would seem to hang."""


def request_interval(requests_per_second: float) -> float:
    """Return the seconds between the starts of two requests. 0 requests per second means unlimited."""
    return 1 / (requests_per_second * _HEADROOM) if requests_per_second else 0.0


def is_subsecond_window(window_seconds: float, interval: float) -> bool:
    """Whether a rate limit's window is a second or shorter: evenly spaced requests need not wait for its end.

    Waiting would lose every other second of a limit per second. If another program has used it up, a 429 says so.
    """
    return bool(interval) and window_seconds <= 1


class WaitNotice:
    """Reports each long wait once, although every thread of the budget waits."""

    def __init__(self, notify: Notify) -> None:
        """Report to `notify`."""
        self._notify = notify
        self._reported_until = 0.0
        self._reason = ""

    def set_reason(self, seconds: float, reason: str) -> None:
        """Set the reason of the next wait, if it is long enough to be reported."""
        self._reason = reason if seconds > _NOTIFY_FROM_SECONDS else ""

    def report(self, seconds: float, ends: float) -> None:
        """Report a wait if it is long and new. `ends`, on any monotonic clock, identifies it."""
        if seconds <= _NOTIFY_FROM_SECONDS or ends <= self._reported_until + 1:
            return
        self._reported_until = ends
        ends_at = (utc_now() + timedelta(seconds=seconds)).strftime("%H:%M:%S")
        reason, self._reason = self._reason or "the API's rate limit is used up", ""
        self._notify(f"waiting {seconds:,.0f} s, until {ends_at} UTC: {reason}")


class WriteSpacing:
    """Spaces the moments at which requests are written to their connections, over all threads of a process.

    `wait_for_others` waits for other processes, if the budget is shared with some.

    Between its slot and the write a thread may be held up: by a new connection, or because the machine is busy. Two requests
    would then be sent together. Seen: 3 of 467 requests refused at 20 per second under load 13.
    """

    def __init__(self, interval: float, wait_for_others: Callable[[], None] = lambda: None) -> None:
        """Start with no request written."""
        self._interval = interval
        self._wait_for_others = wait_for_others
        self._tolerance = WRITE_TOLERANCE * interval
        self._lock = threading.Lock()
        self._next_write = 0.0

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Wait until a request may be written, and let no other thread write until the block ends.

        However late each write is, `n` intervals less the tolerance pass between a write and the n-th after it.
        """
        with self._lock:
            while (seconds := self._next_write - self._tolerance - time.monotonic()) > 0:
                time.sleep(seconds)
            self._wait_for_others()
            try:
                yield
            finally:
                self._next_write = max(self._next_write, time.monotonic()) + self._interval


def write_spacing(interval: float) -> WriteSpacing | None:
    """Return the spacing for a budget; None for an unlimited one."""
    return WriteSpacing(interval) if interval else None


class Budget:
    """Spaces requests evenly, and pauses all of them when the API asks for it.

    `requests_per_second` 0 means unlimited. The remaining quota in the API's headers takes precedence: it includes the
    requests of other programs with the same token.
    """

    def __init__(self, requests_per_second: float, notify: Notify = lambda _: None) -> None:
        """Start with no request sent, so that the first one may start at once. `notify` receives a line about each long wait."""
        self._notice = WaitNotice(notify)
        self._interval = request_interval(requests_per_second)
        self.write_spacing = write_spacing(self._interval)
        self._lock = threading.Lock()
        self._next_start = 0.0
        self._paused_until = 0.0
        self._quota: int | None = None
        self._quota_ends = 0.0
        self._in_flight = 0
        self.remaining: int | None = None

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for the next slot, then count as in flight until the block ends."""
        while (seconds := self._seconds_to_wait()) > 0:
            time.sleep(seconds)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def _seconds_to_wait(self) -> float:
        """Take the slot and return 0, or return the seconds to sleep before trying again."""
        with self._lock:
            now = time.monotonic()
            start = max(self._next_start, self._paused_until)
            if self._quota is not None and now >= self._quota_ends:
                self._quota = None
            if self._quota is not None and self._quota <= 0:
                start = max(start, self._quota_ends)
            if start > now:
                if start > self._next_start:  # later than its place in the queue
                    self._notice.report(start - now, start)
                return start - now
            if self._quota is not None:
                self._quota -= 1
            late = now - self._next_start
            catch_up = min(late, MAX_CATCH_UP * self._interval) if late < self._interval else 0.0
            self._next_start = now - catch_up + self._interval
            self._in_flight += 1
            return 0.0

    def pause(self, seconds: float, reason: str = "") -> None:
        """Start no request for this long. `reason` is reported if the wait is long."""
        with self._lock:
            self._notice.set_reason(seconds, reason)
            self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def update_from_headers(self, headers: Mapping[str, str]) -> None:
        """Take over the remaining quota of a reply's headers, less the requests in flight."""
        limit = parse_ratelimit(headers, unix_time())
        if limit:
            with self._lock:
                self.remaining, seconds = limit
                quota = self.remaining - (self._in_flight - 1)
                self._quota = None if is_subsecond_window(seconds, self._interval) else quota
                self._quota_ends = time.monotonic() + seconds

    def close(self) -> None:
        """Do nothing: the budget lives in memory. `SharedBudget` has a session to close."""
