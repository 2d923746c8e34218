"""Tells when httpcore writes a request: after it has found or opened a connection, which may take seconds."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any


class WriteTrace:
    """Enters a context while httpcore writes the head of a request; the CONNECT to a proxy before it does not count."""

    def __init__(self, writing: Callable[[], AbstractContextManager[None]]) -> None:
        """Create the `trace` extension of one request."""
        self._writing = writing
        self._entered = ExitStack()

    def __call__(self, event: str, info: dict[str, Any]) -> None:
        """Receive an event of httpcore."""
        if event == "http11.send_request_headers.started" and info["request"].method != b"CONNECT":
            self._entered.enter_context(self._writing())
        elif event in {"http11.send_request_headers.complete", "http11.send_request_headers.failed"}:
            self._entered.close()
