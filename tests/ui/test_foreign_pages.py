"""A page of another site, in Chromium, beside a UI in which its user is logged in: it reads nothing and changes nothing."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from pipelines.ui.guard import Guard
from tests.parameters import long_except
from tests.ui.serving import CHROMIUM, browser, free_port, served

pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: `apt-get install chromium`")

TOKEN = "the-token-of-this-start"
PREFIX = "/random-path"


class Ui(NamedTuple):
    """A UI as Dagster's: everything that reaches it is noted."""

    address: str
    port: int
    reached: list[str]


@pytest.fixture(scope="module")
def ui() -> Iterator[Ui]:
    reached: list[str] = []

    async def graphql(request: Request) -> PlainTextResponse:
        reached.append(f"{request.method} {request.url.query} {(await request.body()).decode()}")
        return PlainTextResponse('{"data": "figures"}', headers={"Access-Control-Allow-Origin": "*"})

    async def websocket(socket: WebSocket) -> None:
        await socket.accept(subprotocol="graphql-ws")
        reached.append("websocket")
        await socket.send_text(await socket.receive_text())
        await socket.close()

    async def page(_request: Request) -> HTMLResponse:
        return HTMLResponse("<title>figures</title>")

    app = Starlette(
        routes=[
            Route(f"{PREFIX}/graphql", graphql, methods=["GET", "POST", "OPTIONS", "PUT"]),
            WebSocketRoute(f"{PREFIX}/graphql", websocket),
            Route("/{path:path}", page),
        ]
    )
    port = free_port()
    with served(Guard(app, port=port, path_prefix=PREFIX, token=TOKEN), port):
        yield Ui(f"http://127.0.0.1:{port}{PREFIX}", port, reached)


@pytest.fixture(scope="module")
def foreign_port() -> Iterator[int]:
    async def page(_request: Request) -> HTMLResponse:
        return HTMLResponse("<title>foreign</title><body></body>")

    port = free_port()
    with served(Starlette(routes=[Route("/", page)]), port):
        yield port


@pytest.fixture(scope="module")
def context() -> Iterator[Any]:
    with browser() as started:
        yield started.new_context()


@pytest.fixture
def logged_in(context: Any, ui: Ui) -> Any:
    page = context.new_page()
    page.goto(f"{ui.address}/?token={TOKEN}")
    assert page.title() == "figures"
    assert page.url == f"{ui.address}/", "the token does not stay in the address"
    ui.reached.clear()
    yield page
    page.close()


SEND_QUERIES = """async ([url, query]) => {
  const answer = await fetch(url + '/graphql', {method: 'POST', headers: {'content-type': 'application/json'},
    body: JSON.stringify({query})});
  const socket = new WebSocket(url.replace('http', 'ws') + '/graphql', 'graphql-ws');
  const echoed = await new Promise((resolve, reject) => {
    socket.onopen = () => socket.send('subscription');
    socket.onmessage = (message) => resolve(message.data);
    socket.onerror = () => reject('refused');
  });
  return [await answer.text(), echoed];
}"""


@pytest.mark.long
def test_our_own_page_queries_and_subscribes(logged_in: Any, ui: Ui) -> None:
    answer, echoed = logged_in.evaluate(SEND_QUERIES, [ui.address, "mutation"])
    assert json.loads(answer) == {"data": "figures"}
    assert echoed == "subscription"
    assert len(ui.reached) == 2


ATTACKS = {
    "image": "new Image().src = url + '/graphql?query=mutation{launch}'",
    "script": "document.head.append(Object.assign(document.createElement('script'), {src: url + '/graphql?query=mutation{x}'}))",
    "style": "document.head.append(Object.assign(document.createElement('link'), {rel: 'stylesheet', href: url + '/graphql?query={x}'}))",
    "prefetch": "document.head.append(Object.assign(document.createElement('link'), {rel: 'prefetch', href: url + '/graphql?query={x}'}))",
    "frame": "document.body.append(Object.assign(document.createElement('iframe'), {src: url + '/graphql?query=mutation{x}'}))",
    "get": "fetch(url + '/graphql?query=mutation{x}', {mode: 'no-cors', credentials: 'include'}).catch(() => 0)",
    "text": "fetch(url + '/graphql', {method: 'POST', mode: 'no-cors', credentials: 'include', body: '{\"query\": \"mutation{x}\"}'}).catch(() => 0)",
    "blob": "fetch(url + '/graphql', {method: 'POST', mode: 'no-cors', credentials: 'include', body: new Blob(['{}'])}).catch(() => 0)",
    "json": "fetch(url + '/graphql', {method: 'POST', credentials: 'include', headers: {'content-type': 'application/json'}, body: '{}'}).catch(() => 0)",
    "put": "fetch(url + '/graphql', {method: 'PUT', credentials: 'include', body: '{}'}).catch(() => 0)",
    "beacon": "navigator.sendBeacon(url + '/graphql', new Blob(['{\"query\": \"mutation{x}\"}'], {type: 'text/plain'}))",
    "form": """{
        const form = document.createElement('form'), field = document.createElement('input');
        Object.assign(form, {method: 'POST', action: url + '/graphql?query=mutation{x}', enctype: 'text/plain', target: '_blank'});
        Object.assign(field, {name: '{"query": "mutation{x}", "a": "', value: '"}'});
        form.append(field); document.body.append(form); form.submit();
    }""",
    "window": "window.open(url + '/graphql?query=mutation{x}')",
    "websocket": """await new Promise((resolve) => {
        const socket = new WebSocket(url.replace('http', 'ws') + '/graphql', 'graphql-ws');
        socket.onopen = () => { socket.send('mutation'); resolve(); };
        socket.onerror = resolve;
    })""",
}


@pytest.mark.parametrize("site", long_except(["evil.test", "127.0.0.1", "localhost"], "evil.test"))
def test_nothing_of_a_foreign_page_gets_in(site: str, logged_in: Any, context: Any, ui: Ui, foreign_port: int) -> None:
    page = context.new_page()
    page.goto(f"http://{site}:{foreign_port}/")
    assert page.title() == "foreign"
    for name, attack in ATTACKS.items():
        page.evaluate(f"async (url) => {{ {attack} }}", ui.address)
        assert ui.reached == [], name
    page.wait_for_timeout(300)  # for what a browser sends when it likes
    page.evaluate("url => { location = url + '/graphql?query=mutation{x}' }", ui.address)
    page.wait_for_url(f"{ui.address}/**")
    assert ui.reached == []
    read = "async (url) => await fetch(url, {credentials: 'include'}).then((r) => r.text()).catch(() => 'nothing')"
    page.goto(f"http://{site}:{foreign_port}/")
    assert page.evaluate(read, ui.address) == "nothing"
    for opened in context.pages:
        if opened not in (page, logged_in):
            opened.close()
    page.close()
    answer, _ = logged_in.evaluate(SEND_QUERIES, [ui.address, "still works"])
    assert json.loads(answer) == {"data": "figures"}


@pytest.mark.long
def test_a_program_on_another_port_receives_no_cookie(logged_in: Any, context: Any, ui: Ui) -> None:
    """A cookie is sent to every port of a host, but only below its path, which the program cannot know."""
    cookies: list[str | None] = []

    async def page(request: Request) -> HTMLResponse:
        cookies.append(request.headers.get("cookie"))
        return HTMLResponse("<title>another program</title>")

    port = free_port()
    with served(Starlette(routes=[Route("/{path:path}", page)]), port):
        opened = context.new_page()
        for path in ("/", "/graphql", "/random", "/random-path-2/"):
            opened.goto(f"http://127.0.0.1:{port}{path}")
            assert opened.title() == "another program"
        opened.close()
    assert [cookie for cookie in cookies if cookie] == []
    answer, _ = logged_in.evaluate(SEND_QUERIES, [ui.address, "still works"])
    assert json.loads(answer) == {"data": "figures"}


def test_a_name_that_suddenly_means_this_machine_reads_nothing(logged_in: Any, context: Any, ui: Ui) -> None:
    page = context.new_page()
    for address in (f"http://evil.test:{ui.port}{PREFIX}/", f"http://evil.test:{ui.port}{PREFIX}/?token={TOKEN}"):
        answer = page.goto(address)
        assert answer.status == 421
        assert "figures" not in answer.text()
    with pytest.raises(Exception, match="refused"):
        page.evaluate(SEND_QUERIES, [f"http://evil.test:{ui.port}{PREFIX}", "mutation"])
    assert ui.reached == []
    page.close()


@pytest.mark.long
def test_another_user_of_the_machine_gets_nothing(context: Any, ui: Ui) -> None:
    page = context.browser.new_context().new_page()
    ui.reached.clear()
    answer = page.goto(f"{ui.address}/")
    assert answer.status == 401
    assert "livehouse ui" in answer.text()
    with pytest.raises(Exception, match="refused"):
        page.evaluate(SEND_QUERIES, [ui.address, "mutation"])
    assert ui.reached == []
