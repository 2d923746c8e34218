"""The official SDK performs all operations: the simulator is no mirror of our own client."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from cloudflare import AuthenticationError, Cloudflare, NotFoundError

from pipelines.simulator.response_shapes import ResponseShapes
from tests.simulator.conftest import APP, NOW, Client, Serve, small_world


@pytest.fixture
def served(serve: Serve) -> Client:
    """The shapes of the document, of which the SDK was made."""
    return serve(
        small_world(values="numbers"), ResponseShapes(livestreams="document", detail="document", disabled="text")
    )


@pytest.fixture
def sdk(served: Client) -> Iterator[Cloudflare]:
    with Cloudflare(api_token=served.simulator.token, base_url=served.simulator.base_url, max_retries=0) as client:
        yield client


def test_python_sdk_performs_every_operation(served: Client, sdk: Cloudflare) -> None:
    account, world = served.simulator.account_id, served.world
    livestreams = sdk.realtime_kit.livestreams

    listed = livestreams.get_all_livestreams(APP, account_id=account, per_page=1, sort_order="DSC").data
    assert listed is not None
    newest = world.apps[APP].livestreams[-1]
    assert (listed.id, listed.stream_key) == (newest.id, newest.stream_key)
    assert listed.paging is not None
    assert listed.paging.total_count == 45

    # SDK 5.9 lacks the creation of an independent livestream: the same client, its path by hand.
    made: Any = sdk.post(f"/accounts/{account}/realtime/kit/{APP}/livestreams", body={"name": "mine"}, cast_to=object)
    assert made["data"]["name"] == "mine"

    meeting = next(each for each in world.apps[APP].meetings if not _streamed(served, each))
    started = livestreams.start_livestreaming_a_meeting(meeting, account_id=account, app_id=APP, name="sdk").data
    assert started is not None
    assert started.id is not None
    assert started.status == "INVOKED"
    world.advance(timedelta(seconds=13))

    meeting_now = livestreams.get_meeting_active_livestreams(meeting, account_id=account, app_id=APP).data
    assert meeting_now is not None
    assert (meeting_now.id, meeting_now.status) == (started.id, "LIVE")

    active = livestreams.get_active_livestreams_for_livestream_id(started.id, account_id=account, app_id=APP).data
    assert active is not None
    assert active.session is not None
    assert active.session.id is not None
    assert active.session.ingest_seconds in {10, "10"}

    stopped = livestreams.stop_livestreaming_a_meeting(meeting, account_id=account, app_id=APP).data
    assert stopped is not None
    assert stopped.message == "Stopped live stream successfully"

    detail = livestreams.get_livestream_session_for_livestream_id(started.id, account_id=account, app_id=APP).data
    assert detail is not None
    assert detail.session is not None
    assert detail.session.stopped_time == world.now

    session = livestreams.get_livestream_session_details_for_session_id(
        active.session.id, account_id=account, app_id=APP
    ).data
    assert session is not None
    assert session.livestream_id == started.id

    midnight = int(NOW.replace(hour=0, minute=0).timestamp())
    overall = livestreams.get_livestream_analytics_complete(
        APP, account_id=account, start_time=midnight, end_time=midnight + 86_399
    ).data
    assert overall is not None
    truth = world.expected_rows(APP, NOW.date(), NOW.date()).livestream_analytics_daily[APP, NOW.date()]
    assert overall.count == truth["livestream_count"]
    assert overall.total_ingest_seconds == truth["ingest_seconds"]

    stats = livestreams.get_org_analytics(APP, account_id=account, start_date="2025-11-01", end_date="2025-11-10").data
    assert stats is not None and stats.session_stats is not None  # noqa: PT018 - for mypy
    assert stats.session_stats.day_stats

    by_day = livestreams.get_livestream_analytics_daywise(
        APP, account_id=account, start_time=midnight - 86_400, end_time=midnight + 86_400
    ).data
    assert by_day is not None
    assert [row.date for row in by_day] == ["2025-11-19", "2025-11-20"]
    assert [row.count for row in by_day] == list(
        world.expected_rows(APP, NOW.date() - timedelta(days=1), NOW.date()).session_counts.values()
    )

    assert {request.operation for request in served.simulator.requests} == {
        "list-livestreams",
        "create-livestream",
        "start-livestream",
        "stop-livestream",
        "get-meeting-livestream",
        "get-active-session",
        "get-livestream",
        "get-session",
        "get-overall-analytics",
        "get-daywise-analytics",
        "get-livestream-daywise-analytics",
    }
    assert {request.status for request in served.simulator.requests} == {200, 201}


def test_python_sdk_parses_errors(served: Client, sdk: Cloudflare) -> None:
    account = served.simulator.account_id
    with pytest.raises(NotFoundError, match="Livestream not found"):
        sdk.realtime_kit.livestreams.get_livestream_session_for_livestream_id("x", account_id=account, app_id=APP)
    stranger = Cloudflare(api_token="guessed", base_url=served.simulator.base_url, max_retries=0)
    with stranger, pytest.raises(AuthenticationError, match="Authentication error"):
        stranger.realtime_kit.livestreams.get_all_livestreams(APP, account_id=account)


def _streamed(served: Client, meeting: str) -> bool:
    return any(row.meeting_id == meeting for row in served.world.apps[APP].livestreams)
