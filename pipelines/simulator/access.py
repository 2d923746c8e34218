"""Request log, rate limit and token check: the steps before a request reaches its operation."""

import hmac
import math
import time
from collections import Counter
from dataclasses import dataclass, field

from pipelines.simulator.refusals import RefusedError


@dataclass(slots=True)
class LoggedRequest:
    """One request as it arrived."""

    method: str
    operation: str
    app_id: str
    path: str
    query: dict[str, str]
    status: int = 0
    """Of the response; 0 before it is sent, or if the connection was dropped before."""
    fault: str | None = None


@dataclass(slots=True)
class RequestLog:
    """Every request since the start, and the highest number in flight at once."""

    requests: list[LoggedRequest] = field(default_factory=list)
    in_flight: int = 0
    max_in_flight: int = 0

    def start(self, request: LoggedRequest) -> None:
        """Record a request that arrived."""
        self.requests.append(request)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def finish(self) -> None:
        """Record that a response was sent."""
        self.in_flight -= 1

    def counts_by_operation(self) -> Counter[str]:
        """Return the number of requests per operation."""
        return Counter(request.operation for request in list(self.requests))


@dataclass(slots=True)
class Quota:
    """A number of requests per window of seconds; a window begins with the first request after the last window."""

    requests: int
    seconds: float
    _used: int = 0
    _ends: float = 0.0

    def consume(self) -> bool:
        """Count one request; return whether it was within the quota."""
        now = time.monotonic()
        if now >= self._ends:
            self._used, self._ends = 0, now + self.seconds
        self._used += 1
        return self._used <= self.requests

    @property
    def resets_in_seconds(self) -> int:
        """Seconds until the window ends, rounded up."""
        return max(1, math.ceil(self._ends - time.monotonic()))

    def headers(self) -> dict[str, str]:
        """Return Ratelimit and Ratelimit-Policy in the format of the service."""
        left = max(0, self.requests - self._used)
        return {
            "Ratelimit": f'"default";r={left};t={self.resets_in_seconds}',
            "Ratelimit-Policy": f'"default";q={self.requests};w={math.ceil(self.seconds)}',
        }


@dataclass(frozen=True, slots=True)
class Access:
    """The account, its token, and whether the token has the Realtime permission."""

    account_id: str
    token: str
    permitted: bool = True

    def check_token(self, authorization: str) -> None:
        """Raise `RefusedError` for a wrong token or a token without the permission."""
        if not hmac.compare_digest(authorization.encode(), f"Bearer {self.token}".encode()):
            raise RefusedError(401, 10_000, "Authentication error")
        if not self.permitted:
            raise RefusedError(403, 10_000, "Token lacks the permission Realtime (read)")

    def check_account(self, account_id: str) -> None:
        """Raise `RefusedError` for another account."""
        if account_id != self.account_id:
            raise RefusedError(404, 7_003, "Could not route to account: no such account")
