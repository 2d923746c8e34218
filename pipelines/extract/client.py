"""One authenticated request: within the budget, retried where trying again can help, safe to log.

Knows HTTP; knows nothing of operations, pages or tables.
"""

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from http import HTTPStatus
from typing import Any, Literal

import httpx
import stamina

from pipelines.errors import SettingsError, TransientApiError
from pipelines.extract.budget import Budget
from pipelines.extract.replies import parse, read_reply, seconds_told
from pipelines.extract.secrets import MASK, SHORTEST_SECRET, mask, stream_keys, without_stream_keys
from pipelines.extract.shared_budget import SharedBudget

RETRIES = 6
"""How often a request is sent again after a 5xx, a broken or a cut reply: with the pauses below about half
a minute, which outlasts a deployment but not an outage; an outage is for tomorrow's run."""

_WAITS_WHEN_LIMITED = 10
_LONGEST_TOLD_WAIT = 900.0
"""The vendor blocks for five minutes; who is told to wait longer than three of those had better stop."""

_REQUEST_SECONDS = 120.0
"""A reply may trickle; no reply of this API takes minutes."""

_LARGEST_BODY = 64 * 2**20
"""Bytes, unpacked. A page of 100 records is 100 kB; the rest is a bomb or a mistake."""

_PACKINGS = ("", "identity", "gzip", "deflate")

stamina.instrumentation.set_on_retry_hooks([])  # retries are counted and reported by livehouse itself


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
        stream_keys: Literal["remove", "mask", "show"] = "remove",
        budget: Budget | SharedBudget | None = None,
        is_patient: bool = True,
    ) -> None:
        """Connect to nothing yet. `stream_keys`: what becomes of those in replies; `budget`: its own if not given.

        `is_patient` False: send a failed request again once at most, and wait for no limit: a person waits for the answer.
        Raises `SettingsError` for an address, or a proxy in the environment, that cannot be used.
        """
        self.account_id = account_id
        self.concurrency = concurrency
        self.sent = 0
        self.retried = 0
        self.last_headers: Mapping[str, str] = {}
        self._base_url = _address(base_url)
        self._retries, self._waits = (RETRIES, _WAITS_WHEN_LIMITED) if is_patient else (1, 1)
        self._pause = retry_pause_seconds
        self._stream_keys = stream_keys
        self._budget = budget or Budget(requests_per_second)
        self._secrets = [token]
        self._places = threading.Semaphore(concurrency)
        self._lock = threading.Lock()
        try:
            self._http = httpx.Client(
                headers={
                    "Authorization": f"Bearer {token}",
                    "Accept": "application/json",
                    "Accept-Encoding": "gzip, deflate",
                    "User-Agent": "livehouse",
                },
                timeout=httpx.Timeout(30.0, pool=None),
                limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
                follow_redirects=False,
                verify=ssl.create_default_context() if self._base_url.scheme == "https" else False,
                trust_env=self._base_url.scheme == "https",
            )
        except (ValueError, ImportError, httpx.InvalidURL):  # what these say may quote a proxy's password
            raise SettingsError(
                "HTTPS_PROXY or ALL_PROXY in the environment cannot be used: it takes http://[USER:PASSWORD@]HOST:PORT"
            ) from None

    @property
    def remaining(self) -> int | None:
        """Requests the API said are left, where its last reply said so."""
        return self._budget.remaining

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()
        self._budget.close()

    def get(self, path: str, params: Mapping[str, str | int]) -> dict[str, Any]:
        """Ask for the JSON object of a successful reply; retried as promised."""
        for attempt in stamina.retry_context(
            on=lambda error: isinstance(error, TransientApiError) and not _is_limit(error),
            attempts=self._retries + 1,
            timeout=None,
            wait_initial=self._pause,
            wait_max=60 * self._pause,
            wait_jitter=self._pause,
        ):
            with attempt:
                if attempt.num > 1:
                    self._count_retry()
                return self._send_when_allowed("GET", path, params=params)
        raise AssertionError("stamina returns or raises")  # pragma: no cover

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """As `get`, but sent once: sent again, it could make a second livestream."""
        return self._send_when_allowed("POST", path, json=body)

    def _send_when_allowed(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's
        for wait in range(self._waits):
            try:
                return self._send(method, path, **arguments)
            except TransientApiError as error:
                last = wait == self._waits - 1
                if not _is_limit(error) or last or (error.wait_seconds or 0) > _LONGEST_TOLD_WAIT:
                    raise
                told = error.wait_seconds
                self._budget.hold(told if told is not None else min(2 * self._pause * 2**wait, 120 * self._pause))
                self._count_retry()
        raise AssertionError("the last wait raises")  # pragma: no cover

    def _send(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's
        what = f"{method} {path}"
        request = self._http.build_request(method, f"{self._base_url}{path}", **arguments)
        # All else first: who has a turn and then does not send at once sends together with the next.
        with self._places, self._budget.request():
            with self._lock:
                self.sent += 1
            try:
                with closing(self._http.send(request, stream=True)) as response:
                    self.last_headers = response.headers
                    self._budget.learn(response.headers)
                    body = self._without_token(b"".join(_bounded(what, response)))
            except httpx.HTTPError as error:
                said = mask(str(error), self._secrets) or type(error).__name__
                raise TransientApiError(f"{what}: no whole reply: {said}{_remedy(error)}") from None
        try:
            reply = read_reply(what, response.status_code, body)
        except TransientApiError as error:
            told = seconds_told(response.headers.get("retry-after"), time.time())
            raise TransientApiError(self._masked(str(error), body), status=error.status, wait_seconds=told) from None
        except Exception as error:
            error.args = (self._masked(str(error), body),)
            raise
        return reply if self._stream_keys == "show" else without_stream_keys(reply, show=self._stream_keys == "mask")

    def _without_token(self, body: bytes) -> bytes:
        """Cut the token out of a reply that echoes it, before anything of the reply is kept or quoted."""
        for token in self._secrets:
            if len(token) >= SHORTEST_SECRET:
                body = body.replace(token.encode(), MASK.encode())
        return body

    def _masked(self, message: str, body: bytes) -> str:
        """Cut secrets out of a message: it may quote the token, or a stream key of the same reply."""
        try:
            quoted = [key for key in stream_keys(parse(body)) if key]
        except ValueError:
            quoted = []
        return mask(message, self._secrets + quoted)

    def _count_retry(self) -> None:
        with self._lock:
            self.retried += 1


def _address(base_url: str) -> httpx.URL:
    try:
        return httpx.URL(base_url)
    except (httpx.InvalidURL, UnicodeError):
        raise SettingsError("CLOUDFLARE_BASE_URL is malformed: it takes an https address") from None


def _remedy(error: BaseException | None) -> str:
    """What to look at where no connection came about; httpx names what it got from the system only as a cause."""
    found = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    while error is not None:
        if isinstance(error, socket.gaierror):
            return " (no such host is known here: check CLOUDFLARE_BASE_URL, the network, DNS)"
        if isinstance(error, ssl.SSLError):
            return " (no trusted connection: check CLOUDFLARE_BASE_URL, this machine's clock, a proxy that opens TLS)"
        error = error.__cause__ or error.__context__
    return " (nothing answers there: check CLOUDFLARE_BASE_URL, the network, a firewall, a proxy)" if found else ""


def _is_limit(error: TransientApiError) -> bool:
    """Tell whether it is a 429: waited for as told, never retried as if it had passed by itself."""
    return error.status == HTTPStatus.TOO_MANY_REQUESTS


def _bounded(what: str, response: httpx.Response) -> Iterator[bytes]:
    received, deadline = 0, time.monotonic() + _REQUEST_SECONDS
    packing = response.headers.get("content-encoding", "identity").strip().lower()
    if packing not in _PACKINGS:
        # Packed twice, 64 kB unfold to 64 GB in one go, before anybody could count them.
        raise TransientApiError(f"{what}: a body packed as {packing[:40]!r} was not read", status=200)
    for chunk in response.iter_bytes():
        received += len(chunk)
        if received > _LARGEST_BODY:
            raise TransientApiError(f"{what}: a body above {_LARGEST_BODY >> 20} MiB was not read", status=200)
        if time.monotonic() > deadline:
            raise TransientApiError(f"{what}: no whole reply in {_REQUEST_SECONDS:.0f} s")
        yield chunk
