"""Whether a failed request is sent again, and after which pause. One policy for limits, 5xx and broken replies."""

import random
from http import HTTPStatus

from pipelines.errors import TransientApiError

MAX_RETRIES = 6
"""How often a request is sent again after a 5xx, a broken or a cut reply: with the pauses below about half
a minute, which outlasts a deployment but not an outage; an outage is for tomorrow's run."""

MAX_RATE_LIMIT_RETRIES = 9
"""How often it is sent again after a 429, each time later."""

MAX_WAIT_SECONDS = 900.0
"""Seconds. The vendor blocks for five minutes; a request to wait longer than three of those ends this one instead."""

_LONGEST_IN_EXCHANGES = 300.0
"""Seconds. A server whose every reply takes its whole deadline is not asked seven times."""

_LONGEST_GROWTH = 60
_JITTER = random.SystemRandom()


class RetryPolicy:
    """The retries of one request."""

    def __init__(self, pause_seconds: float, *, is_patient: bool) -> None:
        """Begin before the first try. Not `is_patient`: once more at most, and no wait that the API asks for."""
        self._pause = pause_seconds
        self._is_patient = is_patient
        self.most_retries = MAX_RETRIES if is_patient else 1
        self.retries = 0
        self.limits = 0
        self.seconds_in_exchanges = 0.0

    def next_pause(self, error: TransientApiError) -> float | None:
        """Return how long to wait before the next try, never less than the API asks for; None: give up."""
        asked = error.wait_seconds or 0.0
        if asked > MAX_WAIT_SECONDS or (asked and not self._is_patient) or self._is_spent():
            return None
        if is_rate_limit(error):
            self.limits += 1
            growth = min(2.0**self.limits, 2.0 * _LONGEST_GROWTH)
            return max(asked, growth * self._pause) if self._has_more_limits() else None
        self.retries += 1
        if self.retries > self.most_retries:
            return None
        growth = min(2.0 ** (self.retries - 1), float(_LONGEST_GROWTH)) + _JITTER.random()
        return max(asked, growth * self._pause)

    def _has_more_limits(self) -> bool:
        return self._is_patient and self.limits <= MAX_RATE_LIMIT_RETRIES

    def _is_spent(self) -> bool:
        return self.seconds_in_exchanges > _LONGEST_IN_EXCHANGES

    def describe(self, error: TransientApiError, pause: float) -> str:
        """Say which retry comes when, for whoever watches."""
        number, most = (
            (self.limits, MAX_RATE_LIMIT_RETRIES) if is_rate_limit(error) else (self.retries, self.most_retries)
        )
        return f"{error}; retry {number} of {most} in {pause:.0f} s"


def is_rate_limit(error: TransientApiError) -> bool:
    """Whether it is a 429: every thread waits, not only the one that got it."""
    return error.status == HTTPStatus.TOO_MANY_REQUESTS
