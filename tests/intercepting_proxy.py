"""A proxy in front of the simulator that answers some requests itself, by the rules of a test: services of other dialects."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import httpx

from pipelines.simulator.server import Simulator

Query = dict[str, str]
Rule = Callable[[str, Query], "tuple[int, object] | None"]
"""Maps path and query to status and body of a response; None forwards the request to the simulator."""


def refusal(status: int, message: str) -> tuple[int, object]:
    """Return an error in the vendor's usual shape."""
    return status, {"success": False, "errors": [{"code": 1000, "message": message}], "messages": [], "result": None}


def refuse_unix_times(path: str, query: Query) -> tuple[int, object] | None:
    """Refuse Unix seconds, as the older service does."""
    if "/analytics/livestreams/" in path and query["start_time"].isdecimal():
        return refusal(400, "start_time must be a valid ISO 8601 date")
    return None


def refuse_iso_times(path: str, query: Query) -> tuple[int, object] | None:
    """Refuse ISO 8601, as today's specification has it, in the shape of RFC 9457."""
    if "/analytics/livestreams/" in path and not query["start_time"].isdecimal():
        return 422, {
            "type": "about:blank",
            "title": "Invalid request",
            "status": 422,
            "detail": "start_time must be integer",
        }
    return None


def refuse_livestream_daywise(path: str, _: Query) -> tuple[int, object] | None:
    """Refuse *livestreams/daywise*, as the older service does."""
    return refusal(404, "Route not found") if path.endswith("/analytics/livestreams/daywise") else None


def refuse_path(end: str, status: int, message: str) -> Rule:
    """Return a rule that refuses requests whose path ends with this text."""
    return lambda path, _: refusal(status, message) if path.endswith(end) else None


def refuse_large_pages(most: int, message: str = "per_page must be between 1 and {most}") -> Rule:
    """Return a rule that refuses pages larger than this."""

    def rule(_: str, query: Query) -> tuple[int, object] | None:
        is_larger = int(query.get("per_page", 1)) > most
        return refusal(400, message.format(most=most)) if is_larger else None

    return rule


@dataclass
class InterceptingProxy:
    """The received requests and the rules. Tests may change the rules while it serves."""

    simulator: Simulator
    rules: list[Rule]
    base_url: str = ""
    refused: list[str] = field(default_factory=list)
    """Targets of the requests that a rule refused."""
    targets: list[str] = field(default_factory=list)

    def answer(self, target: str) -> tuple[int, object] | None:
        """Return the response of the first rule that has one."""
        parts = urlsplit(target)
        self.targets.append(target)
        for rule in self.rules:
            reply = rule(parts.path, dict(parse_qsl(parts.query)))
            if reply is not None:
                self.refused += [target] if reply[0] >= 400 else []
                return reply
        return None


@contextmanager
def intercept(simulator: Simulator, *rules: Rule) -> Iterator[InterceptingProxy]:
    """Serve in front of a simulator for the duration of the block."""
    state = InterceptingProxy(simulator, list(rules))
    origin = simulator.base_url.removesuffix("/client/v4")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply = state.answer(self.path)
            if reply is None:
                headers = {
                    name: self.headers[name] for name in ("Authorization", "Content-Type") if name in self.headers
                }
                passed = client.request(self.command, origin + self.path, headers=headers, content=sent)
                status, body = passed.status_code, passed.content
            else:
                status, body = reply[0], json.dumps(reply[1]).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815 - names of the standard library

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    with httpx.Client(timeout=30) as client:
        thread.start()
        state.base_url = f"http://127.0.0.1:{server.server_address[1]}/client/v4"
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
