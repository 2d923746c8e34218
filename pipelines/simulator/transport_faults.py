"""Transport faults: responses that replace the operation (errors, garbage), and corruptions of its response."""

import asyncio
import json
import random
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime

from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from pipelines.simulator.connections import close_connection
from pipelines.simulator.render import JsonObject
from pipelines.simulator.thread_clock import thread_now

SERVER_ERRORS = (500, 502, 504, 520, 521, 522, 523, 524)
CHUNK = 1_000_000
HTML = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>Error {0}</h1>cloudflare</body></html>"


@dataclass(frozen=True, slots=True)
class FaultOptions:
    """Parameters of faults."""

    status: int | None = None
    """Status of server errors; None: any of 500, 502, 504, 520 to 524."""
    retry_after: int = 1
    """Seconds in Retry-After of a 429, and until an exhausted quota resets."""
    trickle_seconds: float = 1.0
    """Duration of a trickling response."""
    huge_bytes: int = 200_000_000
    """Size of a huge body, or of a compressed one after decompression."""
    redirect_to: str = "https://elsewhere.example/collect"
    """Target of a redirect: another host."""


def _json(document: JsonObject, status: int, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(json.dumps(document), status, named, "application/json")


def _error_body(code: int, message: str, rng: random.Random) -> JsonObject:
    """Return an error in one of its two JSON shapes."""
    error: JsonObject = {"code": code, "message": message}
    if rng.getrandbits(1):
        return {"success": False, "error": error}
    return {"success": False, "errors": [error], "messages": [], "result": None}


def rate_limited(options: FaultOptions, rng: random.Random) -> Response:
    """Return a 429 with the seconds to wait."""
    return _json(_error_body(10_100, "Rate limit exceeded", rng), 429, Retry_After=str(options.retry_after))


def rate_limited_date(options: FaultOptions, rng: random.Random) -> Response:
    """Return a 429 with an HTTP date to wait for (whole seconds, so up to one more)."""
    until = thread_now() + timedelta(seconds=options.retry_after + 1)
    document = _error_body(10_100, "Rate limit exceeded", rng)
    return _json(document, 429, Retry_After=format_datetime(until, usegmt=True))


def rate_limited_bare(_options: FaultOptions, rng: random.Random) -> Response:
    """Return a 429 without Retry-After."""
    return _json(_error_body(10_100, "Rate limit exceeded", rng), 429)


def rate_limited_empty(_options: FaultOptions, _rng: random.Random) -> Response:
    """Return a 429 with an empty body."""
    return Response(b"", 429)


def server_error(options: FaultOptions, rng: random.Random) -> Response:
    """Return a 5xx with a JSON body."""
    status = options.status or rng.choice(SERVER_ERRORS)
    return _json(_error_body(status, "Internal error", rng), status)


def server_error_html(options: FaultOptions, rng: random.Random) -> Response:
    """Return a 5xx with an HTML page."""
    status = options.status or rng.choice(SERVER_ERRORS)
    return Response(HTML.format(status), status, media_type="text/html")


def html_200(_options: FaultOptions, _rng: random.Random) -> Response:
    """Return an HTML page with status 200."""
    return Response(HTML.format("200 — checking your browser"), 200, media_type="text/html")


def not_success(_options: FaultOptions, rng: random.Random) -> Response:
    """Return a 200 with `success: false`."""
    return _json(_error_body(10_001, "Upstream is having a moment", rng), 200)


def redirect(options: FaultOptions, _rng: random.Random) -> Response:
    """Return a 302 to another host, which must not receive the token."""
    return RedirectResponse(options.redirect_to, 302)


def huge_body(options: FaultOptions, _rng: random.Random) -> Response:
    """Return a valid but huge document."""
    return StreamingResponse(_stream_padding(options.huge_bytes), media_type="application/json")


def gzip_bomb(options: FaultOptions, _rng: random.Random) -> Response:
    """Return a huge document that is small while compressed."""
    bomb = _compress(_stream_padding(options.huge_bytes))
    return StreamingResponse(bomb, headers={"Content-Encoding": "gzip"}, media_type="application/json")


async def _stream_padding(size: int) -> AsyncIterator[bytes]:
    yield b'{"success":true,"data":[],"padding":"'
    for begin in range(0, size, CHUNK):
        yield b"x" * min(CHUNK, size - begin)
        await asyncio.sleep(0)
    yield b'"}'


async def _compress(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    compressor = zlib.compressobj(1, zlib.DEFLATED, 31)
    async for chunk in chunks:
        if packed := compressor.compress(chunk):
            yield packed
    yield compressor.flush()


class TruncatedResponse(Response):
    """A response whose connection closes before it is complete."""

    def __init__(self, complete: Response, *, fraction: float, keeps_length: bool) -> None:
        """fraction: of the body that is sent, 0 = not even the status. keeps_length: send the full Content-Length."""
        super().__init__(complete.body, complete.status_code, media_type=complete.media_type)
        self.fraction, self.keeps_length = fraction, keeps_length

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a part of the body, then close the connection."""
        if self.fraction:
            headers = [header for header in self.raw_headers if self.keeps_length or header[0] != b"content-length"]
            await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
            some = bytes(self.body)[: max(1, int(len(self.body) * self.fraction))]
            await send({"type": "http.response.body", "body": some, "more_body": True})
        await close_connection(scope, receive)


def drop_before(_options: FaultOptions, _rng: random.Random) -> Response:
    """Close the connection without a response."""
    return TruncatedResponse(Response(), fraction=0, keeps_length=False)


def cut_body(response: Response, _options: FaultOptions) -> Response:
    """Send half of the Content-Length, then close the connection."""
    return TruncatedResponse(response, fraction=0.5, keeps_length=True)


def drop_within(response: Response, _options: FaultOptions) -> Response:
    """Send part of a chunked body, then close the connection without the last chunk."""
    return TruncatedResponse(response, fraction=0.3, keeps_length=False)


def cut_json(response: Response, _options: FaultOptions) -> Response:
    """Send half of the body as a complete response: only parsing the JSON reveals it."""
    return Response(bytes(response.body)[: len(response.body) // 2], response.status_code, None, response.media_type)


def trickle(response: Response, options: FaultOptions) -> Response:
    """Send the complete response, a few bytes at a time."""
    body, pieces = bytes(response.body), 20
    step = len(body) // pieces + 1

    async def chunks() -> AsyncIterator[bytes]:
        for begin in range(0, len(body), step):
            await asyncio.sleep(options.trickle_seconds / pieces)
            yield body[begin : begin + step]

    return StreamingResponse(chunks(), response.status_code, dict(response.headers), response.media_type)


def wrong_type(response: Response, _options: FaultOptions) -> Response:
    """Send the correct body as an octet stream."""
    return Response(response.body, response.status_code, media_type="application/octet-stream")


def invalid_utf8(response: Response, _options: FaultOptions) -> Response:
    """Put invalid UTF-8 into a name, if there is one."""
    body = bytes(response.body)
    corrupted = body.replace(b'"name":"', b'"name":"\xff\xfe', 1)
    if corrupted == body:
        corrupted = body.replace(b'{"success"', b'{"note":"\xff\xfe","success"', 1)
    return Response(corrupted, response.status_code, media_type=response.media_type)


def quota_out(response: Response, options: FaultOptions) -> Response:
    """Send the correct response, and announce that the quota is used up."""
    response.headers["Ratelimit"] = f'"default";r=0;t={options.retry_after}'
    return response


REPLACEMENT_FAULTS: dict[str, Callable[[FaultOptions, random.Random], Response]] = {
    function.__name__: function
    for function in (
        rate_limited,
        rate_limited_date,
        rate_limited_bare,
        rate_limited_empty,
        server_error,
        server_error_html,
        html_200,
        not_success,
        drop_before,
        redirect,
        huge_body,
        gzip_bomb,
    )
}
CORRUPTION_FAULTS: dict[str, Callable[[Response, FaultOptions], Response]] = {
    function.__name__: function
    for function in (cut_body, drop_within, cut_json, trickle, wrong_type, invalid_utf8, quota_out)
}
HOSTILE = ("redirect", "huge_body", "gzip_bomb")
