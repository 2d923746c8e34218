"""Decides whether and when a failed request is sent again. One policy for rate limits, 5xx and incomplete replies.

`client.py` runs the loop, without stamina: a rate limit has other bounds than a failure, a deadline must count the time in
exchanges only, not the time that the request budget makes a request wait, and its loop costs as much as parsing a reply.
"""

import random
import time
from http import HTTPStatus

from pipelines.errors import TransientApiError

MAX_RETRIES = 6
"""Retries after a 5xx or an incomplete reply. With the pauses below they take about half a minute, which outlasts a
deployment but not an outage; an outage is for tomorrow's run."""

MAX_RATE_LIMIT_RETRIES = 9
"""Retries after a 429, each with a longer pause."""

MAX_WAIT_SECONDS = 900.0
"""The vendor blocks for five minutes. Give up if asked to wait longer than three of those."""

_MAX_EXCHANGE_SECONDS = 300.0
"""A server whose every reply takes the whole deadline gets fewer than seven requests."""

_MAX_GROWTH = 60
_JITTER = random.SystemRandom()


class RetryPolicy:
    """The retries of one request. Not thread-safe: a request belongs to one thread."""

    def __init__(
        self, pause_seconds: float, *, is_patient: bool, is_repeatable: bool, is_optional: bool = False
    ) -> None:
        """Create the policy before the first try.

        `pause_seconds`: unit of the growing pauses. `is_patient` False: retry once at most, and never wait for as long as
        the API asks. `is_repeatable` False: retry after a 429 only. `is_optional`: a 501 is final.
        """
        self.is_repeatable = is_repeatable
        self.is_patient = is_patient
        self.max_retries = MAX_RETRIES if is_patient else 1
        self.retries = 0
        self.rate_limit_retries = 0
        self.started = time.monotonic()
        self.exchange_seconds = 0.0
        """Time spent in exchanges so far; the client adds to it."""
        self._pause_seconds = pause_seconds
        self._is_optional = is_optional

    def next_pause(self, error: TransientApiError) -> float | None:
        """Return the seconds to wait before the next try, at least as long as the API asks; None to give up."""
        if self._is_final(error):
            return None
        requested = error.wait_seconds or 0.0
        if is_rate_limit(error):
            self.rate_limit_retries += 1
            growth = min(2.0**self.rate_limit_retries, 2.0 * _MAX_GROWTH)
            has_more = self.is_patient and self.rate_limit_retries <= MAX_RATE_LIMIT_RETRIES
        else:
            self.retries += 1
            growth = min(2.0 ** (self.retries - 1), float(_MAX_GROWTH)) + _JITTER.random()
            has_more = self.retries <= self.max_retries
        return max(requested, growth * self._pause_seconds) if has_more else None

    def _is_final(self, error: TransientApiError) -> bool:
        wait_seconds = error.wait_seconds or 0.0
        return (
            (not self.is_repeatable and not is_rate_limit(error))
            or (self._is_optional and error.status == HTTPStatus.NOT_IMPLEMENTED)
            or wait_seconds > MAX_WAIT_SECONDS
            or (wait_seconds > 0 and not self.is_patient)
            or self.exchange_seconds > _MAX_EXCHANGE_SECONDS
        )

    def describe(self, error: TransientApiError, pause_seconds: float) -> str:
        """Return a line about the retry that follows an error."""
        number, most = (
            (self.rate_limit_retries, MAX_RATE_LIMIT_RETRIES)
            if is_rate_limit(error)
            else (self.retries, self.max_retries)
        )
        return f"{error}; retry {number} of {most} in {pause_seconds:.0f} s"


def is_rate_limit(error: TransientApiError) -> bool:
    """Whether it is a 429: all threads wait, not only the one that received it."""
    return error.status == HTTPStatus.TOO_MANY_REQUESTS
