"""The ten operations over HTTP: paging, filters, changes, refusals, limits."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest

from pipelines.simulator.dialects import OPERATIONS, YEAR_2025
from pipelines.simulator.operations import ROUTES
from pipelines.simulator.response_shapes import ResponseShapes
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests.simulator.conftest import APP, NOW, Client, Serve, small_world


def all_ids(client: Client, **query: str | int) -> list[str]:
    ids: list[str] = []
    for page in range(1, 99):
        rows = client.json("/livestreams", page_no=page, **query)["data"]
        if not rows:
            return ids
        ids += [row["id"] for row in rows]
    raise AssertionError("endless")


def test_eleven_operations_are_served() -> None:
    assert set(ROUTES) == set(OPERATIONS)
    assert len(OPERATIONS) == 11


def test_pages_contain_every_livestream_once(client: Client) -> None:
    ids = all_ids(client, per_page=7)
    assert len(ids) == len(set(ids)) == 45
    paging = client.json("/livestreams", per_page=7, page_no=7)["paging"]
    assert paging == {"total_count": 45, "start_offset": 43, "end_offset": 45}
    paging = client.json("/livestreams", per_page=7, page_no=8)["paging"]
    assert paging == {"total_count": 45, "start_offset": 0, "end_offset": 0}


def test_page_size_never_exceeds_the_cap(serve: Serve) -> None:
    client = serve(per_page_cap=20)
    assert len(client.json("/livestreams", per_page=100)["data"]) == 20
    assert len(client.json("/livestreams")["data"]) == 20
    assert len(all_ids(client, per_page=100)) == 45


def test_sort_order(client: Client) -> None:
    created = [row["created_at"] for row in client.json("/livestreams", per_page=100)["data"]]
    assert created == sorted(created, reverse=True)
    assert all_ids(client, sort_order="ASC") == all_ids(client, sort_order="DSC")[::-1]


def test_filters(client: Client) -> None:
    rows = client.json("/livestreams", per_page=100)["data"]
    live = client.json("/livestreams", per_page=100, status="LIVE")
    assert {row["id"] for row in live["data"]} == {row["id"] for row in rows if row["status"] == "LIVE"}
    assert live["paging"]["total_count"] == len(live["data"])
    independent = client.json("/livestreams", per_page=100, exclude_meetings="true")["data"]
    assert {row["id"] for row in independent} == {row["id"] for row in rows if row["meeting_id"] is None}
    start, end = sorted(row["created_at"] for row in rows)[10:21:10]
    within = client.json("/livestreams", per_page=100, start_time=start, end_time=end)["data"]
    assert len(within) == 11


@pytest.mark.parametrize(
    "query",
    [
        {"page_no": "0"},
        {"per_page": "many"},
        {"sort_order": "DESC"},
        {"status": "NEW"},
        {"start_time": "soon"},
    ],
)
def test_invalid_parameters_are_refused(client: Client, query: dict[str, str]) -> None:
    answer = client.get("/livestreams", **query)
    assert answer.status_code == 400
    assert next(iter(query)) in answer.json()["errors"][0]["message"]


def test_livestream_lists_all_its_sessions_newest_first(client: Client) -> None:
    livestream = max(client.world.apps[APP].livestreams, key=lambda row: len(row.sessions))
    ids = []
    for page in range(1, len(livestream.sessions) + 1):
        ids += [
            row["id"]
            for row in client.json(f"/livestreams/{livestream.id}", page_no=page, per_page=5)["data"]["sessions"]
        ]
    assert ids == [session.id for session in livestream.sessions[::-1]]
    one = client.json(f"/livestreams/sessions/{ids[0]}")["data"]
    assert one["livestream_id"] == livestream.id


def test_overall_sums_the_sessions_of_the_day(serve: Serve) -> None:
    client = serve(small_world(values="numbers"))
    truth = client.world.expected_rows(APP, NOW.date() - timedelta(days=20), NOW.date())
    for (_, day), row in truth.livestream_analytics_daily.items():
        query = {"start_time": f"{day}T00:00:00.000Z", "end_time": f"{day}T23:59:59.999Z"}
        data = client.json("/analytics/livestreams/overall", **query)["data"]
        assert data == {
            "count": row["livestream_count"],
            "total_ingest_seconds": row["ingest_seconds"],
            "total_viewer_seconds": row["viewer_seconds"],
        }


def test_daywise_returns_days_and_totals(serve: Serve) -> None:
    client = serve(small_world(values="numbers"))
    truth = client.world.expected_rows(APP, NOW.date() - timedelta(days=30), NOW.date())
    data = client.json("/analytics/daywise")["data"]
    sums = {row["day"][:10]: row["total_session_minutes"] for row in data["session_stats"]["day_stats"]}
    assert sums == {
        str(day): row["session_minutes"]
        for (_, day), row in truth.meeting_sessions_daily.items()
        if row["session_count"]
    }
    counted = sum(row["total_recordings"] for row in data["recording_stats"]["day_stats"])
    assert counted == data["recording_stats"]["recording_count"]
    assert client.get("/analytics/daywise", start_date="yesterday").status_code == 400


def test_created_livestream_is_listed(serve: Serve) -> None:
    client = serve(dialect=YEAR_2025)
    made = client.post("/livestreams", {"name": "Bühne 🎤"}).raise_for_status().json()["data"]
    assert made["status"] == "INVOKED"
    assert made["disabled"] is False
    assert len(made["stream_key"]) == 64
    newest = client.json("/livestreams", per_page=1)["data"][0]
    assert (newest["id"], newest["name"], newest["stream_key"]) == (
        made["id"],
        "Bühne 🎤",
        made["stream_key"],
    )
    assert client.get(f"/livestreams/{made['id']}/active-livestream-session").status_code == 404
    assert client.post("/livestreams").raise_for_status().json()["data"]["name"] is None


def test_started_and_stopped_meeting_appears_in_every_operation(serve: Serve) -> None:
    world = World(now=NOW, values="numbers")
    world.add_app(APP, meetings=["m-1"])
    client = serve(world)
    assert client.get("/meetings/m-1/active-livestream").status_code == 404
    started = client.post("/meetings/m-1/livestreams", {"name": "all hands", "video_config": {"width": 1280}})
    made = started.raise_for_status().json()["data"]
    assert made["status"] == "INVOKED"
    assert client.post("/meetings/m-1/livestreams").status_code == 409
    session = client.json(f"/livestreams/{made['id']}/active-livestream-session")["data"]["session"]
    assert session["started_time"] is None

    world.advance(timedelta(seconds=63))
    active = client.json("/meetings/m-1/active-livestream")["data"]
    assert (active["id"], active["status"], active["meeting_id"]) == (made["id"], "LIVE", "m-1")
    session = client.json(f"/livestreams/{made['id']}/active-livestream-session")["data"]["session"]
    assert (session["ingest_seconds"], session["stopped_time"]) == (60, None)

    stopped = client.post("/meetings/m-1/active-livestream/stop").raise_for_status().json()
    assert stopped["data"] == {"message": "Stopped live stream successfully"}
    assert client.post("/meetings/m-1/active-livestream/stop").status_code == 404
    world.advance(timedelta(hours=1))
    detail = client.json(f"/livestreams/{made['id']}")["data"]
    assert detail["livestream"]["status"] == "IDLE"
    assert detail["sessions"][0]["stopped_time"] == "2025-11-20T15:31:03.000Z"
    day = {"start_time": "2025-11-20T00:00:00Z", "end_time": "2025-11-21T00:00:00Z"}
    assert client.json("/analytics/livestreams/overall", **day)["data"]["total_ingest_seconds"] == 60
    assert (
        client.json("/analytics/livestreams/overall", start_time=1763596800, end_time=1763683200)["data"]["count"] == 1
    )


@pytest.mark.parametrize(
    "path",
    [
        "/livestreams/x",
        "/livestreams/sessions/x",
        "/livestreams/x/active-livestream-session",
        "/meetings/x/active-livestream",
        "/x",
    ],
)
def test_unknown_resource_is_404_with_an_error_body(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["success"] is False


def test_body_must_be_a_json_object(client: Client) -> None:
    assert client.post("/livestreams", [1]).status_code == 400
    assert client.post("/livestreams", {"name": 5}).status_code == 400
    for broken in (b"{", b"[" * 100_000, b'{"name": "\\ud800"}'):
        json = {"content-type": "application/json"}
        assert client.http.post("/livestreams", content=broken, headers=json).status_code == 400


def test_token_account_and_app_are_checked(client: Client, serve: Serve) -> None:
    assert client.http.get("/livestreams", headers={"Authorization": "Bearer guessed"}).status_code == 401
    assert httpx.get(f"{client.http.base_url}livestreams").status_code == 401
    base = client.simulator.base_url
    assert client.http.get(f"{base}/accounts/other/realtime/kit/{APP}/livestreams").status_code == 404
    account = client.simulator.account_id
    assert client.http.get(f"{base}/accounts/{account}/realtime/kit/other/livestreams").status_code == 404
    assert serve(permitted=False).get("/livestreams").status_code == 403


@pytest.mark.parametrize(
    ("errors", "key"),
    [("result", "errors"), ("error", "error"), ("html", ""), ("problem", "detail"), ("chain", "errors")],
)
def test_every_error_shape(serve: Serve, errors: str, key: str) -> None:
    answer = serve(shapes=ResponseShapes(errors=errors)).get("/livestreams/nobody")  # type: ignore[arg-type]  # a parameter of the test
    assert answer.status_code == 404
    if key:
        assert key in answer.json()
    else:
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.text.startswith("<!DOCTYPE html>")


def test_rate_limit_is_announced_and_enforced(serve: Serve) -> None:
    client = serve(rate_limit=(2, 30.0))
    assert client.get("/livestreams").headers["Ratelimit"] == '"default";r=1;t=30'
    last = client.get("/livestreams")
    assert last.headers["Ratelimit"].startswith('"default";r=0;t=')
    assert last.headers["Ratelimit-Policy"] == '"default";q=2;w=30'
    over = client.get("/livestreams")
    assert over.status_code == 429
    assert 0 < int(over.headers["Retry-After"]) <= 30
    assert "Ratelimit" not in serve(rate_limit=None).get("/livestreams").headers


def test_rate_limit_resets_with_its_window(serve: Serve) -> None:
    client = serve(rate_limit=(1, 0.2))
    answers = [client.get("/livestreams").status_code for _ in range(2)]
    asyncio.run(asyncio.sleep(0.2))
    assert [*answers, client.get("/livestreams").status_code] == [200, 429, 200]


def test_concurrent_requests_are_counted(serve: Serve) -> None:
    client = serve(latency=0.1)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: client.get("/livestreams", per_page=1), range(6)))
    client.get("/analytics/daywise")
    simulator = client.simulator
    assert simulator.request_count() == 7
    assert simulator.request_count("list-livestreams") == simulator.request_count(app_id=APP) - 1 == 6
    assert simulator.request_count("list-livestreams", "stage") == 0
    assert 2 <= simulator.max_concurrent <= 6
    assert (simulator.requests[0].status, simulator.requests[0].query) == (200, {"per_page": "1"})


def test_broken_records_are_rendered_with_their_invalid_field(client: Client) -> None:
    app = client.world.apps[APP]
    for record_id, broken in client.world.broken.items():
        if record_id in app.by_id:
            assert client.json(f"/livestreams/{record_id}")["data"]["livestream"][broken.field] == broken.raw
        elif app.session(record_id):
            assert client.json(f"/livestreams/sessions/{record_id}")["data"][broken.field] == broken.raw


def test_exception_in_the_simulator_is_raised_at_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(_call: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(ROUTES, "list-livestreams", ("GET", "/livestreams", mistaken))
    with pytest.raises(ZeroDivisionError), Simulator(small_world()) as simulator:
        url = f"{simulator.base_url}/accounts/{simulator.account_id}/realtime/kit/{APP}/livestreams"
        assert httpx.get(url, headers={"Authorization": f"Bearer {simulator.token}"}).status_code == 500
