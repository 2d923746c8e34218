"""Faults of the wire: refusals, garbage and broken connections in place of, or done to, a proper response."""

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
    """How hard faults strike."""

    status: int | None = None
    """Of server errors; None: any of 500, 502, 504, 520 to 524."""
    retry_after: int = 1
    """Seconds asked for with a 429, and until a used-up quota is full again."""
    trickle_seconds: float = 1.0
    """How long a trickling reply takes."""
    huge_bytes: int = 200_000_000
    """Size of a huge body, or of what a small compressed one unfolds to."""
    redirect_to: str = "https://elsewhere.example/collect"
    """Where a redirect leads: another host."""


def _json(document: JsonObject, status: int, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(json.dumps(document), status, named, "application/json")


def _failure(code: int, message: str, rng: random.Random) -> JsonObject:
    """Return an error in one of its two JSON shapes."""
    told: JsonObject = {"code": code, "message": message}
    if rng.getrandbits(1):
        return {"success": False, "error": told}
    return {"success": False, "errors": [told], "messages": [], "result": None}


def rate_limited(options: FaultOptions, rng: random.Random) -> Response:
    """429 that names the seconds to wait."""
    return _json(_failure(10_100, "Rate limit exceeded", rng), 429, Retry_After=str(options.retry_after))


def rate_limited_date(options: FaultOptions, rng: random.Random) -> Response:
    """429 that names the moment to wait for, as an HTTP date (whole seconds, so up to one more)."""
    until = thread_now() + timedelta(seconds=options.retry_after + 1)
    document = _failure(10_100, "Rate limit exceeded", rng)
    return _json(document, 429, Retry_After=format_datetime(until, usegmt=True))


def rate_limited_bare(_blow: FaultOptions, rng: random.Random) -> Response:
    """429 that does not say how long."""
    return _json(_failure(10_100, "Rate limit exceeded", rng), 429)


def rate_limited_empty(_blow: FaultOptions, _rng: random.Random) -> Response:
    """429 without a word."""
    return Response(b"", 429)


def server_error(options: FaultOptions, rng: random.Random) -> Response:
    """5xx as JSON."""
    status = options.status or rng.choice(SERVER_ERRORS)
    return _json(_failure(status, "Internal error", rng), status)


def server_error_html(options: FaultOptions, rng: random.Random) -> Response:
    """5xx as a page of HTML."""
    status = options.status or rng.choice(SERVER_ERRORS)
    return Response(HTML.format(status), status, media_type="text/html")


def html_200(_blow: FaultOptions, _rng: random.Random) -> Response:
    """Send a page of HTML, as a success."""
    return Response(HTML.format("200 — checking your browser"), 200, media_type="text/html")


def not_success(_blow: FaultOptions, rng: random.Random) -> Response:
    """200 whose document says `success: false`."""
    return _json(_failure(10_001, "Upstream is having a moment", rng), 200)


def redirect(options: FaultOptions, _rng: random.Random) -> Response:
    """302 to another host, which must not be told the token."""
    return RedirectResponse(options.redirect_to, 302)


def huge_body(options: FaultOptions, _rng: random.Random) -> Response:
    """Send a valid document without end in sight."""
    return StreamingResponse(_huge(options.huge_bytes), media_type="application/json")


def gzip_bomb(options: FaultOptions, _rng: random.Random) -> Response:
    """Send the same, small on the wire and huge when unfolded."""
    bomb = _packed(_huge(options.huge_bytes))
    return StreamingResponse(bomb, headers={"Content-Encoding": "gzip"}, media_type="application/json")


async def _huge(size: int) -> AsyncIterator[bytes]:
    yield b'{"success":true,"data":[],"padding":"'
    for begin in range(0, size, CHUNK):
        yield b"x" * min(CHUNK, size - begin)
        await asyncio.sleep(0)
    yield b'"}'


async def _packed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    async for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


class TruncatedResponse(Response):
    """A response of which only a part arrives before the connection is closed."""

    def __init__(self, whole: Response, *, part: float, promised: bool) -> None:
        """part: of the body that is sent, 0 = not even the status. promised: with the whole's length."""
        super().__init__(whole.body, whole.status_code, media_type=whole.media_type)
        self.part, self.promised = part, promised

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the part, then cut the connection."""
        if self.part:
            headers = [header for header in self.raw_headers if self.promised or header[0] != b"content-length"]
            await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
            some = bytes(self.body)[: max(1, int(len(self.body) * self.part))]
            await send({"type": "http.response.body", "body": some, "more_body": True})
        await close_connection(scope, receive)


def drop_before(_blow: FaultOptions, _rng: random.Random) -> Response:
    """No reply: the connection is closed."""
    return TruncatedResponse(Response(), part=0, promised=False)


def cut_body(response: Response, _blow: FaultOptions) -> Response:
    """Half of the promised Content-Length, then the connection is closed."""
    return TruncatedResponse(response, part=0.5, promised=True)


def drop_within(response: Response, _blow: FaultOptions) -> Response:
    """Part of a chunked body, then the connection is closed without the last chunk."""
    return TruncatedResponse(response, part=0.3, promised=False)


def cut_json(response: Response, _blow: FaultOptions) -> Response:
    """Half of the body, properly sent: only the JSON tells."""
    return Response(bytes(response.body)[: len(response.body) // 2], response.status_code, None, response.media_type)


def trickle(response: Response, options: FaultOptions) -> Response:
    """Send the whole reply, a few bytes at a time."""
    body, pieces = bytes(response.body), 20
    step = len(body) // pieces + 1

    async def drops() -> AsyncIterator[bytes]:
        for begin in range(0, len(body), step):
            await asyncio.sleep(options.trickle_seconds / pieces)
            yield body[begin : begin + step]

    return StreamingResponse(drops(), response.status_code, dict(response.headers), response.media_type)


def wrong_type(response: Response, _blow: FaultOptions) -> Response:
    """Send the right body, called an octet stream."""
    return Response(response.body, response.status_code, media_type="application/octet-stream")


def invalid_utf8(response: Response, _blow: FaultOptions) -> Response:
    """Bytes that are no UTF-8, in a name where there is one."""
    body = bytes(response.body)
    spoilt = body.replace(b'"name":"', b'"name":"\xff\xfe', 1)
    if spoilt == body:
        spoilt = body.replace(b'{"success"', b'{"note":"\xff\xfe","success"', 1)
    return Response(spoilt, response.status_code, media_type=response.media_type)


def quota_out(response: Response, options: FaultOptions) -> Response:
    """Send the proper reply, and word that it was the last for a while."""
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
