"""A host that does not answer: found out once, within seconds; and one that stops answering."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from pipelines.errors import ApiUnreachableError, TransientApiError
from pipelines.extract import client as client_module
from tests.extract.conftest import Canned, CannedServer, Connect, ok

NOWHERE = "http://127.0.0.1:9/client/v4"


@pytest.fixture
def silent() -> Iterator[str]:
    """A host that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/client/v4"


@pytest.mark.parametrize("url", [NOWHERE, "http://nowhere.invalid/client/v4"])
def test_a_host_that_is_not_there_is_found_out_once(url: str, connect: Connect) -> None:
    """Seen: 3 min 21 s, silent for 25 s, then one cause in twelve lines."""
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
        threading.Timer(0.2, later.listen).start()
        answering = threading.Timer(0.2, lambda: _answer(later))
        answering.start()
        assert client.get("/x", {})["data"] == [1]
        answering.join()
    assert client.retried >= 1


def _answer(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        body = ok([1]).body
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (len(body), body))


def test_a_host_that_says_nothing(silent: str, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_FIRST_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(client_module, "_FIRST_TRIES_SECONDS", 0.1)
    client = connect(silent)
    with pytest.raises(ApiUnreachableError, match="nothing answers there"):
        client.get("/x", {})
    assert client.sent == 1


def test_a_host_that_drops_connections_is_a_passing_failure(server: CannedServer, connect: Connect) -> None:
    server.otherwise = Canned(dropped=True)
    with pytest.raises(TransientApiError, match="GET /x: no whole reply"):
        connect(server.url).get("/x", {})
    assert len(server.received) == 7


def test_threads_that_begin_together_agree(connect: Connect) -> None:
    client = connect(NOWHERE, retry_pause_seconds=0.05)
    said: list[str] = []

    def ask() -> None:
        with pytest.raises(ApiUnreachableError) as raised:
            client.get("/x", {})
        said.append(str(raised.value))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 8
    assert len(set(said)) == 1


def test_a_host_that_stops_answering_is_retried_for_one_request_and_then_tried_once_each(connect: Connect) -> None:
    with CannedServer() as server:
        client = connect(server.url, retry_pause_seconds=0.001)
        client.get("/x", {})
    with pytest.raises(TransientApiError, match=r"^GET /x: no whole reply: .*nothing answers there"):
        client.get("/x", {})
    assert client.sent == 1 + 7
    with pytest.raises(TransientApiError, match=r"^GET /y: "):
        client.get("/y", {})
    assert client.sent == 1 + 7 + 1


def test_post_to_a_host_that_is_not_there(connect: Connect) -> None:
    client = connect(NOWHERE)
    with pytest.raises(ApiUnreachableError):
        client.post("/x", {})
    assert client.sent == 1
