"""A host that does not answer is detected once, within seconds; and one that stops answering."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from pipelines.errors import ApiUnreachableError, TransientApiError
from pipelines.extract import client as client_module
from pipelines.extract import reachability
from tests.extract.conftest import Canned, CannedServer, Connect, ok
from tests.raw_server import raw_server

NOWHERE = "http://127.0.0.1:9/client/v4"
_WHOLE_REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (
    len(ok([1]).body),
    ok([1]).body,
)


@pytest.fixture
def silent() -> Iterator[str]:
    """A host that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/client/v4"


@pytest.mark.parametrize("url", [NOWHERE, "http://nowhere.invalid/client/v4"])
def test_an_unreachable_host_is_detected_once(url: str, connect: Connect) -> None:
    """Seen: 3 min 21 s, silent for 25 s, then twelve lines about one cause."""
    client = connect(url, retry_pause_seconds=0.1)
    began = time.monotonic()
    with pytest.raises(ApiUnreachableError, match=rf"^no API at {url.removesuffix('/client/v4')}: .*check CLOUDFLARE"):
        client.get("/x", {})
    assert time.monotonic() - began < 10
    assert client.sent <= 3
    sent = client.sent
    with pytest.raises(ApiUnreachableError) as again:
        client.get("/of/another/app", {})
    assert client.sent == sent
    assert "\n" not in str(again.value)
    assert "/of/another/app" not in str(again.value)


def test_a_network_that_comes_up_is_waited_for(connect: Connect) -> None:
    with CannedServer() as server:
        port = int(server.url.split(":")[2].split("/")[0])
    client = connect(f"http://127.0.0.1:{port}/client/v4", retry_pause_seconds=0.5)
    with socket.socket() as later:
        later.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        later.bind(("127.0.0.1", port))
        answering = threading.Timer(0.2, lambda: _answer(later))
        answering.start()
        assert client.get("/x", {})["data"] == [1]
        answering.join()
    assert client.retried >= 1


def _answer(listener: socket.socket) -> None:
    listener.listen()
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(_WHOLE_REPLY)


def test_a_silent_host(silent: str, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_FIRST_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(client_module, "SILENCE_SECONDS", 0.3)
    client = connect(silent)
    with pytest.raises(ApiUnreachableError, match="nothing answers there"):
        client.get("/x", {})
    assert client.sent == 2
    with pytest.raises(ApiUnreachableError):
        client.get("/of/another/app", {})
    assert client.sent == 2


def test_a_slow_first_reply_is_waited_for(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    # Seen: a first reply after 15 seconds ended the run as if the host were unreachable.
    monkeypatch.setattr(client_module, "_FIRST_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(client_module, "_NOTIFY_FROM_SECONDS", 0.1)
    shown: list[str] = []

    def slow(connection: socket.socket) -> None:
        time.sleep(0.5)
        connection.sendall(_WHOLE_REPLY)

    with raw_server(slow) as port:
        client = connect(f"http://127.0.0.1:{port}/client/v4", notify=shown.append)
        assert client.get("/x", {})["data"] == [1]
    assert client.sent == 2
    assert [line.partition(";")[2] for line in shown] == [" retry 1 of 6 in 0 s"]


@pytest.mark.parametrize("has_read", [True, False])
def test_a_host_that_closes_connections_is_detected_once(
    connect: Connect, *, has_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Seen: 30 seconds for each app and step.
    monkeypatch.setattr(reachability, "_FIRST_TRIES_SECONDS", 0.2)

    def close(connection: socket.socket) -> None:
        if not has_read:  # closed with bytes unread, a connection is reset
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")

    with raw_server(close) as port:
        url = f"http://127.0.0.1:{port}/client/v4"
        client = connect(url, retry_pause_seconds=0.05)
        began = time.monotonic()
        with pytest.raises(
            ApiUnreachableError, match=rf"^no API at {url.removesuffix('/client/v4')}: .*does not answer: check CLOUDF"
        ):
            client.get("/x", {})
        assert time.monotonic() - began < 3
        sent = client.sent
        assert sent <= 7
        with pytest.raises(ApiUnreachableError):
            client.get("/of/another/app", {})
        assert client.sent == sent


def test_a_host_that_closes_some_connections_at_first_is_retried(server: CannedServer, connect: Connect) -> None:
    server.script = [Canned(dropped=True)] * 6
    server.otherwise = ok([1])
    assert connect(server.url).get("/x", {})["data"] == [1]


def test_requests_to_a_host_that_starts_closing_connections_are_tried_once(
    server: CannedServer, connect: Connect
) -> None:
    server.script = [ok([1])]
    server.otherwise = Canned(dropped=True)
    client = connect(server.url)
    client.get("/x", {})
    for path, sent in (("/x", 1 + 7), ("/y", 1 + 7 + 1)):
        with pytest.raises(TransientApiError, match=rf"^GET {path}: no complete reply: .*does not answer"):
            client.get(path, {})
        assert client.sent == sent
    server.otherwise = ok([2])
    assert client.get("/z", {})["data"] == [2]


def test_a_truncated_reply_is_a_transient_failure(connect: Connect) -> None:
    with raw_server(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n")) as port:
        client = connect(f"http://127.0.0.1:{port}/client/v4")
        with pytest.raises(TransientApiError, match="GET /x: no complete reply"):
            client.get("/x", {})
    assert client.sent == 7


def test_concurrent_first_requests_fail_alike(connect: Connect) -> None:
    client = connect(NOWHERE, retry_pause_seconds=0.05)
    errors: list[str] = []

    def send() -> None:
        with pytest.raises(ApiUnreachableError) as raised:
            client.get("/x", {})
        errors.append(str(raised.value))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 8
    assert len(set(errors)) == 1


def test_a_host_that_stops_answering_is_retried_for_one_request_only(connect: Connect) -> None:
    with CannedServer() as server:
        client = connect(server.url, retry_pause_seconds=0.001)
        client.get("/x", {})
    with pytest.raises(TransientApiError, match=r"^GET /x: no complete reply: .*nothing answers there"):
        client.get("/x", {})
    assert client.sent == 1 + 7
    with pytest.raises(TransientApiError, match=r"^GET /y: "):
        client.get("/y", {})
    assert client.sent == 1 + 7 + 1


def test_post_to_an_unreachable_host(connect: Connect) -> None:
    client = connect(NOWHERE)
    with pytest.raises(ApiUnreachableError):
        client.post("/x", {})
    assert client.sent == 1
