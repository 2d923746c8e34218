"""LivePoller: which requests it sends, in which order, and how it reads the replies."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from pipelines.errors import AlreadyRunningError, ApiError, NotFoundError
from pipelines.extract.client import ApiClient
from pipelines.live.poller import LivePoller
from tests.extract.conftest import Canned, CannedServer, ok

NOW = datetime(2026, 3, 1, 12)
NONE_ACTIVE = Canned(404, b'{"success": false, "error": {"code": 404, "message": "none active"}}')
SESSION = {"id": "s1", "viewer_seconds": "12"}


def page(*records: dict[str, Any]) -> Canned:
    body = {"success": True, "data": list(records), "paging": {"total_count": len(records)}}
    return Canned(body=json.dumps(body).encode())


def listed(livestream_id: str, meeting_id: str | None = None, status: str = "LIVE") -> dict[str, Any]:
    return {"id": livestream_id, "meeting_id": meeting_id, "status": status}


@pytest.fixture
def make_poller(server: CannedServer, connect: Callable[..., ApiClient]) -> Callable[..., LivePoller]:
    def make(check_may_continue: Callable[[], None] = lambda: None) -> LivePoller:
        client = connect(server.url, concurrency=1)
        return LivePoller(client, "app", lambda record: str(record["id"]), check_may_continue, lambda: NOW)

    return make


def paths(server: CannedServer) -> list[str]:
    return [received.target.split("/app/")[1] for received in server.received]


def test_a_stream_of_a_meeting_takes_four_kinds_of_requests(
    server: CannedServer, make_poller: Callable[..., LivePoller]
) -> None:
    both = {"livestream": listed("l1", "m1"), "session": SESSION}
    server.script = [page(), page(listed("l1", "m1")), ok(listed("l1", "m1")), ok(both)]
    result = make_poller().poll()
    [stream] = result.streams
    assert (stream.livestream_id, stream.session, stream.session_id, stream.answered_at) == ("l1", SESSION, "s1", NOW)
    list_path = "livestreams?page_no=1&per_page=100&sort_order=ASC&status="
    assert paths(server) == [
        f"{list_path}INVOKED",
        f"{list_path}LIVE",
        "meetings/m1/active-livestream",
        "livestreams/l1/active-livestream-session",
    ]


def test_no_active_session_is_no_error(server: CannedServer, make_poller: Callable[..., LivePoller]) -> None:
    server.script = [page(listed("l1", status="INVOKED")), page(listed("l2", "m2")), *[NONE_ACTIVE] * 3]
    result = make_poller().poll()
    assert (result.streams, result.without_session, result.errors) == ([], 2, [])
    server.script = [NONE_ACTIVE]
    assert make_poller().fetch_sessions(["gone"]) == ({}, [])


@pytest.mark.parametrize(
    "wrap", [lambda record: record, lambda record: [record], lambda record: {"livestream": record}]
)
def test_a_meeting_names_a_stream_that_the_lists_lack(
    server: CannedServer, make_poller: Callable[..., LivePoller], wrap: Callable[[object], object]
) -> None:
    server.script = [page(), page(listed("l1", "m1")), ok(wrap(listed("l2", "m1"))), NONE_ACTIVE, ok(SESSION)]
    [stream] = make_poller().poll().streams
    assert (stream.livestream_id, stream.livestream, stream.session) == ("l2", listed("l2", "m1"), SESSION)


def test_a_stream_that_goes_live_between_the_two_lists_counts_once(
    server: CannedServer, make_poller: Callable[..., LivePoller]
) -> None:
    server.script = [page(listed("l1", status="INVOKED")), page(listed("l1")), ok({"session": SESSION})]
    [stream] = make_poller().poll().streams
    assert stream.livestream["status"] == "LIVE"


def test_an_ignored_status_filter_does_not_cost_a_request_per_livestream(
    server: CannedServer, make_poller: Callable[..., LivePoller]
) -> None:
    everything = page(listed("idle", "m1", "IDLE"), listed("l1"), {"id": None, "status": "LIVE"})
    server.script = [everything, everything, ok({"session": SESSION})]
    assert [stream.livestream_id for stream in make_poller().poll().streams] == ["l1"]
    assert len(server.received) == 3


def test_a_failed_request_does_not_affect_the_other_streams(
    server: CannedServer, make_poller: Callable[..., LivePoller]
) -> None:
    refused = Canned(400, b'{"success": false, "error": {"code": 1, "message": "no"}}')
    server.script = [page(), page(listed("l1", "m1"), listed("l2")), refused, refused, ok({"session": SESSION})]
    result = make_poller().poll()
    assert ([stream.livestream_id for stream in result.streams], len(result.errors)) == (["l2"], 2)


def test_a_list_that_fails_fails_the_poll(server: CannedServer, make_poller: Callable[..., LivePoller]) -> None:
    server.script = [NONE_ACTIVE]
    with pytest.raises(NotFoundError):
        make_poller().poll()
    server.script = [page(), *[Canned(401, b"{}")] * 2]
    with pytest.raises(ApiError, match="401"):
        make_poller().poll()


def test_an_aborted_poll_sends_no_further_request(server: CannedServer, make_poller: Callable[..., LivePoller]) -> None:
    left = [2]

    def check_may_continue() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise AlreadyRunningError("a run needs the budget")

    server.script = [page(), page(*(listed(f"l{n}", f"m{n}") for n in range(20)))]
    with pytest.raises(AlreadyRunningError):
        make_poller(check_may_continue).poll()
    assert len(server.received) == 2


def test_last_figures_of_ended_sessions_are_fetched(
    server: CannedServer, make_poller: Callable[..., LivePoller]
) -> None:
    server.script = [ok({"id": "s1", "stopped_time": "2026-03-01T11:00:00Z"}), ok(None)]
    sessions, errors = make_poller().fetch_sessions(["s1", "s2"])
    assert (sessions, errors) == ({"s1": {"id": "s1", "stopped_time": "2026-03-01T11:00:00Z"}}, [])


def test_last_figures_that_cannot_be_fetched_are_reported(
    server: CannedServer, make_poller: Callable[..., LivePoller]
) -> None:
    server.script = [Canned(400, b'{"success": false, "error": {"code": 1, "message": "no"}}'), ok({"id": "s2"})]
    sessions, [error] = make_poller().fetch_sessions(["s1", "s2"])
    assert sessions == {"s2": {"id": "s2"}}
    assert "400: no" in str(error)
