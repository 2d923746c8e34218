"""Protect a web app, which by itself answers every client that reaches its port.

A page of any site can send requests to 127.0.0.1, and a host name of its own that is changed to 127.0.0.1 makes them
same-origin (DNS rebinding). So a request must name this machine as its host, must not come from another origin, must not
change anything with a form or an image, and must contain the token that only the user who started the UI has seen.

A browser sends a cookie to every port of a host: a program of another user on another port would receive the token as
soon as its page is opened. It sends a cookie only to paths below the cookie's `Path`, so the UI is served below a random
path, which no other program knows.
"""

import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

TOKEN_PARAMETER = "token"  # noqa: S105 - its name

_READS = ("GET", "HEAD")
_SITES = ("same-origin", "none")
"""The `Sec-Fetch-Site` of requests of our own pages, and of an address that the user typed."""

_HEADERS = [
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
]


class RefusedError(Exception):
    """A request that the user did not send. Its text is the body of the response."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class Guard:
    """An ASGI app that forwards the user's requests to another app, and refuses all others."""

    def __init__(
        self,
        app: App,
        *,
        port: int,
        path_prefix: str,
        token: str,
        token_for_once: str | None = None,
        command: str = "livehouse ui",
        content_policy: str = "",
    ) -> None:
        """Take the app, its port, the random path below which it is served (`/…`), and the token of its user.

        `token_for_once`: another one, which opens one browser, at `/`. Every user of the machine can read the address in the
        arguments of the browser, so it must not contain the other token, nor the path. `command` printed the address.
        `content_policy`: directives of Content-Security-Policy, beside the one that forbids frames.
        """
        self._app = app
        self._token_for_once = token_for_once
        self._command = command
        policy = "; ".join(filter(None, ("frame-ancestors 'none'", content_policy)))
        self._added_headers = [*_HEADERS, (b"content-security-policy", policy.encode())]
        self._hosts = {f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]")}
        if port == 80:  # noqa: PLR2004 - browsers omit it
            self._hosts |= {host.rpartition(":")[0] for host in self._hosts}
        self._path_prefix = path_prefix
        self._token = token
        self._cookie = f"livehouse-ui-{port}"  # two UIs on one machine must not overwrite each other's cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or one websocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._check_origin(scope)
            if location := self._location_without_token(scope):
                await self._set_cookie(send, location)
                return
            self._check_token(scope)
            self._check_method(scope)
        except RefusedError as refused:
            await _refuse(scope, send, refused, self._added_headers)
            return
        await self._app(scope, receive, _with_headers(send, self._added_headers))

    def _check_origin(self, scope: Scope) -> None:
        hosts = _headers(scope, b"host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            raise RefusedError(HTTPStatus.MISDIRECTED_REQUEST, f"this is served at {min(self._hosts)} only")
        origins = _headers(scope, b"origin")
        is_foreign = any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins)
        if is_foreign or any(site.lower() not in _SITES for site in _headers(scope, b"sec-fetch-site")):
            raise RefusedError(HTTPStatus.FORBIDDEN, "requests of other sites are refused")

    def _location_without_token(self, scope: Scope) -> str | None:
        """Return the redirect target for an address that contains the token, to keep it out of the browser's history."""
        if scope["type"] != "http" or scope["method"] not in _READS:
            return None
        parameters = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [value for name, value in parameters if name == TOKEN_PARAMETER]
        if any(map(self._use_token_for_once, given)):
            return f"{self._path_prefix}/"
        if not any(map(self._is_token, given)):
            return None
        rest = urlencode([(name, value) for name, value in parameters if name != TOKEN_PARAMETER])
        path = "/" + scope.get("raw_path", scope["path"].encode()).decode("latin-1").partition("?")[0].lstrip("/")
        return f"{path}?{rest}" if rest else path

    def _check_token(self, scope: Scope) -> None:
        pairs = [pair.strip().partition("=") for line in _headers(scope, b"cookie") for pair in line.split(";")]
        given = [value for name, _, value in pairs if name == self._cookie]
        given += [line[7:].strip() for line in _headers(scope, b"authorization") if line.lower().startswith("bearer ")]
        if not any(map(self._is_token, given)):
            raise RefusedError(
                HTTPStatus.UNAUTHORIZED, f"open the address with a token that `{self._command}` printed when it started"
            )

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _use_token_for_once(self, given: str) -> bool:
        if self._token_for_once is None or not hmac.compare_digest(given.encode(), self._token_for_once.encode()):
            return False
        self._token_for_once = None
        return True

    def _check_method(self, scope: Scope) -> None:
        if scope["type"] == "websocket":
            return
        method, is_graphql = scope["method"], scope["path"].rstrip("/").endswith("/graphql")
        if method in _READS:
            if is_graphql and scope["query_string"]:
                raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, "GraphQL requires POST")
            return
        if method != "POST":
            raise RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not allowed")
        types = [line.partition(";")[0].strip().lower() for line in _headers(scope, b"content-type")]
        if types != ["application/json"]:  # the only type that a form of another site cannot send
            raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send application/json")

    async def _set_cookie(self, send: Send, location: str) -> None:
        cookie = f"{self._cookie}={self._token}; Path={self._path_prefix}; HttpOnly; SameSite=Strict"
        headers = [
            (b"location", location.encode("latin-1")),
            (b"set-cookie", cookie.encode()),
            (b"cache-control", b"no-store"),
            *self._added_headers,
        ]
        await send({"type": "http.response.start", "status": HTTPStatus.SEE_OTHER, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def _headers(scope: Scope, name: bytes) -> list[str]:
    given: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [value.decode("latin-1").strip() for key, value in given if key.lower() == name]


def _with_headers(send: Send, added: list[Header]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [pair for pair in message.get("headers", []) if not pair[0].lower().startswith(b"access-control-")]
            message = {**message, "headers": [*kept, *added]}
        await send(message)

    return send_with_headers


async def _refuse(scope: Scope, send: Send, refused: RefusedError, added: list[Header]) -> None:
    if scope["type"] == "websocket":  # closed before it is accepted: the server answers 403
        await send({"type": "websocket.close", "code": 1008})
        return
    body = json.dumps({"error": f"livehouse: {refused}"}).encode()
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store"), *added]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
