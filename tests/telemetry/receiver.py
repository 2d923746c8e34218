"""A server that receives metrics, traces and heartbeats, and decodes them."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.serving import serve_in_thread

Points = dict[str, dict[tuple[tuple[str, str], ...], float]]
"""Values by metric, and by attributes."""


class Receiver:
    """A collector and a heartbeat service: keeps what it receives, and answers with `status`."""

    def __init__(self) -> None:
        self.metrics: list[Points] = []
        self.spans: list[list[Span]] = []
        self.beats: list[str] = []
        self.authorizations: set[str | None] = set()
        self.status = 200
        self.reply_headers: dict[str, str] = {}
        self.echoes = False
        """Whether replies quote the headers of the request, as a debugging proxy does."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                receiver.beats.append(self.path)
                self._answer()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.authorizations.add(self.headers["Authorization"])
                receiver.accept(self.path, body)
                self._answer()

            def _answer(self) -> None:
                echo = " ".join(self.headers.values()) if receiver.echoes else None
                self.send_response(receiver.status, echo)
                for name, value in receiver.reply_headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", f"{len(echo or '')}")
                self.end_headers()
                self.wfile.write((echo or "").encode())

            def log_message(self, *_: Any) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def accept(self, path: str, body: bytes) -> None:
        if path == "/v1/metrics":
            request = ExportMetricsServiceRequest.FromString(body)
            scopes = [scope for resource in request.resource_metrics for scope in resource.scope_metrics]
            self.metrics.append(
                {
                    metric.name: {
                        tuple(sorted((key.key, key.value.string_value) for key in point.attributes)): point.as_double
                        if point.HasField("as_double")
                        else point.as_int
                        for point in metric.gauge.data_points
                    }
                    for scope in scopes
                    for metric in scope.metrics
                }
            )
        else:
            assert path == "/v1/traces"
            traces = ExportTraceServiceRequest.FromString(body)
            self.spans.append(
                [span for res in traces.resource_spans for scope in res.scope_spans for span in scope.spans]
            )

    @contextmanager
    def listening(self) -> Iterator["Receiver"]:
        with serve_in_thread(self.server):
            yield self
