"""A server that receives what is posted to LIVEHOUSE_ALERT_WEBHOOK."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

SECRET_PATH = "/services/T000/B000/the-address-is-the-password"


class Receiver:
    """Takes what is posted, and answers with each of `statuses` in turn, then 200."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, str]]] = []
        self.authorizations: list[str | None] = []
        self.statuses: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posted.append((self.path, json.loads(body)))
                outer.authorizations.append(self.headers["Authorization"])
                self.send_response(outer.statuses.pop(0) if outer.statuses else 200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}{SECRET_PATH}"

    @classmethod
    @contextmanager
    def listening(cls) -> Iterator["Receiver"]:
        """Serve in a thread for the duration of the block."""
        receiver = cls()
        thread = Thread(target=receiver.server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.server.shutdown()
            thread.join()
            receiver.server.server_close()
