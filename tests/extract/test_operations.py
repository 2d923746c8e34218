"""The eleven operations: the request that each of them sends."""

from collections.abc import Callable
from datetime import date
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import ApiRefusedError, NotFoundError
from pipelines.extract import operations
from pipelines.extract.client import ApiClient
from pipelines.simulator.server import Simulator
from tests.extract.conftest import Canned, CannedServer, Connect

FIRST, LAST = date(2025, 3, 1), date(2025, 3, 9)
ROOT = "/client/v4/accounts/account/realtime/kit/app"
PAGE = "page_no=1&per_page=100"

OPERATIONS: list[tuple[Callable[[ApiClient], object], str, str]] = [
    (lambda c: operations.list_livestreams(c, "app"), "GET", f"/livestreams?{PAGE}&sort_order=ASC"),
    (
        lambda c: operations.list_livestreams(c, "app", page_no=3, per_page=7, status="LIVE"),
        "GET",
        "/livestreams?page_no=3&per_page=7&sort_order=ASC&status=LIVE",
    ),
    (lambda c: operations.get_livestream(c, "app", "l"), "GET", f"/livestreams/l?{PAGE}"),
    (lambda c: operations.get_session(c, "app", "s"), "GET", "/livestreams/sessions/s"),
    (lambda c: operations.get_active_session(c, "app", "l"), "GET", "/livestreams/l/active-livestream-session"),
    (lambda c: operations.get_meeting_livestream(c, "app", "m"), "GET", "/meetings/m/active-livestream"),
    (
        lambda c: operations.get_overall_analytics(c, "app", FIRST, LAST),
        "GET",
        "/analytics/livestreams/overall?start_time=1740787200&end_time=1741564799",
    ),
    (
        lambda c: operations.get_livestream_daywise_analytics(c, "app", FIRST, LAST),
        "GET",
        "/analytics/livestreams/daywise?start_time=1740787200&end_time=1741564799",
    ),
    (
        lambda c: operations.get_daywise_analytics(c, "app", FIRST, LAST),
        "GET",
        "/analytics/daywise?start_date=2025-03-01&end_date=2025-03-09",
    ),
    (lambda c: operations.create_livestream(c, "app", "n"), "POST", "/livestreams"),
    (lambda c: operations.start_livestream(c, "app", "m", None), "POST", "/meetings/m/livestreams"),
    (lambda c: operations.stop_livestream(c, "app", "m"), "POST", "/meetings/m/active-livestream/stop"),
]


@pytest.mark.parametrize(("send", "method", "target"), OPERATIONS)
def test_requests(
    send: Callable[[ApiClient], object], method: str, target: str, server: CannedServer, connect: Connect
) -> None:
    send(connect(server.url))
    (received,) = server.received
    assert (received.method, unquote(received.target)) == (method, ROOT + target)


def test_stop_has_no_body(server: CannedServer, connect: Connect) -> None:
    # A strict server answers 415 to a body that its specification does not have.
    operations.stop_livestream(connect(server.url), "app", "m")
    [received] = server.received
    assert received.headers.get("Content-Length", "0") == "0"
    assert "Content-Type" not in received.headers


@pytest.mark.parametrize("status", [200, 201])
def test_create_and_start_accept_201_and_200(status: int, server: CannedServer, connect: Connect) -> None:
    server.otherwise = Canned(status=status, body=b'{"success": true, "data": {"id": "l"}}')
    client = connect(server.url)
    assert operations.create_livestream(client, "app", None)["data"] == {"id": "l"}
    assert operations.start_livestream(client, "app", "m", "n")["data"] == {"id": "l"}


def test_an_explicit_page_size_is_sent_unchanged(server: CannedServer, connect: Connect) -> None:
    server.otherwise = Canned(status=400, body=b'{"errors": [{"message": "per_page must be at most 50"}]}')
    with pytest.raises(ApiRefusedError):
        operations.list_livestreams(connect(server.url), "app", per_page=500)
    assert len(server.received) == 1


@pytest.mark.parametrize(
    ("identifier", "segment"),
    [
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("...", "%2E%2E%2E"),
        ("a/b", "a%2Fb"),
        ("../../x", "..%2F..%2Fx"),
        ("a?b=c#d", "a%3Fb%3Dc%23d"),
        ("%2e%2e", "%252e%252e"),
        ("a b+c", "a%20b%2Bc"),
        ("ü😀", "%C3%BC%F0%9F%98%80"),
        ("a\\b", "a%5Cb"),
        ("a:b@c;d,e", "a%3Ab%40c%3Bd%2Ce"),
        ("a.b..c", "a.b..c"),
        ("x" * 256, "x" * 256),
        ("http://evil.example/", "http%3A%2F%2Fevil.example%2F"),
    ],
)
def test_an_identifier_is_one_segment(identifier: str, segment: str, server: CannedServer, connect: Connect) -> None:
    client = connect(server.url)
    operations.get_livestream(client, identifier, identifier)
    operations.get_session(client, identifier, identifier)
    operations.get_meeting_livestream(client, identifier, identifier)
    root = f"/client/v4/accounts/account/realtime/kit/{segment}"
    assert [received.target.partition("?")[0] for received in server.received] == [
        f"{root}/livestreams/{segment}",
        f"{root}/livestreams/sessions/{segment}",
        f"{root}/meetings/{segment}/active-livestream",
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20))
def test_any_identifier_arrives_unchanged(server: CannedServer, connect: Connect, identifier: str) -> None:
    server.received.clear()
    operations.get_session(connect(server.url), "app", identifier)
    path = server.received[-1].target
    assert path.count("/") == f"{ROOT}/livestreams/sessions/x".count("/")
    assert unquote(path.rpartition("/")[2]) == identifier


def test_unknown_meetings_and_apps_are_not_found(simulator: Simulator, connect: Connect) -> None:
    client = connect(simulator.base_url, account_id=simulator.account_id, token=simulator.token)
    app_id = next(iter(simulator.world.apps))
    with pytest.raises(NotFoundError):
        operations.get_meeting_livestream(client, app_id, "no-such-meeting")
    with pytest.raises(NotFoundError):
        operations.list_livestreams(client, "no-such-app")
    assert client.retried == 0


def test_the_account_id_is_one_segment(server: CannedServer, connect: Connect) -> None:
    server.otherwise = Canned()
    operations.get_session(connect(server.url, account_id="../x"), "app", "s")
    assert server.received[0].target.startswith("/client/v4/accounts/..%2Fx/realtime/")


def test_other_forms_of_times_are_tried_once_where_none_is_accepted(server: CannedServer, connect: Connect) -> None:
    server.otherwise = Canned(400, b'{"success":false,"errors":[{"message":"no"}]}')
    client = connect(server.url)
    for day in (LAST, FIRST, FIRST):
        with pytest.raises(ApiRefusedError):
            operations.get_overall_analytics(client, "app", day, day)
    # Each day once, and yesterday in both forms: what is refused there too is not refused for the form or the age.
    assert len(server.received) == 3 + 2
