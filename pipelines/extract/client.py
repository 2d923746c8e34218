"""Sends authenticated requests to the API: within the request budget, with retries, and with secrets redacted.

Knows the API's conventions. `transport/exchange.py` moves the bytes, `retry_policy.py` decides when to try again, and
`operations.py` knows the paths. Keep operations, pages and tables out of this module.
"""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import httpx

from pipelines.catalog.values import Json
from pipelines.clock import utc_now
from pipelines.errors import ApiUnreachableError, SettingsError, TransientApiError
from pipelines.extract.budget import Budget, Notify
from pipelines.extract.dialect import ApiDialect
from pipelines.extract.ratelimit import parse_date, parse_retry_after
from pipelines.extract.reachability import Reachability
from pipelines.extract.redaction import Redactor, SecretTreatment
from pipelines.extract.responses import parse_response
from pipelines.extract.retry_policy import MAX_WAIT_SECONDS, RetryPolicy, is_rate_limit
from pipelines.extract.shared_budget import SharedBudget
from pipelines.transport.exchange import SILENCE_SECONDS, Connections, ExchangeError, Reply

_REQUEST_SECONDS = 120.0
"""Deadline of one exchange. A reply may trickle in, but no reply of this API takes minutes."""

_MAX_BODY_BYTES = 8 * 2**20
"""Of an unpacked body. A page of 100 records has 100 kB; anything larger is a decompression bomb or a mistake."""

_LARGE_BODY_BYTES = 2**20
"""Larger bodies are parsed one at a time, so that several threads do not hold the largest at once."""

_FIRST_ANSWER_SECONDS = 15.0
"""Timeout for the first byte of the first reply of a run. A retry then waits as long as any other request does: a slow
service is not an unreachable one."""

_NOTIFY_FROM_RETRY, _NOTIFY_FROM_SECONDS, _NOTIFY_INTERVAL_SECONDS = 2, 10.0, 1.0
"""A single short retry is not reported; many at once are reported as one line a second."""


@dataclass
class RequestCounts:
    """The requests about one app."""

    sent: int = 0
    retried: int = 0
    refused: int = 0
    """By the rate limit: HTTP 429."""

    def since(self, before: "RequestCounts") -> "RequestCounts":
        """Return what was counted after `before`, an earlier copy."""
        return RequestCounts(self.sent - before.sent, self.retried - before.retried, self.refused - before.refused)


class ApiClient:
    """A client of one account. Threads share it; `sent` and `retried` count the requests of all of them."""

    def __init__(
        self,
        *,
        base_url: str,
        account_id: str,
        token: str,
        requests_per_second: float,
        concurrency: int,
        retry_pause_seconds: float,
        stream_keys: SecretTreatment = "remove",
        budget: Budget | SharedBudget | None = None,
        is_patient: bool = True,
        notify: Notify = lambda _: None,
    ) -> None:
        """Create the client without connecting.

        `stream_keys`: what to do with secrets in replies. `budget`: a budget of its own if None. `is_patient` False: retry
        once at most and wait for no rate limit, because a person waits for the reply. `notify` receives a line about retries
        and long waits. Raises `SettingsError` for an unusable address, proxy or certificate file.
        """
        self.account_id = account_id
        self.concurrency = concurrency
        self.sent = 0
        self.retried = 0
        self.counts_by_app: defaultdict[str, RequestCounts] = defaultdict(RequestCounts)
        self.last_headers: Mapping[str, str] = {}
        self.clock_ahead: timedelta | None = None
        """How far this machine's clock is ahead of the API's (negative: behind), by its last reply with a date."""
        self.dialect = ApiDialect()
        self._base_url = _parse_address(base_url)
        self._base_path = self._base_url.raw_path.decode("ascii").rstrip("/")
        self._is_closed = False
        self._is_patient = is_patient
        self._pause_seconds = retry_pause_seconds
        self._stream_keys = stream_keys
        self._notify = notify
        self._budget = budget or Budget(requests_per_second, notify)
        self._redactor = Redactor(token)
        self._in_flight = threading.Semaphore(concurrency)
        self._lock = threading.Lock()
        self._large_body_lock = threading.Lock()
        self._notified_at = 0.0
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": "livehouse",
        }
        self._connections = Connections(self._base_url, max_connections=concurrency, max_body_bytes=_MAX_BODY_BYTES)
        self._host = Reachability(self._base_url, self._connections.proxy, self._redactor)

    @property
    def remaining(self) -> int | None:
        """The number of requests left by the API's last reply; None if it had none."""
        return self._budget.remaining

    def close(self) -> None:
        """Close the connections. In-flight requests of other threads then fail, without retries."""
        self._is_closed = True
        self._connections.close()
        self._budget.close()

    def get(
        self, path: str, params: Mapping[str, str | int], *, app_id: str = "", is_optional: bool = False
    ) -> dict[str, Any]:
        """Send a GET and return the JSON object of a successful reply.

        `app_id`: the app that it is counted for. `is_optional`: the service may lack the operation, so a 501 is final. Raises
        `ApiError` for a refusal, or when retries are exhausted; `ApiUnreachableError` if the host does not answer.
        """
        policy = self._retry_policy(is_repeatable=True, is_optional=is_optional)
        return self._request("GET", path, policy, app_id=app_id, params=params)

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, app_id: str = "") -> dict[str, Any]:
        """Send a POST, with a body only if one is given. Retried after a 429 only: it could create a second livestream."""
        policy = self._retry_policy(is_repeatable=False)
        content = None if body is None else json.dumps(body).encode()
        return self._request("POST", path, policy, app_id=app_id, content=content)

    def redact(self, value: Json) -> Json:
        """Return a parsed value without the secrets seen so far: a later reply may have named one."""
        return self._redactor.redact(value)

    def _retry_policy(self, *, is_repeatable: bool, is_optional: bool = False) -> RetryPolicy:
        return RetryPolicy(
            self._pause_seconds, is_patient=self._is_patient, is_repeatable=is_repeatable, is_optional=is_optional
        )

    def _request(
        self,
        method: str,
        path: str,
        policy: RetryPolicy,
        *,
        app_id: str,
        params: Mapping[str, str | int] | None = None,
        content: bytes | None = None,
    ) -> dict[str, Any]:
        query = f"?{urlencode(params)}" if params else ""
        with self._lock:
            counts = self.counts_by_app[app_id]
        target = f"{self._base_path}{path}{query}".encode("ascii")
        while True:
            try:
                return self._send(method, path, target, content, policy, counts)
            except TransientApiError as error:
                if is_rate_limit(error):
                    with self._lock:
                        counts.refused += 1
                pause_seconds = self._backoff(policy, counts, error)
                if pause_seconds is None:
                    raise
            time.sleep(pause_seconds)

    def _send(
        self, method: str, path: str, target: bytes, content: bytes | None, policy: RetryPolicy, counts: RequestCounts
    ) -> dict[str, Any]:
        headers = self._headers if content is None else {**self._headers, "Content-Type": "application/json"}
        # Take the slot last: a delay after taking it would send two requests at once.
        with self._in_flight, self._budget.slot():
            if self._host.unreachable:
                raise ApiUnreachableError(self._host.unreachable)
            with self._lock:
                self.sent += 1
                counts.sent += 1
            is_first = not self._host.has_answered and policy.retries == 0
            began = time.monotonic()
            try:
                reply = self._connections.send(
                    method,
                    target,
                    headers,
                    content,
                    seconds=_REQUEST_SECONDS,
                    on_headers=self._note_headers,
                    writing=spacing.writing if (spacing := self._budget.write_spacing) else None,
                    first_byte_seconds=_FIRST_ANSWER_SECONDS if is_first else SILENCE_SECONDS,
                )
            except ExchangeError as error:
                raise self._host.explain(f"{method} {path}", error, policy) from None
            finally:
                policy.exchange_seconds += time.monotonic() - began
        return self._parse(f"{method} {path}", reply)

    def _note_headers(self, headers: httpx.Headers) -> None:
        self._host.note_answer()
        self.last_headers = headers
        if (unix_seconds := parse_date(headers.get("date"))) is not None:
            self.clock_ahead = utc_now() - datetime.fromtimestamp(unix_seconds, UTC).replace(tzinfo=None)
        self._budget.update_from_headers(headers)

    def _parse(self, request: str, reply: Reply) -> dict[str, Any]:
        try:
            with self._large_body_lock if len(reply.body) >= _LARGE_BODY_BYTES else nullcontext():
                value = parse_response(request, reply.status, reply.body, reply.headers, self._redactor)
                return self._redactor.redact(value, self._stream_keys)  # type: ignore[no-any-return]  # an object stays one
        except TransientApiError as error:
            is_error = reply.status >= HTTPStatus.BAD_REQUEST
            wait_seconds = parse_retry_after(reply.headers, time.time()) if is_error else None
            message = str(error)
            if (wait_seconds or 0) > MAX_WAIT_SECONDS:
                message += f"; it asks to wait {wait_seconds:,.0f} s, and the limit is {MAX_WAIT_SECONDS:,.0f} s"
            raise TransientApiError(message, status=error.status, wait_seconds=wait_seconds) from None

    def _backoff(self, policy: RetryPolicy, counts: RequestCounts, error: TransientApiError) -> float | None:
        """Return the seconds to sleep before the next try, or None to raise the error."""
        has_ended = self._is_closed or self._host.has_stopped_answering
        pause_seconds = None if has_ended else policy.next_pause(error)
        if pause_seconds is None:
            return None
        with self._lock:
            self.retried += 1
            counts.retried += 1
        message = policy.describe(error, pause_seconds)
        if is_rate_limit(error) or error.wait_seconds:
            self._budget.pause(pause_seconds, message)  # the API asks everyone to wait, not only this thread
            return 0.0
        self._notify_retry(policy, pause_seconds, message)
        return pause_seconds

    def _notify_retry(self, policy: RetryPolicy, pause_seconds: float, message: str) -> None:
        if self._host.has_answered:
            is_notable = policy.retries >= _NOTIFY_FROM_RETRY or pause_seconds >= _NOTIFY_FROM_SECONDS
        else:
            is_notable = policy.exchange_seconds >= _NOTIFY_FROM_SECONDS
        with self._lock:
            is_due = is_notable and time.monotonic() >= self._notified_at + _NOTIFY_INTERVAL_SECONDS
            self._notified_at = time.monotonic() if is_due else self._notified_at
        if is_due:
            self._notify(message)


def _parse_address(base_url: str) -> httpx.URL:
    try:
        return httpx.URL(base_url)
    except (httpx.InvalidURL, UnicodeError):
        raise SettingsError("CLOUDFLARE_BASE_URL is malformed: it takes an https address") from None
