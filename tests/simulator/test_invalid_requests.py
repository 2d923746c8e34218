"""Invalid requests never cause a 5xx status or a huge response."""

import socket
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from pipelines.simulator.dialects import TODAY
from pipelines.simulator.response_shapes import ResponseShapes
from tests.simulator.conftest import APP, Client, Serve
from tests.simulator.test_dialects import BY_DAY, OVERALL, any_livestream

pytestmark = pytest.mark.long  # by default, the tests that use the simulator prove what they need of it


@pytest.mark.parametrize(("idle", "status"), [("left_out", 200), ("zeros", 400)])
@pytest.mark.parametrize("path", [BY_DAY, "/analytics/daywise"])
def test_long_range_never_returns_a_huge_response(serve: Serve, idle: Any, status: int, path: str) -> None:
    client = serve(shapes=ResponseShapes(idle_days=idle))
    query = {"start_time": "0", "end_time": "99999999999"}
    if path == "/analytics/daywise":
        query = {"start_date": "0001-01-01", "end_date": "9999-12-31"}
    answer = client.get(path, **query)
    assert (answer.status_code, len(answer.content) < 100_000) == (status, True)


INVALID_VALUES = [
    "-1",
    "0",
    f"{10**30}",
    "9" * 5_000,
    "NaN",
    "inf",
    "1e3",
    "",
    " 5",
    "٣",
    "\x00",
    "%",
    "true",
    "99999999999",
    "-99999999999",
]


@pytest.mark.parametrize("times", ["unix", "iso", "both"])
def test_invalid_parameter_is_never_a_5xx(serve: Serve, times: Any) -> None:
    client = serve(shapes=ResponseShapes(overall="array"), dialect=replace(TODAY, times=times))
    paged = ("/livestreams", f"/livestreams/{any_livestream(client)}")
    names = {
        **dict.fromkeys(paged, ("page_no", "per_page")),
        "/livestreams?x": ("start_time", "end_time", "status", "sort_order", "exclude_meetings"),
        OVERALL: ("start_time", "end_time", "filters"),
        BY_DAY: ("start_time", "end_time", "filters"),
        "/analytics/daywise": ("start_date", "end_date"),
    }
    for path, parameters in names.items():
        for name, value in product(parameters, INVALID_VALUES):
            answer = client.get(path.partition("?")[0], **{name: value})
            assert answer.status_code in {200, 400}, (path, name, value)
            assert len(answer.content) < 1_000_000, (path, name, value)


@pytest.mark.parametrize(
    "target",
    [
        "/livestreams?page_no=%zz",
        "/livestreams?page_no=1&page_no=x",
        "/livestreams?%ff=%fe",
        "/livestreams/%00",
        "/livestreams/%ff%2f..",
        "/%e2%28",
    ],
)
def test_malformed_target_is_never_a_5xx(client: Client, target: str) -> None:
    simulator = client.simulator
    head = f"GET /client/v4/accounts/{simulator.account_id}/realtime/kit/{APP}{target} HTTP/1.1\r\nHost: x\r\n"
    head += f"Authorization: Bearer {simulator.token}\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", simulator.port), timeout=10) as connection:
        connection.sendall(head.encode())
        status = int(connection.makefile("rb").readline().split()[1])
    assert status in {200, 400, 404}


def test_unsupported_method_is_405(client: Client) -> None:
    answer = client.http.delete("/livestreams")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")


def test_token_is_checked_before_the_body_is_read(client: Client) -> None:
    """Three hundred megabytes were read for everybody who could connect."""
    head = b"POST /client/v4/accounts/a/realtime/kit/b/livestreams HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", client.simulator.port), timeout=10) as connection:
        connection.sendall(head + b"[" * 1_000)
        assert b" 401 " in connection.makefile("rb").readline()
    assert client.get("/livestreams").status_code == 200
