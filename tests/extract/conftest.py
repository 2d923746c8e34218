"""A server with canned replies, a client for it, and a clock that moves only while a thread sleeps."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import pytest

from pipelines.extract import budget
from pipelines.extract.client import ApiClient

TOKEN = "token-0123456789-abcdefghij"


@dataclass(frozen=True)
class Canned:
    """One reply. `promised`: its Content-Length if it differs from the body's. `dropped`: close without a reply."""

    status: int = 200
    body: bytes = b'{"success": true, "data": []}'
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None
    dropped: bool = False


@dataclass(frozen=True)
class IncomingRequest:
    method: str
    target: str
    headers: dict[str, str]


def ok(data: object) -> Canned:
    return Canned(body=json.dumps({"success": True, "data": data}).encode())


class CannedServer:
    """Sends the replies of `script` one after another, then always `otherwise`."""

    def __init__(self) -> None:
        self.script: list[Canned] = []
        self.otherwise = Canned()
        self.received: list[IncomingRequest] = []
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                self.rfile.read(length)
                with lock:
                    outer.received.append(IncomingRequest(self.command, self.path, dict(self.headers)))
                    reply = outer.script.pop(0) if outer.script else outer.otherwise
                if reply.dropped:
                    return
                self.send_response(reply.status)
                promised = len(reply.body) if reply.promised is None else reply.promised
                for name, value in {"Content-Length": str(promised), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with suppress(OSError):  # the client may have closed the connection
                    self.wfile.write(reply.body)

            do_GET = do_POST = _answer  # noqa: N815 - names of the standard library

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/client/v4"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[CannedServer]:
    with CannedServer() as canned:
        yield canned


@pytest.fixture
def elsewhere() -> Iterator[CannedServer]:
    with CannedServer() as canned:
        yield canned


Connect = Callable[..., ApiClient]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Create clients with very short retry pauses."""
    with ExitStack() as opened:

        def make(url: str, **options: object) -> ApiClient:
            settings: dict[str, object] = {
                "base_url": url,
                "account_id": "account",
                "token": TOKEN,
                "requests_per_second": 0,
                "concurrency": 4,
                "retry_pause_seconds": 0.0001,
            }
            client = ApiClient(**(settings | options))  # type: ignore[arg-type]  # options by name
            opened.callback(client.close)
            return client

        yield make


class Clock:
    """A clock that moves only while a thread sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The budget's clock."""
    made = Clock()
    monkeypatch.setattr(budget, "time", made)
    return made
