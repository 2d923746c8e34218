"""One HTTP exchange within one deadline and a bounded number of bytes, whatever the other side sends.

A timeout per read bounds nothing: a byte every 29 seconds, endless `100 Continue`, or a gzip that unpacks to nothing would
each hold a run for ever. So every read and write of the socket checks the deadline of the whole exchange, and counts.
Knows HTTP and sockets; knows nothing of the API, of retries or of secrets.
"""

import logging
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import httpcore
import httpx

from pipelines.transport.proxies import find_proxy, tls_context

logging.getLogger("httpcore").setLevel(
    logging.WARNING
)  # below, it logs the headers of replies: they may echo the token

CONNECT_SECONDS = 5.0
"""For each address of a host; SYN packets are sent again after 1 and 3 s."""

LOOKUP_AND_CONNECT_SECONDS = 12.0
"""For all of it: resolvers wait as they like, and a host may have many addresses."""

SILENCE_SECONDS = 30.0
"""Between two reads, and until the first byte where the caller names no shorter time."""

_HEADER_ALLOWANCE = 2**20
"""Bytes on the wire beyond the largest body: headers, chunk sizes."""

_MAGIC_BYTES = 2
_PACKINGS = ("", "identity", "gzip", "x-gzip", "deflate")

Failure = Literal["no connection", "no TLS", "untrusted", "no answer", "closed", "broken", "refused by the proxy"]
"""`no answer`: not a byte in time; `closed`: the connection ended before the first byte; `broken`: after it."""


class ExchangeError(Exception):
    """An exchange that brought no whole reply. `failure` says how far it came; `status` is the proxy's, if it answered."""

    def __init__(self, message: str, failure: Failure = "broken", *, status: int | None = None) -> None:
        super().__init__(message)
        self.failure = failure
        self.status = status


@dataclass(frozen=True)
class Reply:
    """A whole reply, unpacked."""

    status: int
    headers: httpx.Headers
    body: bytes


class _Exchange(threading.local):
    """What the exchange of this thread may still take. An exchange is one thread's from its beginning to its end."""

    ends = float("inf")
    seconds = 0.0
    bytes_left = 0
    has_received = False

    def begin(self, seconds: float, most_bytes: int) -> None:
        self.ends, self.seconds, self.bytes_left = time.monotonic() + seconds, seconds, most_bytes
        self.has_received = False

    def time_left(self, timeout: float | None) -> float:
        left = self.ends - time.monotonic()
        if left <= 0:
            raise ExchangeError(f"no whole reply in {self.seconds:.0f} s", self.failure())
        return left if timeout is None else min(timeout, left)

    def failure(self) -> Failure:
        return "broken" if self.has_received else "no answer"

    def count(self, received: int) -> None:
        self.has_received |= received > 0
        self.bytes_left -= received
        if self.bytes_left < 0:
            raise ExchangeError("more bytes than any reply has")


class _Stream(httpcore.NetworkStream):
    """A socket whose every operation is bounded by the exchange under way."""

    def __init__(self, stream: httpcore.NetworkStream, exchange: _Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        received = self._stream.read(max_bytes, self._exchange.time_left(timeout))
        self._exchange.count(len(received))
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._exchange.time_left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = self._exchange.time_left(timeout)
        stream = _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._exchange)
        self._exchange.has_received = False  # what came before was the proxy's
        return stream

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 - httpcore's
        return self._stream.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, exchange: _Exchange) -> None:
        self._backend = httpcore.SyncBackend()
        self._exchange = exchange

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect beside this thread: nothing bounds the time that looking up a name takes."""
        connected: Future[httpcore.NetworkStream] = Future()

        def connect() -> None:
            try:
                stream = self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
            except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
                connected.set_exception(error)
            else:
                connected.set_result(stream)

        threading.Thread(target=connect, daemon=True, name="connect").start()
        try:
            stream = connected.result(self._exchange.time_left(LOOKUP_AND_CONNECT_SECONDS))
        except TimeoutError:
            connected.add_done_callback(_close_late)
            raise httpcore.ConnectTimeout("timed out") from None
        return _Stream(stream, self._exchange)


def _close_late(connected: "Future[httpcore.NetworkStream]") -> None:
    if connected.exception() is None:
        connected.result().close()


class Connections:
    """Connections to one host, kept alive and shared by threads, through a proxy where the environment names one."""

    def __init__(self, address: httpx.URL, *, most: int, largest_body: int) -> None:
        """Connect to nothing yet. Raises `SettingsError` for a proxy or certificates that cannot be used."""
        self.proxy = find_proxy(address)
        self._largest_body = largest_body
        self._exchange = _Exchange()
        self._is_closed = False
        options: dict[str, Any] = {
            "ssl_context": tls_context() if address.scheme == "https" else None,
            "max_connections": most,
            "max_keepalive_connections": most,
            "keepalive_expiry": 5.0,
            "network_backend": _Backend(self._exchange),
        }
        if self.proxy is None:
            self._pool = httpcore.ConnectionPool(**options)
            return
        url = self.proxy.url
        self._pool = httpcore.HTTPProxy(
            proxy_url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=b"/"),
            proxy_auth=(url.username, url.password) if url.username or url.password else None,
            proxy_ssl_context=tls_context() if url.scheme == "https" else None,
            **options,
        )

    def close(self) -> None:
        """Close all connections. What another thread still waits for then fails."""
        self._is_closed = True
        self._pool.close()

    def send(
        self,
        method: str,
        url: httpx.URL,
        headers: dict[str, str],
        content: bytes | None = None,
        *,
        seconds: float,
        first_byte_seconds: float = SILENCE_SECONDS,
        on_headers: Callable[[httpx.Headers], None] = lambda _: None,
        reads_body: bool = True,
    ) -> Reply:
        """Send a request and read the whole reply, or its head alone, within `seconds`.

        Raises `ExchangeError`, and nothing else.
        """
        self._exchange.begin(seconds, self._largest_body + _HEADER_ALLOWANCE)
        if self._is_closed:
            raise ExchangeError("the connections are closed")
        sent = {"Host": url.netloc.decode("ascii"), **headers}
        if content is not None or method == "POST":
            sent["Content-Length"] = str(len(content or b""))
        timeouts = {"connect": CONNECT_SECONDS, "read": first_byte_seconds, "write": SILENCE_SECONDS, "pool": None}
        request = httpcore.Request(
            method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=list(sent.items()),
            content=content,
            extensions={"timeout": timeouts},
        )
        try:
            response = self._pool.handle_request(request)
            try:
                reply_headers = httpx.Headers(response.headers)
                on_headers(reply_headers)
                timeouts["read"] = SILENCE_SECONDS
                packing, chunks = reply_headers.get("content-encoding", ""), response.iter_stream()
                body = _unpack(packing, chunks, self._largest_body) if reads_body else b""
            finally:
                response.close()
        except ExchangeError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a reply contains, it is this exchange's error and no more
            raise self._explain(error) from None
        return Reply(response.status, reply_headers, body)

    def _explain(self, error: Exception) -> ExchangeError:
        message = str(error) or type(error).__name__
        if isinstance(error, httpcore.ProxyError):
            status = message.partition(" ")[0]
            return ExchangeError(message, "refused by the proxy", status=int(status) if status.isdecimal() else None)
        if isinstance(error, httpcore.ConnectError | httpcore.ConnectTimeout):
            return _explain_no_connection(error, message)
        if isinstance(error, httpcore.TimeoutException):
            return ExchangeError(message, self._exchange.failure())
        is_closed = isinstance(error, httpcore.RemoteProtocolError | httpcore.NetworkError)
        return ExchangeError(message, "broken" if self._exchange.has_received or not is_closed else "closed")


def _explain_no_connection(error: Exception, message: str) -> ExchangeError:
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return ExchangeError(message, "untrusted")
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return ExchangeError(message, "no TLS")
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return ExchangeError(f"no such host is known here: {message}", "no connection")
    return ExchangeError(message, "no connection")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _unpack(packing: str, chunks: Iterable[bytes], largest: int) -> bytes:
    packing = packing.strip().lower()
    if packing not in _PACKINGS:
        # Packed twice, 64 kB unfold to 64 GB in one go, before anybody could count them.
        raise ExchangeError(f"a body packed as {packing[:40]!r} was not read")
    chunks = iter(chunks)
    first = b""
    while len(first) < _MAGIC_BYTES and (more := next(chunks, b"")):
        first += more
    unpacker = None if packing in {"", "identity"} else zlib.decompressobj(wbits=_window_bits(packing, first))
    body = bytearray()
    for chunk in chain([first], chunks):
        body += chunk if unpacker is None else unpacker.decompress(chunk, largest + 1 - len(body))
        if len(body) > largest:
            raise ExchangeError(f"a body above {largest >> 20} MiB was not read")
    if unpacker is not None and first and not unpacker.eof:
        raise ExchangeError("a packed body was cut short")
    return bytes(body)


def _window_bits(packing: str, first: bytes) -> int:
    """Which format zlib is to expect; some servers send deflate without the head of zlib, as it was never meant."""
    if packing != "deflate":
        return 16 + zlib.MAX_WBITS
    has_head = first[:1] and first[0] % 16 == zlib.DEFLATED and int.from_bytes(first[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if has_head else -zlib.MAX_WBITS
