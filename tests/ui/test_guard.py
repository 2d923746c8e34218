"""The guard forwards the requests of its user to Dagster's UI, and refuses all others."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.ui.guard import Guard

PORT = 3000
TOKEN = "the-token-of-this-start"
PREFIX = "/random-path"
HERE = f"127.0.0.1:{PORT}"
OURS = {"host": HERE, "authorization": f"Bearer {TOKEN}"}


class Inner:
    """An app that notes what reaches it."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        self.reached.append(scope["type"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        headers = [(b"access-control-allow-origin", b"*"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"figures"})


def send_request(
    headers: dict[str, str] | list[tuple[str, str]],
    *,
    method: str = "GET",
    path: str = "/",
    query: str = "",
    kind: str = "http",
    port: int = PORT,
) -> tuple[list[dict[str, Any]], bool]:
    """One request: what was answered, and whether it reached the app."""
    inner, sent = Inner(), list[dict[str, Any]]()
    pairs = headers.items() if isinstance(headers, dict) else headers
    scope = {
        "type": kind,
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode("latin-1"),
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs],
    }

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("the guard reads no body")

    asyncio.run(Guard(inner, port=port, path_prefix=PREFIX, token=TOKEN)(scope, receive, send))
    return sent, bool(inner.reached)


def status_of(*given: Any, **named: Any) -> int:
    sent, is_reached = send_request(*given, **named)
    assert is_reached == (sent[0].get("status") == 200)
    return int(sent[0]["status"])


@pytest.mark.parametrize("host", [HERE, f"localhost:{PORT}", f"LOCALHOST:{PORT}", f"[::1]:{PORT}"])
def test_this_machine_by_every_name_is_served(host: str) -> None:
    assert status_of(OURS | {"host": host}) == 200
    assert status_of(OURS | {"host": host, "origin": f"http://{host.lower()}", "sec-fetch-site": "same-origin"}) == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.test", f"evil.test:{PORT}", "127.0.0.1", "localhost", "127.0.0.1:3001", "127.0.0.1:30000", ""),
        *(
            f"127.0.0.1:{PORT}.evil.test",
            f"127.0.0.1.evil.test:{PORT}",
            f"evil.test@127.0.0.1:{PORT}",
            f"0.0.0.0:{PORT}",
        ),
        *(
            f"127.0.0.1:{PORT}, evil.test",
            f"127.0.0.2:{PORT}",
            f"2130706433:{PORT}",
            f"127.1:{PORT}",
            f"localhost.:{PORT}",
        ),
    ],
)
def test_another_host_is_refused(host: str) -> None:
    """A name of the attacker's that means this machine since a moment ago: DNS rebinding."""
    assert status_of(OURS | {"host": host}) == 421


def test_a_request_has_one_host() -> None:
    pairs = list(OURS.items())
    assert status_of([*pairs, ("host", "evil.test")]) == 421
    assert status_of([pair for pair in pairs if pair[0] != "host"]) == 421


def test_the_port_of_http_is_left_out() -> None:
    assert status_of(OURS | {"host": "127.0.0.1"}, port=80) == 200


FOREIGN = [
    {"origin": "http://evil.test"},
    {"origin": "null"},
    {"origin": ""},
    {"origin": "http://127.0.0.1:8000"},
    {"origin": f"https://{HERE}"},
    {"origin": f"http://localhost:{PORT}"},  # another name of ours, yet another origin to the browser
    {"origin": f"http://{HERE}.evil.test"},
    {"origin": f"http://{HERE}@evil.test"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "of a browser yet to come"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("path", ["/", "/graphql", "/static/main.js", "/logs/x", "/download_debug/x"])
def test_another_origin_is_refused_for_every_path(headers: dict[str, str], path: str) -> None:
    assert status_of(OURS | headers, path=path) == 403
    assert status_of(OURS | headers | {"content-type": "application/json"}, method="POST", path=path) == 403
    sent, is_reached = send_request(OURS | headers, kind="websocket", path="/graphql")
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert not is_reached


def test_two_origins_are_refused() -> None:
    assert status_of([*OURS.items(), ("origin", f"http://{HERE}"), ("origin", "http://evil.test")]) == 403


def test_a_websocket_of_our_own_page_is_served() -> None:
    sent, is_reached = send_request(OURS | {"origin": f"http://{HERE}"}, kind="websocket", path="/graphql")
    assert sent == [{"type": "websocket.accept"}]
    assert is_reached


@pytest.mark.parametrize("path", ["/graphql", "/graphql/", "/report_asset_materialization/x", "/"])
@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("APPLICATION/JSON", 200),
        ("text/plain", 415),
        ("text/plain; application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=application/json", 415),
        ("application/graphql", 415),
        ("application/jsonp", 415),
        ("", 415),
        (None, 415),
    ],
)
def test_only_json_is_posted(given: str | None, status: int, path: str) -> None:
    headers = OURS if given is None else OURS | {"content-type": given}
    assert status_of(headers, method="POST", path=path) == status


def test_graphql_refuses_get() -> None:
    for path in ("/graphql", "/graphql/"):
        assert status_of(OURS, path=path, query="query=mutation{x}") == 405
        assert status_of(OURS, path=path, query="query=mutation{x}", method="HEAD") == 405
        assert status_of(OURS | {"accept": "text/html"}, path=path) == 200, "the page to try GraphQL on"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get"])
def test_no_other_method_is_served(method: str) -> None:
    assert status_of(OURS, method=method, path="/graphql") == 405


def test_the_token_in_the_arguments_of_a_browser_works_once() -> None:
    """`ps` shows them to every user of the machine."""
    guard = Guard(Inner(), port=PORT, path_prefix=PREFIX, token=TOKEN, token_for_once="for-once")

    def status_and_headers(query: str) -> tuple[int, dict[bytes, bytes]]:
        sent = list[dict[str, Any]]()

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"host", HERE.encode())]
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": query.encode(), "headers": headers}
        asyncio.run(guard(scope, None, send))  # type: ignore[arg-type]  # the guard reads no body
        return sent[0]["status"], dict(sent[0]["headers"])

    assert status_and_headers("token=for-twice")[0] == 401
    status, headers = status_and_headers("token=for-once")
    assert (status, headers[b"location"].decode()) == (303, f"{PREFIX}/")
    assert headers[b"set-cookie"].decode().startswith(f"livehouse-ui-{PORT}={TOKEN};")
    assert status_and_headers("token=for-once")[0] == 401
    assert status_and_headers(f"token={TOKEN}")[0] == 303


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": TOKEN},
        {"authorization": "Bearer "},
        {"cookie": "livehouse-ui-3000=wrong"},
        {"cookie": f"livehouse-ui-3001={TOKEN}"},
        {"cookie": f"x={TOKEN}"},
        {"authorization": f"Bearer {TOKEN}\xe9"},
    ],
    ids=str,
)
def test_without_the_token_nothing_is_served(headers: dict[str, str]) -> None:
    for path in ("/", "/graphql", "/server_info", "/static/x"):
        assert status_of({"host": HERE} | headers, path=path) == 401
        assert status_of({"host": HERE, "content-type": "application/json"} | headers, method="POST", path=path) == 401
    sent, is_reached = send_request({"host": HERE} | headers, kind="websocket", path="/graphql")
    assert (sent, is_reached) == ([{"type": "websocket.close", "code": 1008}], False)


@pytest.mark.parametrize(
    ("path", "query", "location"),
    [("/", "", "/"), ("/runs/x%20y", "a=1&b=", "/runs/x%20y?a=1&b="), ("//evil.test/x", "", "/evil.test/x")],
)
def test_the_token_moves_from_the_address_into_a_cookie(path: str, query: str, location: str) -> None:
    sent, is_reached = send_request({"host": HERE}, path=path, query="&".join(filter(None, [f"token={TOKEN}", query])))
    headers = dict(sent[0]["headers"])
    assert (sent[0]["status"], is_reached) == (303, False)
    assert headers[b"location"].decode() == location, "within this server, and without the token"
    cookie, *flags = headers[b"set-cookie"].decode().split("; ")
    assert set(flags) == {f"Path={PREFIX}", "HttpOnly", "SameSite=Strict"}
    assert status_of({"host": HERE, "cookie": f"a=b; {cookie}; c=d"}) == 200


def test_a_wrong_token_in_the_address_opens_nothing_and_a_foreign_page_cannot_use_the_right_one() -> None:
    assert status_of({"host": HERE}, query="token=wrong") == 401
    assert status_of({"host": HERE, "sec-fetch-site": "cross-site"}, query=f"token={TOKEN}") == 403
    assert status_of({"host": "evil.test"}, query=f"token={TOKEN}") == 421


def test_no_page_of_ours_is_framed_or_read_by_others() -> None:
    for headers in (OURS, {"host": HERE}):
        sent, _ = send_request(headers)
        given = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        assert given["x-frame-options"] == "DENY"
        assert given["content-security-policy"] == "frame-ancestors 'none'"
        assert given["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in given


@given(
    st.sampled_from(["GET", "POST", "HEAD", "PUT"]),
    st.dictionaries(
        st.sampled_from(["host", "origin", "sec-fetch-site", "cookie", "content-type", "authorization"]),
        st.one_of(
            st.sampled_from([HERE, f"http://{HERE}", TOKEN, "none", "application/json"]),
            st.text("ab:/;=,\xe9 ", max_size=9),
        ),
    ),
)
def test_nothing_that_is_not_ours_gets_in_or_fails(method: str, headers: dict[str, str]) -> None:
    _, is_reached = send_request(headers, method=method)
    has_token = headers.get("authorization") == f"Bearer {TOKEN}" or f"livehouse-ui-3000={TOKEN}" in headers.get(
        "cookie", ""
    )
    assert not is_reached or (has_token and headers["host"] == HERE)
