"""One authenticated request: within the budget, retried where trying again can help, safe to log.

Knows the API's conventions; how bytes travel is in `exchange.py`, when to try again in `retry_policy.py`. Knows nothing of
operations, pages or tables.
"""

import json
import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import httpx

from pipelines.clock import utc_now
from pipelines.errors import ApiRefusedError, ApiUnreachableError, SettingsError, TransientApiError
from pipelines.extract.budget import Budget, Notify
from pipelines.extract.dialect import ApiDialect
from pipelines.extract.ratelimit import parse_date, parse_retry_after
from pipelines.extract.redaction import Json, Redactor, Treatment
from pipelines.extract.responses import parse_response
from pipelines.extract.retry_policy import MAX_WAIT_SECONDS, RetryPolicy, is_rate_limit
from pipelines.extract.shared_budget import SharedBudget
from pipelines.transport.exchange import SILENCE_SECONDS, Connections, ExchangeError, Failure, Reply

_REQUEST_SECONDS = 120.0
"""A reply may trickle; no reply of this API takes minutes."""

_LARGEST_BODY = 8 * 2**20
"""Bytes, unpacked. A page of 100 records is 100 kB; the rest is a bomb or a mistake."""

_PARSED_ALONE_FROM = 2**20
"""Bytes. Larger bodies are parsed one at a time, so that several threads do not hold the largest at once."""

_FIRST_ANSWER_SECONDS = 15.0
"""How long the first request of a run waits for the first byte of its reply. A night then sends it once more and waits as
long as it does for any other: a service that is slow to begin is not one that does not answer."""

_FIRST_TRIES, _FIRST_TRIES_SECONDS = 3, 5.0
"""Tries of a host that has never answered in this run, and until when one is begun: a network may come up right now."""

_GONE: frozenset[Failure] = frozenset({"no connection", "no TLS", "no answer", "closed"})
"""Failures of a host that does not answer."""

_SHOWN_FROM_RETRY, _SHOWN_FROM_SECONDS, _SHOWN_EVERY_SECONDS = 2, 10.0, 1.0
"""A single retry is no news; many at once are one line a second."""


class ApiClient:
    """Speaks to one account of the API. Threads share it; `sent` and `retried` count over all of them."""

    def __init__(
        self,
        *,
        base_url: str,
        account_id: str,
        token: str,
        requests_per_second: float,
        concurrency: int,
        retry_pause_seconds: float,
        stream_keys: Treatment = "remove",
        budget: Budget | SharedBudget | None = None,
        is_patient: bool = True,
        notify: Notify = lambda _: None,
    ) -> None:
        """Connect to nothing yet. `stream_keys`: what becomes of those in replies; `budget`: its own if not given.

        `is_patient` False: send a failed request again once at most, and wait for no limit: a person waits for the answer.
        `notify` is told of retries and long waits. Raises `SettingsError` for an address, or a proxy or certificates in
        the environment, that cannot be used.
        """
        self.account_id = account_id
        self.concurrency = concurrency
        self.sent = 0
        self.retried = 0
        self.last_headers: Mapping[str, str] = {}
        self.clock_ahead: timedelta | None = None
        """How far this machine's clock is ahead of the API's (negative: behind), by its last reply that told a date."""
        self.dialect = ApiDialect()
        self._base_url = _address(base_url)
        self._is_patient = is_patient
        self._pause = retry_pause_seconds
        self._stream_keys = stream_keys
        self._notify = notify
        self._budget = budget or Budget(requests_per_second, notify)
        self._redactor = Redactor(token)
        self._places = threading.Semaphore(concurrency)
        self._lock = threading.Lock()
        self._parsing = threading.Lock()
        self._has_answered = False
        self._is_gone = False
        self._unreachable: str | None = None
        self._shown_at = 0.0
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": "livehouse",
        }
        self._connections = Connections(self._base_url, most=concurrency, largest_body=_LARGEST_BODY)

    @property
    def remaining(self) -> int | None:
        """Requests the API said are left, where its last reply said so."""
        return self._budget.remaining

    def close(self) -> None:
        """Give the connections back."""
        self._connections.close()
        self._budget.close()

    def get(self, path: str, params: Mapping[str, str | int], *, is_optional: bool = False) -> dict[str, Any]:
        """Ask for the JSON object of a successful reply; retried as promised.

        `is_optional`: the service may lack the operation, so a 501 is its answer and no failure that passes.
        """
        return self._send_until_done("GET", path, params=params, is_repeatable=True, is_optional=is_optional)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """As `get`, but repeated after a 429 only: it could make a second livestream. Without a body, none is sent."""
        return self._send_until_done("POST", path, body=body, is_repeatable=False)

    def redact(self, value: Json) -> Json:
        """Cut every secret seen so far out of something received: a later reply may have told that it is one."""
        return self._redactor.redact(value)

    def _send_until_done(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
        is_repeatable: bool,
        is_optional: bool = False,
    ) -> dict[str, Any]:
        what = f"{method} {path}"
        policy = RetryPolicy(self._pause, is_patient=self._is_patient)
        content = None if body is None else json.dumps(body).encode()
        url = httpx.URL(f"{self._base_url}{path}", params=params or None)
        began = time.monotonic()
        while True:
            try:
                return self._send(what, method, url, content, policy)
            except ExchangeError as error:
                self._raise_if_pointless(error, began, policy, is_repeatable=is_repeatable)
                failed = TransientApiError(f"{what}: no whole reply: {self._explain(error)}")
            except TransientApiError as error:
                failed = error
            is_answer = is_optional and failed.status == HTTPStatus.NOT_IMPLEMENTED
            pause = policy.next_pause(failed) if (is_repeatable and not is_answer) or is_rate_limit(failed) else None
            if pause is None or self._is_gone:
                raise _with_reason(failed)
            with self._lock:
                self.retried += 1
            self._wait(policy, failed, pause)

    def _send(
        self, what: str, method: str, url: httpx.URL, content: bytes | None, policy: RetryPolicy
    ) -> dict[str, Any]:
        headers = self._headers if content is None else {**self._headers, "Content-Type": "application/json"}
        # All else first: who has a turn and then does not send at once sends together with the next.
        with self._places, self._budget.slot():
            if self._unreachable:
                raise ApiUnreachableError(self._unreachable)
            with self._lock:
                self.sent += 1
            is_known = self._has_answered or policy.retries > 0
            began = time.monotonic()
            try:
                reply = self._connections.send(
                    method,
                    url,
                    headers,
                    content,
                    seconds=_REQUEST_SECONDS,
                    on_headers=self._note_headers,
                    first_byte_seconds=SILENCE_SECONDS if is_known else _FIRST_ANSWER_SECONDS,
                )
            finally:
                policy.seconds_in_exchanges += time.monotonic() - began
        return self._read(what, reply)

    def _note_headers(self, headers: httpx.Headers) -> None:
        self._has_answered, self._is_gone = True, False
        self.last_headers = headers
        if (told := parse_date(headers.get("date"))) is not None:
            self.clock_ahead = utc_now() - datetime.fromtimestamp(told, UTC).replace(tzinfo=None)
        self._budget.update_from_headers(headers)

    def _read(self, what: str, reply: Reply) -> dict[str, Any]:
        try:
            with self._parsing if len(reply.body) >= _PARSED_ALONE_FROM else nullcontext():
                value = parse_response(what, reply.status, reply.body, reply.headers, self._redactor)
                return self._redactor.redact(value, self._stream_keys)  # type: ignore[no-any-return]  # an object stays one
        except TransientApiError as error:
            wait = parse_retry_after(reply.headers, time.time()) if reply.status >= HTTPStatus.BAD_REQUEST else None
            raise TransientApiError(str(error), status=error.status, wait_seconds=wait) from None

    def _wait(self, policy: RetryPolicy, failed: TransientApiError, pause: float) -> None:
        """Wait before the next try: all threads where the API asked for it, else this one."""
        if is_rate_limit(failed) or failed.wait_seconds:
            self._budget.pause(pause, policy.describe(failed, pause))
            return
        is_long = policy.retries >= _SHOWN_FROM_RETRY or pause >= _SHOWN_FROM_SECONDS
        is_news = is_long if self._has_answered else policy.seconds_in_exchanges >= _SHOWN_FROM_SECONDS
        with self._lock:
            is_shown = is_news and time.monotonic() >= self._shown_at + _SHOWN_EVERY_SECONDS
            self._shown_at = time.monotonic() if is_shown else self._shown_at
        if is_shown:
            self._notify(policy.describe(failed, pause))
        time.sleep(pause)

    def _raise_if_pointless(
        self, error: ExchangeError, began: float, policy: RetryPolicy, *, is_repeatable: bool
    ) -> None:
        """Raise what no retry of this request helps against; note a host that has stopped answering."""
        if error.failure == "refused by the proxy":
            self._raise_refusal_of_proxy(error)
        if error.failure == "broken":
            return
        if self._has_answered and error.failure != "untrusted":
            # Each request would find out anew, for half a minute: from now on each is sent once, until one is answered.
            self._is_gone |= error.failure in _GONE and policy.retries >= policy.most_retries
            return
        if error.failure == "no answer":
            is_over = policy.retries > 0
        else:
            retries = policy.most_retries if error.failure == "closed" else _FIRST_TRIES - 1
            is_over = time.monotonic() - began > _FIRST_TRIES_SECONDS or policy.retries >= retries
        if error.failure == "untrusted" or is_over or not is_repeatable or not self._is_patient:
            self._unreachable = (
                f"no API at {self._base_url.scheme}://{self._base_url.netloc.decode()}: {self._explain(error)}"
            )
            raise ApiUnreachableError(self._unreachable)

    def _raise_refusal_of_proxy(self, error: ExchangeError) -> None:
        proxy = self._connections.proxy
        variable = proxy.variable if proxy else "HTTPS_PROXY"
        said = self._redactor.redact_message(str(error))
        if error.status is None or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return
        wants_login = error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
        remedy = f"check {'user and password in ' if wants_login else ''}{variable}"
        raise ApiRefusedError(f"the proxy of {variable} refused: {said} ({remedy})", status=error.status, remedy=remedy)

    def _explain(self, error: ExchangeError) -> str:
        """What went wrong, and what to look at where no connection came about."""
        via = f", the proxy of {self._connections.proxy.variable}" if self._connections.proxy else ", a proxy"
        remedies = {
            "no connection": f" (nothing answers there: check CLOUDFLARE_BASE_URL, the network, DNS, a firewall{via})",
            "no answer": f" (nothing answers there: check CLOUDFLARE_BASE_URL, the network, a firewall{via})",
            "closed": f" (what listens there does not answer: check CLOUDFLARE_BASE_URL, the network, a firewall{via})",
            "no TLS": f" (no trusted connection: check CLOUDFLARE_BASE_URL, the network, a firewall{via})",
            "untrusted": f" (no trusted connection: check CLOUDFLARE_BASE_URL, this machine's clock, its certificates{via})",
            "broken": "",
            "refused by the proxy": f" (check{via.removeprefix(',')})",
        }
        return f"{self._redactor.redact_message(str(error))}{remedies[error.failure]}"


def _address(base_url: str) -> httpx.URL:
    try:
        return httpx.URL(base_url)
    except (httpx.InvalidURL, UnicodeError):
        raise SettingsError("CLOUDFLARE_BASE_URL is malformed: it takes an https address") from None


def _with_reason(failed: TransientApiError) -> TransientApiError:
    """Say why a request was not sent again where the API asks for a wait that is too long."""
    if (failed.wait_seconds or 0) <= MAX_WAIT_SECONDS:
        return failed
    said = f"{failed}; it asks to wait {failed.wait_seconds:,.0f} s, and {MAX_WAIT_SECONDS:,.0f} s are waited at most"
    return TransientApiError(said, status=failed.status, wait_seconds=failed.wait_seconds)
