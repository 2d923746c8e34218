"""The present, asked for: which questions, in which order, and which answers count."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from pipelines.errors import AlreadyRunningError, ApiError, NotFoundError
from pipelines.extract.client import ApiClient
from pipelines.live.poll import Eye
from tests.extract.conftest import Canned, CannedServer, ok

NOW = datetime(2026, 3, 1, 12)
NONE_ACTIVE = Canned(404, b'{"success": false, "error": {"code": 404, "message": "none active"}}')
SESSION = {"id": "s1", "viewer_seconds": "12"}


def page(*records: dict[str, Any]) -> Canned:
    body = {"success": True, "data": list(records), "paging": {"total_count": len(records)}}
    return Canned(body=json.dumps(body).encode())


def stream(livestream_id: str, meeting_id: str | None = None, status: str = "LIVE") -> dict[str, Any]:
    return {"id": livestream_id, "meeting_id": meeting_id, "status": status}


@pytest.fixture
def preview_table(server: CannedServer, connect: Callable[..., ApiClient]) -> Callable[..., Eye]:
    def make(may_ask: Callable[[], None] = lambda: None) -> Eye:
        client = connect(server.url, concurrency=1)
        return Eye(client, "app", lambda record: str(record["id"]), may_ask, lambda: NOW)

    return make


def asked(server: CannedServer) -> list[str]:
    return [received.target.split("/app/")[1] for received in server.received]


def test_a_stream_of_a_meeting_takes_four_kinds_of_questions(
    server: CannedServer, preview_table: Callable[..., Eye]
) -> None:
    both = {"livestream": stream("l1", "m1"), "session": SESSION}
    server.script = [page(), page(stream("l1", "m1")), ok(stream("l1", "m1")), ok(both)]
    present = preview_table().look()
    [sight] = present.sights
    assert (sight.livestream_id, sight.session, sight.session_id, sight.seen_at) == ("l1", SESSION, "s1", NOW)
    lists = "livestreams?page_no=1&per_page=100&sort_order=ASC&status="
    assert asked(server) == [
        f"{lists}INVOKED",
        f"{lists}LIVE",
        "meetings/m1/active-livestream",
        "livestreams/l1/active-livestream-session",
    ]


def test_none_active_is_an_answer(server: CannedServer, preview_table: Callable[..., Eye]) -> None:
    server.script = [page(stream("l1", status="INVOKED")), page(stream("l2", "m2")), *[NONE_ACTIVE] * 3]
    present = preview_table().look()
    assert (present.sights, present.waiting, present.errors) == ([], 2, [])
    server.script = [NONE_ACTIVE]
    assert preview_table().ended(["gone"]) == {}


@pytest.mark.parametrize(
    "wrap", [lambda record: record, lambda record: [record], lambda record: {"livestream": record}]
)
def test_a_meeting_names_a_stream_that_the_lists_do_not(
    server: CannedServer, preview_table: Callable[..., Eye], wrap: Callable[[object], object]
) -> None:
    server.script = [page(), page(stream("l1", "m1")), ok(wrap(stream("l2", "m1"))), NONE_ACTIVE, ok(SESSION)]
    [sight] = preview_table().look().sights
    assert (sight.livestream_id, sight.livestream, sight.session) == ("l2", stream("l2", "m1"), SESSION)


def test_a_stream_that_goes_live_between_the_two_lists_is_one(
    server: CannedServer, preview_table: Callable[..., Eye]
) -> None:
    server.script = [page(stream("l1", status="INVOKED")), page(stream("l1")), ok({"session": SESSION})]
    [sight] = preview_table().look().sights
    assert sight.livestream["status"] == "LIVE"


def test_a_service_that_passes_over_the_filter_does_not_make_us_ask_about_everything(
    server: CannedServer, preview_table: Callable[..., Eye]
) -> None:
    everything = page(stream("idle", "m1", "IDLE"), stream("l1"), {"id": None, "status": "LIVE"})
    server.script = [everything, everything, ok({"session": SESSION})]
    assert [sight.livestream_id for sight in preview_table().look().sights] == ["l1"]
    assert len(server.received) == 3


def test_one_question_that_fails_leaves_the_others(server: CannedServer, preview_table: Callable[..., Eye]) -> None:
    refused = Canned(400, b'{"success": false, "error": {"code": 1, "message": "no"}}')
    server.script = [page(), page(stream("l1", "m1"), stream("l2")), refused, refused, ok({"session": SESSION})]
    present = preview_table().look()
    assert ([sight.livestream_id for sight in present.sights], len(present.errors)) == (["l2"], 2)


def test_a_list_that_fails_fails_the_look(server: CannedServer, preview_table: Callable[..., Eye]) -> None:
    server.script = [NONE_ACTIVE]
    with pytest.raises(NotFoundError):
        preview_table().look()
    server.script = [page(), *[Canned(401, b"{}")] * 2]
    with pytest.raises(ApiError, match="401"):
        preview_table().look()


def test_stepping_back_asks_nothing_more(server: CannedServer, preview_table: Callable[..., Eye]) -> None:
    left = [2]

    def may_ask() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise AlreadyRunningError("a run needs the budget")

    server.script = [page(), page(*(stream(f"l{n}", f"m{n}") for n in range(20)))]
    with pytest.raises(AlreadyRunningError):
        preview_table(may_ask).look()
    assert len(server.received) == 2


def test_how_sessions_ended(server: CannedServer, preview_table: Callable[..., Eye]) -> None:
    server.script = [ok({"id": "s1", "stopped_time": "2026-03-01T11:00:00Z"}), ok(None)]
    assert preview_table().ended(["s1", "s2"]) == {"s1": {"id": "s1", "stopped_time": "2026-03-01T11:00:00Z"}}
