"""Send one message to a receiver that is not the API: an alert, a heartbeat. Its reply is not read."""

import time
from base64 import b64encode
from collections.abc import Callable
from http import HTTPStatus

import httpx

from pipelines.errors import LivehouseError
from pipelines.transport.exchange import Connections, ExchangeError

_ATTEMPTS, _TIMEOUT_SECONDS = 3, 10.0
_RETRIED_STATUSES = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


def deliver(
    method: str, address: str, content: bytes | None = None, headers: Callable[[], dict[str, str]] = dict
) -> str | None:
    """Send a message, with retries where they may help. Return the last failure, or None.

    `headers` are built for each attempt. The address, which may be a secret, is not quoted. Never raises.
    """
    try:
        return _deliver(method, httpx.URL(address), content, headers)
    except LivehouseError as error:  # a proxy or certificates in the environment
        return str(error)
    except (ValueError, httpx.InvalidURL):
        return "the address is malformed"


def _deliver(method: str, url: httpx.URL, content: bytes | None, headers: Callable[[], dict[str, str]]) -> str | None:
    common = {"User-Agent": "livehouse", "Accept": "*/*"}
    if url.userinfo:
        common["Authorization"] = f"Basic {b64encode(f'{url.username}:{url.password}'.encode()).decode()}"
    connections = Connections(url, max_connections=1, max_body_bytes=0)
    fault: str | None = None
    try:
        for attempt in range(_ATTEMPTS):
            time.sleep(attempt)
            try:
                status = connections.send(
                    method, url.raw_path, common | headers(), content, seconds=_TIMEOUT_SECONDS, reads_body=False
                ).status
            except ExchangeError as error:
                fault = error.failure
                continue
            if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                return None
            fault = f"HTTP {status}"
            if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _RETRIED_STATUSES:
                return fault
    finally:
        connections.close()
    return fault
