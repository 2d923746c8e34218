"""An exchange ends within its deadline and byte limit, whatever the server sends. Over real sockets."""

import gzip
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial

import httpx
import pytest

from pipelines.transport import exchange
from pipelines.transport.exchange import Connections, ExchangeError
from tests.raw_server import Behaviour, drip, raw_server

SECONDS = 0.6
LARGEST = 2**20
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"  # of deflate: it decompresses to nothing
GZIP_HEAD = gzip.compress(b"")[:10]


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


SLOW: dict[str, Behaviour] = {
    "silence": lambda _: time.sleep(2 * SECONDS),
    "a slow status line": partial(drip, begin=b"HTTP/1.1 200 ", drop=b"O", every=0.02),
    "slow headers": partial(drip, begin=HEAD, drop=b"X-A: b\r\n", every=0.02),
    "endless 100 Continue": partial(drip, begin=b"", drop=b"HTTP/1.1 100 Continue\r\n\r\n", every=0.02),
    "endless 103 Early Hints": partial(drip, begin=b"", drop=b"HTTP/1.1 103 E\r\nLink: x\r\n\r\n", every=0.02),
    "a slow body": partial(drip, begin=HEAD + b"Content-Length: 100000\r\n\r\n", drop=b"x", every=0.02),
    "a slow body without a length": partial(drip, begin=HEAD + b"\r\n", drop=b"x", every=0.02),
    "a slow chunk size": partial(drip, begin=CHUNKED + b"\r\n", drop=b"0", every=0.02),
    "slow chunks": partial(drip, begin=CHUNKED + b"\r\n", drop=b"1\r\nx\r\n", every=0.02),
    "a slow trailer": partial(drip, begin=CHUNKED + b"\r\n0\r\n", drop=b"X-A: b\r\n", every=0.02),
    "gzip that decompresses to nothing": partial(
        drip,
        begin=CHUNKED + b"Content-Encoding: gzip\r\n\r\n" + chunk(GZIP_HEAD),
        drop=chunk(EMPTY_BLOCK),
        every=0.02,
    ),
}
FAST: dict[str, Behaviour] = {
    "endless headers": partial(drip, begin=HEAD, drop=b"X-A: " + b"b" * 10_000 + b"\r\n", every=0),
    "an endless header": partial(drip, begin=HEAD + b"X-A: ", drop=b"b" * 10_000, every=0),
    "endless 100 Continue": partial(drip, begin=b"", drop=b"HTTP/1.1 100 Continue\r\n\r\n" * 100, every=0),
    "an endless body": partial(drip, begin=HEAD + b"\r\n", drop=b"x" * 100_000, every=0),
    "endless chunks": partial(drip, begin=CHUNKED + b"\r\n", drop=chunk(b"x") * 1_000, every=0),
    "endless chunk extensions": partial(
        drip, begin=CHUNKED + b"\r\n", drop=b"1;" + b"a" * 3_000 + b"\r\nx\r\n", every=0
    ),
    "gzip that decompresses to nothing": partial(
        drip,
        begin=CHUNKED + b"Content-Encoding: gzip\r\n\r\n" + chunk(GZIP_HEAD),
        drop=chunk(EMPTY_BLOCK * 10_000),
        every=0,
    ),
}


def send(port: int, *, seconds: float = SECONDS, first_byte_seconds: float = 30.0) -> exchange.Reply:
    url = httpx.URL(f"http://127.0.0.1:{port}/x?y=1")
    connections = Connections(url, max_connections=2, max_body_bytes=LARGEST)
    try:
        return connections.send("GET", url.raw_path, {}, seconds=seconds, first_byte_seconds=first_byte_seconds)
    finally:
        connections.close()


def error_of(behaviour: Behaviour, seconds: float) -> ExchangeError:
    """Return the error of an exchange, which ends within its deadline and a second for a busy machine."""
    with raw_server(behaviour) as port:
        began = time.monotonic()
        with pytest.raises(ExchangeError) as raised:
            send(port, seconds=seconds)
        assert time.monotonic() - began < seconds + 1
    return raised.value


def test_a_reply_that_trickles_for_ever_hits_the_deadline() -> None:
    """Seen: a byte now and then kept a nightly run, and its lock, alive for ever."""
    with ThreadPoolExecutor(len(SLOW)) as pool:  # each waits for its deadline
        errors = dict(zip(SLOW, pool.map(lambda case: error_of(SLOW[case], SECONDS), SLOW), strict=True))
    for case, error in errors.items():
        assert re.search(r"no complete reply in 1 s|timed out", str(error)), case
        assert error.failure == ("no answer" if case == "silence" else "broken"), case


@pytest.mark.long
@pytest.mark.parametrize("case", FAST)
def test_an_endless_reply_hits_the_byte_limit(case: str) -> None:
    error_of(FAST[case], 1.5)


@pytest.mark.long
def test_the_first_byte_may_have_a_shorter_timeout() -> None:
    with raw_server(SLOW["silence"]) as port:
        began = time.monotonic()
        with pytest.raises(ExchangeError) as raised:
            send(port, seconds=20, first_byte_seconds=0.1)
        assert time.monotonic() - began < 1
    assert raised.value.failure == "no answer"


def answer(data: bytes) -> Behaviour:
    def send_all(connection: socket.socket) -> None:
        connection.sendall(data)

    return send_all


PLAIN = b'{"data": "' + b"x" * 5_000 + b'"}'


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.long
@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("identity", bytes),
        ("", bytes),
        ("gzip", gzip.compress),
        ("GZIP ", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
    ],
)
@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_every_content_encoding_is_decoded_in_chunks_of_any_size(
    encoding: str, compress: Callable[[bytes], bytes], size: int
) -> None:
    compressed = compress(PLAIN)
    chunks = b"".join(chunk(compressed[at : at + size]) for at in range(0, len(compressed), size)) + b"0\r\n\r\n"
    head = CHUNKED + f"Content-Encoding: {encoding}\r\n\r\n".encode()
    with raw_server(answer(head + chunks)) as port:
        assert send(port, seconds=20).body == PLAIN


@pytest.mark.parametrize(
    ("encoding", "body", "message"),
    [
        ("gzip", b"not gzip", "incorrect header"),
        ("deflate", b"\xff\xff", "invalid"),
        ("gzip", gzip.compress(PLAIN, mtime=0)[:-9], "truncated"),
        ("gzip", gzip.compress(b"x" * (LARGEST + 1), mtime=0), "a body above 1 MiB"),
        ("gzip", gzip.compress(b"x" * 50 * LARGEST, 1, mtime=0), "a body above 1 MiB"),
        ("br", PLAIN, "Content-Encoding 'br'"),
        (
            "gzip, gzip",
            gzip.compress(gzip.compress(PLAIN, mtime=0), mtime=0),
            r"Content-Encoding .* is not supported",
        ),
        ("", b"x" * (LARGEST + 1), "a body above 1 MiB"),
    ],
    ids=[
        "no gzip",
        "no deflate",
        "truncated",
        "too large",
        "a decompression bomb",
        "brotli",
        "compressed twice",
        "plain and too large",
    ],
)
def test_a_body_that_cannot_be_decoded_is_an_error(encoding: str, body: bytes, message: str) -> None:
    head = HEAD + f"Content-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with raw_server(answer(head + body)) as port, pytest.raises(ExchangeError, match=message):
        send(port, seconds=20)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 100,
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
    ],
    ids=range(11),
)
def test_malformed_http_is_an_error(data: bytes) -> None:
    with raw_server(answer(data)) as port, pytest.raises(ExchangeError):
        send(port, seconds=5)


def test_a_refused_connection() -> None:
    with pytest.raises(ExchangeError) as raised:
        send(9)
    assert raised.value.failure == "no connection"


def test_an_unknown_host_name_and_one_whose_lookup_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    url = httpx.URL("http://nowhere.invalid/x")
    connections = Connections(url, max_connections=1, max_body_bytes=LARGEST)
    with pytest.raises(ExchangeError) as raised:
        connections.send("GET", url.raw_path, {}, seconds=20)
    assert raised.value.failure == "no connection"
    lookup_ended = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: lookup_ended.wait(20) and [])
    began = time.monotonic()
    with pytest.raises(ExchangeError) as raised:
        connections.send("GET", url.raw_path, {}, seconds=SECONDS)
    lookup_ended.set()
    assert time.monotonic() - began < SECONDS + 1
    assert raised.value.failure == "no connection"
    connections.close()


@pytest.mark.long
def test_closing_fails_in_flight_and_later_exchanges() -> None:
    with raw_server(lambda _: time.sleep(1)) as port:
        url = httpx.URL(f"http://127.0.0.1:{port}/")
        connections = Connections(url, max_connections=2, max_body_bytes=LARGEST)
        failed: list[ExchangeError] = []

        def wait_for_reply() -> None:
            try:
                connections.send("GET", url.raw_path, {}, seconds=20)
            except ExchangeError as error:
                failed.append(error)

        waiting = threading.Thread(target=wait_for_reply)
        waiting.start()
        time.sleep(0.2)
        connections.close()
        with pytest.raises(ExchangeError):
            connections.send("GET", url.raw_path, {}, seconds=20)
        waiting.join()
    assert len(failed) == 1


def test_connections_are_kept_alive() -> None:
    accepted: list[int] = []

    def serve(connection: socket.socket) -> None:
        accepted.append(1)
        with suppress(OSError):
            while True:
                connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")
                if not connection.recv(65536):
                    return

    with raw_server(serve) as port:
        url = httpx.URL(f"http://127.0.0.1:{port}/")
        connections = Connections(url, max_connections=2, max_body_bytes=LARGEST)
        assert [connections.send("GET", url.raw_path, {}, seconds=5).body for _ in range(3)] == [b"{}"] * 3
        connections.close()
    assert len(accepted) == 1


def test_writing_is_entered_once_a_request_on_an_established_connection() -> None:
    steps: list[str] = []

    @contextmanager
    def writing() -> Iterator[None]:
        steps.append("writes")
        yield
        steps.append("has written")

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")
            while connection.recv(65536):
                connection.sendall(HEAD + b"Content-Length: 2\r\n\r\n{}")

    def note_reply(_: httpx.Headers) -> None:
        steps.append("reads")

    with raw_server(serve) as port:
        for address in (f"http://127.0.0.1:{port}/", "http://127.0.0.1:9/"):
            connections = Connections(httpx.URL(address), max_connections=1, max_body_bytes=LARGEST)
            for _ in range(2):
                with suppress(ExchangeError):
                    connections.send("GET", b"/", {}, seconds=5, on_headers=note_reply, writing=writing)
            connections.close()
    assert steps == ["writes", "has written", "reads"] * 2
