"""One HTTP exchange within one deadline and a bounded number of bytes, whatever the server sends.

A timeout per read bounds nothing: a byte every 29 seconds, endless `100 Continue` replies, or a gzip stream that unpacks to
nothing would each block a run for ever. So every read and write of the socket checks the deadline of the whole exchange and
counts bytes (docs/decisions). Knows HTTP and sockets. Keep the API, retries and secrets out of this module.
"""

import logging
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import httpcore
import httpx

from pipelines.transport.proxies import create_tls_context, find_proxy
from pipelines.transport.write_trace import WriteTrace

# At lower levels httpcore logs the headers of replies, which may echo the token.
logging.getLogger("httpcore").setLevel(logging.WARNING)

CONNECT_SECONDS = 5.0
"""For each address of a host. The kernel resends SYN packets after 1 and 3 s."""

LOOKUP_AND_CONNECT_SECONDS = 12.0
"""For the name lookup and all addresses: nothing bounds a resolver, and a host may have many addresses."""

SILENCE_SECONDS = 30.0
"""Timeout between two reads, and for the first byte unless the caller sets another one."""

_HEADER_ALLOWANCE = 2**20
"""Bytes on the wire beyond the largest body: headers, chunk sizes."""

_MAGIC_BYTES = 2
_CONTENT_ENCODINGS = ("", "identity", "gzip", "x-gzip", "deflate")

Failure = Literal["no connection", "no TLS", "untrusted", "no answer", "closed", "broken", "refused by the proxy"]
"""`no answer`: no byte in time; `closed`: connection closed before the first byte; `broken`: failed after it."""


class ExchangeError(Exception):
    """An exchange that brought no complete reply: at which step it failed, and the status of a proxy that refused."""

    def __init__(self, message: str, failure: Failure = "broken", *, status: int | None = None) -> None:
        super().__init__(message)
        self.failure = failure
        self.status = status


@dataclass(frozen=True)
class Reply:
    """A complete reply with its decoded body."""

    status: int
    headers: httpx.Headers
    body: bytes


class _Exchange(threading.local):
    """The remaining time and bytes of this thread's exchange. An exchange never changes threads."""

    ends = float("inf")
    seconds = 0.0
    bytes_left = 0
    has_received = False

    def start(self, seconds: float, max_bytes: int) -> None:
        self.ends, self.seconds, self.bytes_left = time.monotonic() + seconds, seconds, max_bytes
        self.has_received = False

    def time_left(self, timeout: float | None) -> float:
        left = self.ends - time.monotonic()
        if left <= 0:
            raise ExchangeError(f"no complete reply in {self.seconds:.0f} s", self.failure())
        return left if timeout is None else min(timeout, left)

    def failure(self) -> Failure:
        return "broken" if self.has_received else "no answer"

    def count(self, received: int) -> None:
        self.has_received |= received > 0
        self.bytes_left -= received
        if self.bytes_left < 0:
            raise ExchangeError("more bytes than a reply may have")


class _Stream(httpcore.NetworkStream):
    """A socket whose operations are bounded by the exchange of the current thread."""

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
        self._exchange.has_received = False  # the bytes so far came from the proxy
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
        """Connect in another thread: nothing bounds the time of a name lookup."""
        connected: Future[httpcore.NetworkStream] = Future()

        def connect() -> None:
            try:
                stream = self._backend.connect_tcp(host, port, timeout, local_address, socket_options)
            except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
                connected.set_exception(error)
            else:
                connected.set_result(stream)

        threading.Thread(target=connect, daemon=True, name="connect").start()
        try:
            stream = connected.result(self._exchange.time_left(LOOKUP_AND_CONNECT_SECONDS))
        except TimeoutError:
            connected.add_done_callback(_close_if_connected)
            raise httpcore.ConnectTimeout("timed out") from None
        return _Stream(stream, self._exchange)


def _close_if_connected(connected: "Future[httpcore.NetworkStream]") -> None:
    if connected.exception() is None:
        connected.result().close()


class Connections:
    """Keep-alive connections to one host, shared by threads, through the proxy of the environment if there is one."""

    def __init__(self, address: httpx.URL, *, max_connections: int, max_body_bytes: int) -> None:
        """Create the pool without connecting. Raises `SettingsError` for an unusable proxy or certificate file."""
        self.proxy = find_proxy(address)
        self._address = address
        self._max_body_bytes = max_body_bytes
        self._exchange = _Exchange()
        self._is_closed = False
        options: dict[str, Any] = {
            "ssl_context": create_tls_context() if address.scheme == "https" else None,
            "max_connections": max_connections,
            "max_keepalive_connections": max_connections,
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
            proxy_ssl_context=create_tls_context() if url.scheme == "https" else None,
            **options,
        )

    def close(self) -> None:
        """Close all connections. In-flight exchanges of other threads then fail."""
        self._is_closed = True
        self._pool.close()

    def send(
        self,
        method: str,
        target: bytes,
        headers: dict[str, str],
        content: bytes | None = None,
        *,
        seconds: float,
        first_byte_seconds: float = SILENCE_SECONDS,
        on_headers: Callable[[httpx.Headers], None] = lambda _: None,
        writing: Callable[[], AbstractContextManager[None]] | None = None,
        reads_body: bool = True,
    ) -> Reply:
        """Send a request and read the complete reply, or only its headers, within `seconds`.

        `target`: path and query, encoded. `writing` is entered while the head of the request is written, on an established
        connection. `on_headers` is called before the body is read. Raises `ExchangeError` and nothing else.
        """
        self._exchange.start(seconds, self._max_body_bytes + _HEADER_ALLOWANCE)
        if self._is_closed:
            raise ExchangeError("the connections are closed")
        address = self._address
        sent = {"Host": address.netloc.decode("ascii"), **headers}
        if content is not None or method == "POST":
            sent["Content-Length"] = str(len(content or b""))
        timeouts = {"connect": CONNECT_SECONDS, "read": first_byte_seconds, "write": SILENCE_SECONDS, "pool": None}
        request = httpcore.Request(
            method,
            httpcore.URL(scheme=address.raw_scheme, host=address.raw_host, port=address.port, target=target),
            headers=list(sent.items()),
            content=content,
            extensions={"timeout": timeouts} | ({"trace": WriteTrace(writing)} if writing else {}),
        )
        try:
            response = self._pool.handle_request(request)
            try:
                reply_headers = httpx.Headers(response.headers)
                on_headers(reply_headers)
                timeouts["read"] = SILENCE_SECONDS
                content_encoding, chunks = reply_headers.get("content-encoding", ""), response.iter_stream()
                body = _decode_body(content_encoding, chunks, self._max_body_bytes) if reads_body else b""
            finally:
                response.close()
        except ExchangeError:
            raise
        except Exception as error:  # noqa: BLE001 - no reply may raise anything else
            raise self._explain(error) from None
        return Reply(response.status, reply_headers, body)

    def _explain(self, error: Exception) -> ExchangeError:
        message = str(error) or type(error).__name__
        if isinstance(error, httpcore.ProxyError):
            status = message.partition(" ")[0]
            return ExchangeError(message, "refused by the proxy", status=int(status) if status.isdecimal() else None)
        if isinstance(error, httpcore.ConnectError | httpcore.ConnectTimeout):
            return _explain_connect_error(error, message)
        if isinstance(error, httpcore.TimeoutException):
            return ExchangeError(message, self._exchange.failure())
        is_closed = isinstance(error, httpcore.RemoteProtocolError | httpcore.NetworkError)
        return ExchangeError(message, "broken" if self._exchange.has_received or not is_closed else "closed")


def _explain_connect_error(error: Exception, message: str) -> ExchangeError:
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return ExchangeError(message, "untrusted")
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return ExchangeError(message, "no TLS")
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return ExchangeError(f"unknown host: {message}", "no connection")
    return ExchangeError(message, "no connection")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _decode_body(content_encoding: str, chunks: Iterable[bytes], max_bytes: int) -> bytes:
    encoding = content_encoding.strip().lower()
    if encoding not in _CONTENT_ENCODINGS:
        # Compressed twice, 64 kB decompress to 64 GB in one step, before they can be counted.
        raise ExchangeError(f"Content-Encoding {encoding[:40]!r} is not supported")
    chunks = iter(chunks)
    first = b""
    while len(first) < _MAGIC_BYTES and (more := next(chunks, b"")):
        first += more
    decoder = None if encoding in {"", "identity"} else zlib.decompressobj(wbits=_window_bits(encoding, first))
    body = bytearray()
    for chunk in chain([first], chunks):
        body += chunk if decoder is None else decoder.decompress(chunk, max_bytes + 1 - len(body))
        if len(body) > max_bytes:
            raise ExchangeError(f"a body above {max_bytes >> 20} MiB is not read")
    if decoder is not None and first and not decoder.eof:
        raise ExchangeError("a compressed body was truncated")
    return bytes(body)


def _window_bits(encoding: str, first: bytes) -> int:
    """Return the format for zlib. Some servers send raw deflate, without the zlib header that the standard requires."""
    if encoding != "deflate":
        return 16 + zlib.MAX_WBITS
    has_header = first[:1] and first[0] % 16 == zlib.DEFLATED and int.from_bytes(first[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
