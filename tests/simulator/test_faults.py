"""Every fault has its documented effect over HTTP."""

import email.utils
import gzip
import http.client
import json
import time
from collections import Counter
from typing import Any

import httpx
import pytest

from pipelines.simulator.faults import GROUPS, KINDS, FaultInjector
from pipelines.simulator.response_shapes import ResponseShapes
from pipelines.simulator.server import Simulator
from pipelines.simulator.transport_faults import SERVER_ERRORS, FaultOptions
from tests.parameters import long_except
from tests.simulator.conftest import APP, Client, Serve, small_world

pytestmark = pytest.mark.long  # by default, the tests that use the simulator prove what they need of it

LIST = "/livestreams"


@pytest.fixture(scope="module")
def simulator() -> Any:
    with Simulator(small_world(values="numbers")) as simulator:
        yield simulator


@pytest.fixture
def client(simulator: Simulator) -> Any:
    root = f"{simulator.base_url}/accounts/{simulator.account_id}/realtime/kit/{APP}"
    with httpx.Client(base_url=root, headers={"Authorization": f"Bearer {simulator.token}"}, timeout=10) as http:
        yield Client(simulator, http)


def ids(reply: Any) -> list[str]:
    return [row["id"] for row in reply["data"]]


def test_every_fault_kind_has_a_test() -> None:
    source = "".join(name.removeprefix("test_") for name in globals())
    assert not [kind for kind in KINDS if kind not in source and kind not in STATUSES]


STATUSES = {
    "rate_limited": 429,
    "rate_limited_date": 429,
    "rate_limited_bare": 429,
    "rate_limited_empty": 429,
}


def test_429_with_seconds_a_date_no_header_or_an_empty_body(client: Client) -> None:
    for kind in STATUSES:
        client.faults.schedule(kind, options=FaultOptions(retry_after=7))
    seconds, date, bare, empty = (client.get(LIST) for _ in range(4))
    assert {answer.status_code for answer in (seconds, date, bare, empty)} == {429}
    assert seconds.headers["Retry-After"] == "7"
    until, served = (email.utils.parsedate_to_datetime(date.headers[name]) for name in ("Retry-After", "Date"))
    assert 6 < (until - served).total_seconds() <= 8
    assert date.headers["Retry-After"].endswith("GMT")
    assert "Retry-After" not in bare.headers
    assert bare.json()["success"] is False
    assert ("Retry-After" not in empty.headers, empty.content) == (True, b"")


def test_quota_out(client: Client) -> None:
    client.faults.schedule("quota_out")
    answer = client.get(LIST)
    assert answer.status_code == 200
    assert answer.headers["Ratelimit"] == '"default";r=0;t=1'


@pytest.mark.parametrize("status", SERVER_ERRORS)
def test_server_error_and_server_error_html(client: Client, status: int) -> None:
    client.faults.schedule("server_error", options=FaultOptions(status=status))
    client.faults.schedule("server_error_html", options=FaultOptions(status=status))
    as_json, as_html = client.get(LIST), client.get(LIST)
    assert as_json.status_code == as_html.status_code == status
    assert as_json.json()["success"] is False
    assert as_html.headers["content-type"].startswith("text/html")


def test_html_200(client: Client) -> None:
    client.faults.schedule("html_200")
    answer = client.get(LIST)
    assert (answer.status_code, answer.text[:9]) == (200, "<!DOCTYPE")


def test_not_success_uses_both_error_shapes(client: Client) -> None:
    client.faults.schedule("not_success", times=20)
    answers = [client.get(LIST) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}
    assert {("errors" in answer.json(), "error" in answer.json()) for answer in answers} == {
        (True, False),
        (False, True),
    }


def test_drop_before(client: Client) -> None:
    client.faults.schedule("drop_before")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        client.get(LIST)
    assert client.simulator.requests[-1].fault == "drop_before"
    assert client.get(LIST).status_code == 200


@pytest.mark.parametrize("kind", ["cut_body", "drop_within"])
def test_cut_body_and_drop_within(client: Client, kind: str) -> None:
    client.faults.schedule(kind, times=2)
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection"):
        client.get(LIST)
    with client.http.stream("GET", LIST) as answer:
        assert answer.status_code == 200
        assert ("content-length" in answer.headers) is (kind == "cut_body")
        received = bytearray()
        with pytest.raises(httpx.RemoteProtocolError):
            for piece in answer.iter_raw():
                received += piece
    assert received.startswith(b'{"success":true')
    assert client.get(LIST).status_code == 200


def test_cut_json(client: Client) -> None:
    client.faults.schedule("cut_json")
    answer = client.get(LIST)
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_trickle(client: Client) -> None:
    client.faults.schedule("trickle", options=FaultOptions(trickle_seconds=0.3))
    began = time.monotonic()
    with client.http.stream("GET", LIST) as answer:
        pieces = list(answer.iter_raw())
    assert time.monotonic() - began >= 0.3
    assert len(pieces) > 5
    assert json.loads(b"".join(pieces)) == client.json(LIST)


def test_wrong_type(client: Client) -> None:
    client.faults.schedule("wrong_type")
    answer = client.get(LIST)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.json() == client.json(LIST)


def test_invalid_utf8(client: Client) -> None:
    client.faults.schedule("invalid_utf8", times=2)
    for path in (LIST, "/analytics/daywise"):
        answer = client.get(path)
        with pytest.raises(UnicodeDecodeError):
            answer.json()


@pytest.mark.parametrize("kind", ["huge_body", "gzip_bomb"])
def test_huge_body_and_gzip_bomb(client: Client, kind: str) -> None:
    client.faults.schedule(kind, options=FaultOptions(huge_bytes=5_000_000))
    with client.http.stream("GET", LIST) as answer:
        on_the_wire = b"".join(answer.iter_raw())
    document = gzip.decompress(on_the_wire) if kind == "gzip_bomb" else on_the_wire
    assert (len(on_the_wire) < 100_000) is (kind == "gzip_bomb")
    assert len(document) > 5_000_000
    assert json.loads(document)["data"] == []


def test_huge_body_stops_when_the_client_closes(client: Client) -> None:
    client.faults.schedule("huge_body")
    with client.http.stream("GET", LIST) as answer:
        next(answer.iter_raw())
    assert client.get(LIST).status_code == 200


def test_redirect(client: Client) -> None:
    client.faults.schedule("redirect", options=FaultOptions(redirect_to="https://other.example/x"))
    answer = client.get(LIST)
    assert (answer.status_code, answer.headers["location"]) == (302, "https://other.example/x")


def test_page_no_ignored_and_repeat_page(client: Client) -> None:
    first = client.json(LIST, per_page=10)
    client.faults.schedule("page_no_ignored")
    assert client.json(LIST, per_page=10, page_no=3) == first
    client.faults.schedule("repeat_page", times=9)
    again = [client.json(LIST, per_page=10, page_no=page) for page in range(1, 10)]
    assert {tuple(ids(reply)) for reply in again} == {tuple(ids(first))}
    assert again[8]["paging"]["total_count"] == 1_045


def test_endless_pages(client: Client) -> None:
    client.faults.schedule("endless_pages", times=12)
    replies = [client.json(LIST, per_page=20, page_no=page) for page in range(1, 13)]
    found = [each for reply in replies for each in ids(reply)]
    assert len(found) == len(set(found)) == 240
    assert all(reply["paging"]["total_count"] > 20 * page for page, reply in enumerate(replies, start=1))


@pytest.mark.parametrize("shape", ["array", "document", "wrapped", "per_row"])
def test_total_high_total_low_and_total_absent(serve: Serve, shape: Any) -> None:
    client = serve(shapes=ResponseShapes(livestreams=shape, paging="text"))

    def total() -> object:
        reply = client.json(LIST)
        beside, data = reply.get("paging"), reply["data"]
        return (beside or (data[0] if isinstance(data, list) else data)["paging"]).get("total_count")

    for kind in ("total_high", "total_low", "total_absent"):
        client.faults.schedule(kind)
    assert [total() for _ in range(4)] == ["52", "22", None, "45"]


def test_same_record_twice(client: Client) -> None:
    first, second = (ids(client.json(LIST, per_page=10, page_no=page)) for page in (1, 2))
    client.faults.schedule("same_record_twice", times=2)
    assert ids(client.json(LIST, per_page=10, page_no=1)) == [first[0], *first]
    assert ids(client.json(LIST, per_page=10, page_no=2)) == [first[-1], *second]


def test_row_inserted(serve: Serve) -> None:
    client = serve()
    first = ids(client.json(LIST, per_page=10))
    client.faults.schedule("row_inserted")
    second = client.json(LIST, per_page=10, page_no=2)
    assert ids(second)[0] == first[-1]
    assert second["paging"]["total_count"] == 46
    busiest = max(client.world.apps[APP].livestreams, key=lambda row: len(row.sessions))
    sessions = len(busiest.sessions)
    client.faults.schedule("row_inserted", operation="get-livestream")
    client.json(f"/livestreams/{busiest.id}", per_page=2, page_no=2)
    assert len(busiest.sessions) == sessions + 1


def test_row_removed(serve: Serve) -> None:
    client = serve()
    client.post(LIST, {"name": "never-ran"}).raise_for_status()
    first = ids(client.json(LIST, per_page=10))
    missed = ids(client.json(LIST, per_page=10, page_no=2))[0]
    client.faults.schedule("row_removed")
    second = client.json(LIST, per_page=10, page_no=2)
    assert missed not in {*first, *ids(second)}
    assert second["paging"]["total_count"] == 45
    assert first[0] in client.world.deleted_ids


def test_row_moved(serve: Serve) -> None:
    client = serve(faults=FaultInjector(kinds=("row_moved",), rate=0))
    first = ids(client.json(LIST, per_page=10))
    client.faults.schedule("row_moved")
    rest = [each for page in range(2, 7) for each in ids(client.json(LIST, per_page=10, page_no=page))]
    assert rest[0] == first[-1]
    assert len(set(first) | set(rest)) == 44
    (missed,) = set(client.world.apps[APP].by_id) - set(first) - set(rest)
    assert ids(client.json(LIST, per_page=10))[0] == missed


def test_unknown_fields(client: Client) -> None:
    client.faults.schedule("unknown_fields")
    row = client.json(LIST)["data"][0]
    assert (row["codec"], row["tags"], row["encoder"]["stream_key"]) == ("av1", ["a", "b"], row["stream_key"])


def test_unknown_status(client: Client) -> None:
    client.faults.schedule("unknown_status")
    assert Counter(row["status"] for row in client.json(LIST)["data"])["HIBERNATING"] == 1


def test_new_type(client: Client) -> None:
    client.faults.schedule("new_type")
    assert [type(row["name"]) for row in client.json(LIST)["data"]].count(dict) == 1


def test_empty_list_shorter_list_zeros_and_not_found(client: Client) -> None:
    busiest = max(client.world.apps[APP].livestreams, key=lambda row: len(row.sessions))
    path, many = f"/livestreams/{busiest.id}", len(busiest.sessions)
    for kind in ("empty_list", "shorter_list", "zeros", "not_found"):
        client.faults.schedule(kind, operation="get-livestream")
    empty, shorter, zeros = (client.json(path, per_page=100) for _ in range(3))
    assert (empty["data"]["sessions"], empty["paging"]["total_count"]) == ([], 0)
    assert len(shorter["data"]["sessions"]) == shorter["paging"]["total_count"] == (many + 1) // 2
    assert zeros["paging"]["total_count"] == many
    assert {row["viewer_seconds"] for row in zeros["data"]["sessions"]} == {0}
    assert client.get(path).status_code == 404
    assert client.get(path).status_code == 200
    client.faults.schedule("empty_list")
    assert client.json(LIST)["data"] == []
    client.faults.schedule("empty_list")
    assert client.json("/analytics/daywise")["data"]["session_stats"]["day_stats"] == []
    client.faults.schedule("zeros")
    data = client.json("/analytics/livestreams/overall")["data"]
    assert set(data.values()) == {0}


VARIANTS = list(ResponseShapes.all_variants())


@pytest.mark.parametrize("shapes", long_except(VARIANTS, *VARIANTS[::4]), ids=str)
def test_content_faults_keep_every_shape_parseable(shapes: ResponseShapes) -> None:
    faults = FaultInjector(
        kinds=(*GROUPS["drift"], *GROUPS["strange"], *GROUPS["forgetting"]), rate=1, max_consecutive=40
    )
    with Simulator(small_world(), shapes=shapes, faults=faults) as simulator:
        host, _, root = simulator.base_url.removeprefix("http://").partition("/")
        connection = http.client.HTTPConnection(host)
        livestream = simulator.world.apps[APP].livestreams[-1].id
        for number in range(40):
            path = f"livestreams/{livestream}" if number % 2 else "livestreams"
            url = f"/{root}/accounts/{simulator.account_id}/realtime/kit/{APP}/{path}?page_no={1 + number // 8}"
            connection.request("GET", url, headers={"Authorization": f"Bearer {simulator.token}"})
            body = connection.getresponse().read()
            assert body.startswith(b"<!DOCTYPE html>") or json.loads(body)
        connection.close()
        assert len(simulator.faults.injected) == 40
