"""A server that receives what is posted to LIVEHOUSE_ALERT_WEBHOOK."""

import hmac
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from tests.serving import serve_in_thread

SECRET_PATH = "/services/T000/B000/the-address-is-the-password"


class Receiver:
    """Takes what is posted, and answers with each of `statuses` in turn, then 200."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, Any]]] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        """Headers and bodies as received."""
        self.authorizations: list[str | None] = []
        self.statuses: list[int] = []
        self.on_post: Callable[[], object] = lambda: None
        """Called before each reply."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posted.append((self.path, json.loads(body)))
                outer.requests.append((dict(self.headers), body))
                outer.authorizations.append(self.headers["Authorization"])
                outer.on_post()
                self.send_response(outer.statuses.pop(0) if outer.statuses else 200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}{SECRET_PATH}"

    @property
    def texts(self) -> list[str]:
        return [body["text"] for _, body in self.posted]

    def take_texts(self) -> list[str]:
        """Return the texts since the last call."""
        texts = self.texts
        self.posted.clear()
        return texts

    def verify_signatures(self, secret: str, *, now: float, tolerance_seconds: float = 300) -> bool:
        """Verify every request as docs/how-to/alerts.md describes it."""
        for headers, body in self.requests:
            parts = dict(part.split("=", 1) for part in headers["Livehouse-Signature"].split(","))
            expected = hmac.new(secret.encode(), f"{parts['t']}.".encode() + body, "sha256").hexdigest()
            if not hmac.compare_digest(expected, parts["v1"]) or abs(now - int(parts["t"])) > tolerance_seconds:
                return False
        return bool(self.requests)

    @classmethod
    @contextmanager
    def listening(cls) -> Iterator["Receiver"]:
        """Serve in a thread for the duration of the block."""
        receiver = cls()
        with serve_in_thread(receiver.server):
            yield receiver
