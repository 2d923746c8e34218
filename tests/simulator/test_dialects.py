"""Today's dialect and the older one: accepted requests and responses."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from pipelines.simulator.dialects import TODAY, YEAR_2025
from pipelines.simulator.records import Rounding
from pipelines.simulator.refusals import Refusal
from pipelines.simulator.response_shapes import ResponseShapes
from pipelines.simulator.world import World
from tests.simulator.conftest import APP, NOW, Client, Serve, small_world

pytestmark = pytest.mark.long  # by default, the tests that use the simulator prove what they need of it

UNIX = {"start_time": "1763596800", "end_time": "1763683199"}
ISO = {"start_time": "2025-11-20T00:00:00Z", "end_time": "2025-11-20T23:59:59.999Z"}
OVERALL, BY_DAY = "/analytics/livestreams/overall", "/analytics/livestreams/daywise"
STRICT = TODAY


@pytest.mark.parametrize("path", [OVERALL, BY_DAY])
@pytest.mark.parametrize(
    ("times", "unix", "iso"), [("unix", 200, 400), ("iso", 400, 200), ("both", 200, 200)], ids=["unix", "iso", "both"]
)
def test_time_formats_are_accepted_or_refused_by_dialect(
    serve: Serve, path: str, times: Any, unix: int, iso: int
) -> None:
    client = serve(dialect=replace(TODAY, times=times))
    assert [client.get(path, **query).status_code for query in (UNIX, ISO)] == [unix, iso]
    assert serve(dialect=replace(TODAY, times="iso", invalid_status=422)).get(path, **UNIX).status_code == 422


def test_unix_and_iso_times_select_the_same_rows(serve: Serve) -> None:
    client = serve(dialect=replace(TODAY, times="both"))
    client.world.add_session(
        APP, any_livestream(client), created_at=NOW.replace(hour=23, minute=59, second=59, microsecond=999_000)
    )
    for path in (OVERALL, BY_DAY):
        assert client.json(path, **UNIX) == client.json(path, **ISO)


def any_livestream(client: Client) -> str:
    return client.world.apps[APP].livestreams[0].id


def test_daywise_counts_sessions_and_overall_counts_livestreams(serve: Serve) -> None:
    world = World(now=NOW, values="numbers")
    world.add_app(APP)
    livestream = world.add_livestream(APP)
    for hours in (1, 2, 26):
        world.add_session(
            APP, livestream.id, created_at=NOW - timedelta(hours=hours), ingest_seconds=10, viewer_seconds=7
        )
    client = serve(world, dialect=STRICT)
    query = {"start_time": "1763164800", "end_time": UNIX["end_time"]}
    assert client.json(OVERALL, **query)["data"]["count"] == 1
    assert client.json(BY_DAY, **query)["data"] == [
        {"count": 1, "total_ingest_seconds": 10, "total_viewer_seconds": 7, "date": "2025-11-19"},
        {"count": 2, "total_ingest_seconds": 20, "total_viewer_seconds": 14, "date": "2025-11-20"},
    ]
    every_day = serve(world, ResponseShapes(idle_days="zeros"), dialect=STRICT).json(BY_DAY, **query)["data"]
    assert [(row["date"], row["count"]) for row in every_day][-3:] == [
        ("2025-11-18", 0),
        ("2025-11-19", 1),
        ("2025-11-20", 2),
    ]
    counts = world.expected_rows(APP, NOW.date() - timedelta(days=1), NOW.date()).session_counts
    assert list(counts.values()) == [1, 2]


def test_dialect_2025_has_no_livestream_daywise(serve: Serve) -> None:
    assert serve(dialect=YEAR_2025).get(BY_DAY, **ISO).status_code == 404


@pytest.mark.parametrize(("dialect", "status"), [(TODAY, 201), (YEAR_2025, 200)])
def test_create_and_start_return_the_status_of_the_dialect(serve: Serve, dialect: Any, status: int) -> None:
    client = serve(dialect=dialect)
    assert client.post("/livestreams", {"name": "mine"}).status_code == status
    meeting = next(
        iter(client.world.apps[APP].meetings - {row.meeting_id for row in client.world.apps[APP].livestreams})
    )
    assert client.post(f"/meetings/{meeting}/livestreams").status_code == status
    shown = client.json(f"/meetings/{meeting}/active-livestream")["data"]
    assert ("stream_key" in shown) is ("ingest_server" in shown) is (dialect is YEAR_2025)
    assert client.post(f"/meetings/{meeting}/active-livestream/stop").status_code == 200


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("/livestreams", {"json": {"name": "two words"}}, 400),
        ("/livestreams", {"json": {"name": "Bühne"}}, 400),
        ("/livestreams", {"json": {"name": None}}, 201),
        ("/livestreams", {"json": {}}, 201),
        ("/livestreams", {}, 400),
        ("/livestreams", {"data": {"name": "form"}}, 415),
        ("/meetings/m/livestreams", {"json": {"name": "any words"}}, 201),
        ("/meetings/m/livestreams", {"json": {"video_config": {"height": "tall"}}}, 400),
        ("/meetings/m/livestreams", {"json": {"video_config": 5}}, 400),
        ("/meetings/m/active-livestream/stop", {"json": {}}, 415),
        ("/livestreams", {"content": b"x" * 2_000_000, "headers": {"content-type": "application/json"}}, 413),
    ],
)
def test_strict_dialect_validates_bodies(serve: Serve, path: str, sent: dict[str, Any], status: int) -> None:
    world = World(now=NOW)
    world.add_app(APP, meetings=["m"])
    assert serve(world).http.post(path, **sent).status_code == status


@pytest.mark.parametrize(("rounding", "ingest"), [("none", 118.4), ("down", 118), ("up", 119), ("nearest", 118)])
def test_totals_are_rounded(serve: Serve, rounding: Rounding, ingest: float) -> None:
    world = World(now=NOW, values="numbers", rounding=rounding)
    world.add_app(APP)
    world.add_session(
        APP,
        world.add_livestream(APP).id,
        created_at=NOW - timedelta(hours=2),
        ingest_seconds=118.4,
        viewer_seconds=50.9,
    )
    client = serve(world)
    for data in (client.json(OVERALL, **UNIX)["data"], client.json(BY_DAY, **UNIX)["data"][0]):
        assert data["total_ingest_seconds"] == ingest
    [row] = world.expected_rows(APP, NOW.date(), NOW.date()).livestream_analytics_daily.values()
    assert (row["ingest_seconds"], row["viewer_seconds"]) == (ingest, data["total_viewer_seconds"])


def test_new_session_has_placeholder_measures(serve: Serve) -> None:
    world = World(now=NOW, values="numbers", placeholders=True)
    world.add_app(APP)
    livestream = world.add_livestream(APP)
    session = world.go_live(APP, livestream.id, audience=2)
    client = serve(world)

    def figures() -> tuple[float, float]:
        shown = client.json(f"/livestreams/sessions/{session.id}")["data"]
        return shown["ingest_seconds"], shown["viewer_seconds"]

    world.advance(timedelta(seconds=2))
    assert figures() == (60, 60)
    world.advance(timedelta(seconds=43))
    assert figures()[0] == 45
    world.end_session(APP, livestream.id)
    assert figures()[0] == 45
    again = world.go_live(APP, livestream.id, audience=2)
    world.advance(timedelta(seconds=1))
    world.end_session(APP, livestream.id)
    assert client.json(f"/livestreams/sessions/{again.id}")["data"]["ingest_seconds"] == 1


def test_oversized_page_is_refused_with_its_cause(serve: Serve) -> None:
    client = serve(dialect=replace(TODAY, per_page_maximum=50))
    assert client.get("/livestreams", per_page=50).status_code == 200
    refused = client.get("/livestreams", per_page=51)
    [error] = refused.json()["errors"]
    assert (refused.status_code, error["code"]) == (400, 6008)
    assert error["error_chain"] == [{"code": 11000, "message": "per_page must be between 1 and 50"}]


def test_problem_and_chained_error_shapes(serve: Serve) -> None:
    problem = serve(shapes=ResponseShapes(errors="problem")).get("/livestreams", per_page="many")
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json()["detail"] == "per_page must be a whole number from 1 on, not 'many'"
    chained = serve(shapes=ResponseShapes(errors="chain")).http.get(
        "/livestreams", headers={"Authorization": "Bearer x"}
    )
    assert chained.json()["errors"][0]["error_chain"][0]["message"] == "Authentication error"


@pytest.mark.parametrize(
    ("refusal", "path", "query", "status"),
    [
        ("get-overall-analytics@2025-11-20", OVERALL, UNIX, 400),
        ("get-overall-analytics@2025-11-20=422", OVERALL, ISO, 422),
        ("get-overall-analytics@2025-11-19", OVERALL, UNIX, 200),
        ("get-overall-analytics@2025-11-21", OVERALL, {**ISO, "end_time": "2025-11-21T00:00:00Z"}, 200),
        ("get-overall-analytics@<2025-11-21", OVERALL, UNIX, 400),
        ("get-overall-analytics@<2025-11-20", OVERALL, UNIX, 200),
        ("get-daywise-analytics", "/analytics/daywise", {}, 404),
        (
            "get-daywise-analytics@2025-11-19",
            "/analytics/daywise",
            {"start_date": "2025-11-18", "end_date": "2025-11-19"},
            400,
        ),
        ("get-livestream-daywise-analytics=404", BY_DAY, UNIX, 404),
        ("get-livestream-daywise-analytics=404", OVERALL, UNIX, 200),
        ("list-livestreams=503", "/livestreams", {}, 503),
    ],
)
def test_refusals_match_operation_and_day(
    serve: Serve, refusal: str, path: str, query: dict[str, str], status: int
) -> None:
    client = serve(dialect=replace(TODAY, times="both"), refusals=[Refusal.parse(refusal)])
    assert client.get(path, **query).status_code == status


def test_refusal_of_one_livestream_is_permanent(serve: Serve) -> None:
    client = serve()
    failing, other = (row.id for row in client.world.apps[APP].livestreams[:2])
    client.simulator.service.refusals.append(Refusal.parse(f"get-livestream@{failing}=500"))
    assert [client.get(f"/livestreams/{each}").status_code for each in (failing, other, failing)] == [500, 200, 500]


@pytest.mark.parametrize(
    "text", ["", "a@b@c", "get-overall-analytics=200", "get-overall-analytics@2025-13-01", "no-such"]
)
def test_malformed_refusal_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Refusal.parse(text)


def test_expected_rows_count_sessions_by_day(serve: Serve) -> None:
    world = small_world(values="numbers")
    first, last = NOW.date() - timedelta(days=20), NOW.date()
    client = serve(world, dialect=STRICT)
    rows = client.json(BY_DAY, start_time=1761868800, end_time=int(NOW.timestamp()))["data"]
    counts = {date.fromisoformat(row["date"]): row["count"] for row in rows}
    truth = {day: number for (_, day), number in world.expected_rows(APP, first, last).session_counts.items() if number}
    assert counts == truth
