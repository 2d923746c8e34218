"""Incoming requests: bodies of limited size, and observers that see every request."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from pipelines.simulator.dialects import Dialect
from pipelines.simulator.refusals import RefusedError

MAX_BODY_BYTES = 1_000_000
"""A hundredth of it is enough for any operation."""


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """One request, and the dialect of the service that received it."""

    method: str
    operation: str
    base_url: str
    path: str
    """Percent-encoded, as it was sent."""
    query_string: str
    headers: dict[str, str]
    body: bytes
    """Empty if access was refused: it was not read."""
    dialect: Dialect


Observer = Callable[[IncomingRequest], None]
OBSERVERS: list[Observer] = []
"""Called with every request to any simulator of this process, in the thread that serves it."""


def notify_observers(request: Request, operation: str, body: bytes, dialect: Dialect) -> None:
    """Pass a request to the observers."""
    if not OBSERVERS:
        return
    url = request.url
    received = IncomingRequest(
        method=request.method,
        operation=operation,
        base_url=f"{url.scheme}://{url.netloc}",
        path=request.scope["raw_path"].decode("ascii", "replace"),
        query_string=url.query,
        headers=dict(request.headers),
        body=body,
        dialect=dialect,
    )
    for observer in OBSERVERS:
        observer(received)


async def read_body(request: Request) -> bytes:
    """Return the body of a POST. Raises `RefusedError` if it is larger than `MAX_BODY_BYTES`."""
    if request.method != "POST":
        return b""
    chunks, size = list[bytes](), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise RefusedError(413, 10_013, f"the body is larger than {MAX_BODY_BYTES} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def parse_body(operation: str, body: bytes, content_type: str, dialect: Dialect) -> dict[str, object]:
    """Return the JSON object in a body; an empty body is an empty object."""
    if dialect.is_strict:
        _check_body_presence(operation, body, content_type, dialect)
    if not body:
        return {}
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, 10_006, "the body is not JSON") from None
    if not isinstance(sent, dict):
        raise RefusedError(dialect.invalid_status, 10_006, "the body must be a JSON object")
    return sent


def _check_body_presence(operation: str, body: bytes, content_type: str, dialect: Dialect) -> None:
    """Raise `RefusedError` for an unexpected, a missing or a non-JSON body, by the specification."""
    if operation == "stop-livestream" and body:
        raise RefusedError(415, 10_015, "this operation takes no body")
    if operation == "create-livestream" and not body:
        raise RefusedError(dialect.invalid_status, 10_006, "the body is missing")
    if body and content_type.partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(415, 10_015, "Content-Type must be application/json")
