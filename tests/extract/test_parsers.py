"""Every known form of a reply, and forms that must not pass for an empty one."""

from datetime import date
from typing import Any

import pytest

from pipelines.errors import UnexpectedReplyError
from pipelines.extract.day_parsers import STATS, parse_daywise
from pipelines.extract.parsers import (
    Page,
    parse_live_reply,
    parse_livestream_page,
    parse_overall,
    parse_session_page,
)

A, B = {"id": "a"}, {"id": "b"}
PAGING = {"total_count": 2, "start_offset": 0, "end_offset": 1}
DAY = date(2025, 3, 14)


@pytest.mark.parametrize(
    ("reply", "page"),
    [
        # captured: an array, paging beside it
        ({"data": [A, B], "paging": PAGING}, Page([A, B], 2)),
        ({"data": [], "paging": {"total_count": 0}}, Page([], 0)),
        # the document: one object with paging inside
        ({"data": {**A, "paging": PAGING}}, Page([A], 2)),
        ({"data": {"paging": {"total_count": 0}}}, Page([], 0)),
        ({"data": {"id": None, "name": None, "paging": {"total_count": 0}}}, Page([], 0)),
        ({"data": {}}, Page([], None)),
        ({"data": None}, Page([], None)),
        # wrapped
        ({"data": {"livestreams": [A, B], "paging": PAGING}}, Page([A, B], 2)),
        ({"data": {"livestreams": [A], "total": 1}, "paging": PAGING}, Page([A], 2)),
        ({"data": {"items": [A]}}, Page([A], None)),
        ({"data": {"livestream": A}}, Page([A], None)),
        ({"data": {"livestreams": None}}, Page([], None)),
        # paging in every row
        ({"data": [{**A, "paging": PAGING}, {**B, "paging": PAGING}]}, Page([A, B], 2)),
        # the vendor's other APIs
        ({"result": [A], "result_info": {"total_count": 5}}, Page([A], 5)),
        # normalize handles records of any type
        ({"data": [None, 5, "x", [A]]}, Page([None, 5, "x", [A]], None)),
    ],
)
def test_a_page_of_livestreams(reply: dict[str, Any], page: Page) -> None:
    assert parse_livestream_page(reply) == page


@pytest.mark.parametrize(
    ("reply", "page"),
    [
        # captured: an array in data, paging beside data
        ({"data": {"livestream": {"id": "l"}, "sessions": [A, B]}, "paging": PAGING}, Page([A, B], 2)),
        # the document: one object, paging inside
        ({"data": {"livestream": {"id": "l"}, "session": A, "paging": PAGING}}, Page([A], 2)),
        ({"data": {"livestream": {"id": "l"}, "session": {}, "paging": {"total_count": 0}}}, Page([], 0)),
        ({"data": {"livestream": {"id": "l"}, "session": {"id": None}}}, Page([], None)),
        ({"data": {"livestream": {"id": "l"}}}, Page([], None)),
        ({"data": {"livestream": {"id": "l", "sessions": [A], "paging": PAGING}}}, Page([A], 2)),
        ({"data": {"sessions": [{**A, "paging": PAGING}]}}, Page([A], 2)),
        ({"data": [A, B], "paging": PAGING}, Page([A, B], 2)),
        ({"result": {"sessions": [A]}}, Page([A], None)),
    ],
)
def test_a_page_of_sessions(reply: dict[str, Any], page: Page) -> None:
    assert parse_session_page(reply) == page


@pytest.mark.parametrize(
    ("value", "total"),
    [
        (3, 3),
        ("3", 3),
        (" 3 ", 3),
        (3.0, 3),
        (0, 0),
        (-1, None),
        (3.5, None),
        (True, None),
        (None, None),
        ("many", None),
        ([3], None),
        ("9" * 5000, None),  # int() raises on more than 4300 digits
        ("²", None),
    ],
)
def test_total_count(value: object, total: int | None) -> None:
    assert parse_livestream_page({"data": [A], "paging": {"total_count": value}}).total_count == total


@pytest.mark.parametrize("paging", [None, [], "2", 2, {"total_count": None}, {}])
def test_unknown_forms_of_paging_are_ignored(paging: object) -> None:
    assert parse_livestream_page({"data": [A], "paging": paging}) == Page([A], None)


@pytest.mark.parametrize("reply", [{}, {"success": True}, {"success": True, "messages": []}])
def test_a_reply_without_data_is_not_an_empty_list(reply: dict[str, Any]) -> None:
    # Seen: as a complete list without sessions it marked the livestream as known, so its sessions were never fetched.
    for parse in (parse_livestream_page, parse_session_page, lambda reply: parse_overall(reply, DAY)):
        with pytest.raises(UnexpectedReplyError):
            parse(reply)


@pytest.mark.parametrize("data", ["text", 5, True, {"code": 1}])
def test_livestreams_in_an_unknown_place_are_an_error(data: object) -> None:
    with pytest.raises(UnexpectedReplyError):
        parse_livestream_page({"data": data})


WRAPPED = {"data": {"livestream": {"id": "l"}, "sessions": [A]}}
"""One wrapping more than was ever seen: it was taken for a livestream without sessions."""


@pytest.mark.parametrize("data", ["text", 5, True, WRAPPED, {"items": [A]}, {"id": "l", "name": "n"}])
def test_sessions_in_an_unknown_place_are_an_error(data: object) -> None:
    with pytest.raises(UnexpectedReplyError):
        parse_session_page({"data": data})


@pytest.mark.parametrize("data", [None, {}, {"paging": {"total_count": 0}}, {"livestream": None, "session": None}])
def test_a_livestream_without_sessions(data: object) -> None:
    assert parse_session_page({"data": data}).records == []


TOTALS = {"count": 3, "total_ingest_seconds": 5}


@pytest.mark.parametrize(
    ("data", "record"),
    [
        (TOTALS, TOTALS),
        ([{**TOTALS, "date": "2025-03-14T00:00:00.000Z"}], {**TOTALS, "date": "2025-03-14T00:00:00.000Z"}),
        ([{**TOTALS, "date": "2025-03-14"}], {**TOTALS, "date": "2025-03-14"}),
        # the same midnight as another zone writes it: it was taken for another day, and this one for a zero
        ([{"count": 3, "date": "2025-03-13T19:00:00-05:00"}], {"count": 3, "date": "2025-03-13T19:00:00-05:00"}),
        ([{"count": 3, "date": "2025-03-14T05:30:00+05:30"}], {"count": 3, "date": "2025-03-14T05:30:00+05:30"}),
        ([{"count": 3, "date": 1741910400}], {"count": 3, "date": 1741910400}),
        ([{"count": 3, "date": "1741910400000"}], {"count": 3, "date": "1741910400000"}),
        ([TOTALS], TOTALS),
        ([{"count": 9, "date": "2025-03-13"}, {"count": 3, "date": "2025-03-14"}], {"count": 3, "date": "2025-03-14"}),
        ([{"count": 3, "date": "2025-03-14"}] * 2, {"count": 3, "date": "2025-03-14"}),
        ([], None),
        ({}, None),
        (None, None),
        ({"count": None, "total_ingest_seconds": None}, None),
        ({"count": 0}, {"count": 0}),
        ("text", "text"),
        (["text"], "text"),
    ],
)
def test_overall(data: object, record: object) -> None:
    assert parse_overall({"data": data}, DAY) == record


@pytest.mark.parametrize(
    "data",
    [
        [{"count": 3, "date": "2025-03-15T00:00:00Z"}],
        [{"count": 3, "date": "some day"}],
        [{"count": 3, "date": {"day": 14}}],
        [{"count": 3, "date": 1e300}],
        [{"count": 3, "date": "NaN"}],
        [{"count": 3, "date": "2025-03-14"}, {"count": 4, "date": "2025-03-14"}],
        [{"count": 3}, {"count": 4}],
        [{"count": 3, "date": "2025-03-14"}, {"count": 4}],
        [{"count": 3, "date": "2025-03-14"}, {"count": 4, "date": 1741953600}],
        [{"count": 3, "date": "2025-03-14"}, {"count": 3, "total_ingest_seconds": 1, "date": "2025-03-14"}],
        # none of its figures: each was taken for null
        {"data": {"count": 3}},
        [{"date": "2025-03-14", "livestreams": 3}],
    ],
)
def test_a_reply_about_other_days_is_not_a_zero(data: object) -> None:
    with pytest.raises(UnexpectedReplyError, match="2025-03-14"):
        parse_overall({"data": data}, DAY)


@pytest.mark.parametrize("again", ["2025-03-14", "2025-03-14T00:00:00Z", 1741910400, "2025-03-14T05:30:00+05:30"])
@pytest.mark.parametrize("stats", STATS)
def test_daywise_with_two_different_entries_for_a_day_is_an_error(again: object, stats: str) -> None:
    last: dict[str, object] = {"day": again, "total_sessions": 3}
    entries = [{"day": "2025-03-14", "total_sessions": 2}, {"day": "2025-03-15"}, last]
    for part in ({"day_stats": entries}, entries):
        with pytest.raises(UnexpectedReplyError, match="gave different figures for 2025-03-14"):
            parse_daywise({"data": {stats: part}}, stats)
    last["total_sessions"] = "2.0"  # the same figure
    assert parse_daywise({"data": {stats: {"day_stats": entries}}}, stats) == (entries, True)


ENTRY = {"day": "2025-03-14T00:00:00.000Z", "total_sessions": 2, "total_session_minutes": 365.66666666666697}


@pytest.mark.parametrize(
    ("part", "entries", "left_out_is_zero"),
    [
        ({"sessions_count": 2, "day_stats": [ENTRY]}, [ENTRY], True),
        ({"day_stats": [ENTRY]}, [ENTRY], True),
        ([ENTRY], [ENTRY], True),
        ({"sessions_count": 0, "day_stats": []}, [], True),
        ({"sessions_count": 0, "day_stats": None}, [], True),
        ({"sessions_count": 0}, [], True),
        ({"day_stats": ENTRY}, [ENTRY], True),
        # the reply's own total says that something was left out
        ({"sessions_count": 5, "day_stats": [ENTRY]}, [ENTRY], False),
        ({"sessions_count": "5", "day_stats": [ENTRY]}, [ENTRY], False),
        ({"sessions_count": 5, "day_stats": []}, [], False),
        ({"sessions_count": 5}, [], False),
        # a total that is no number says nothing
        ({"sessions_count": "many", "day_stats": [ENTRY]}, [ENTRY], True),
        # an entry whose count cannot be read does not make up for the total
        (
            {"sessions_count": 2, "day_stats": [{**ENTRY, "total_sessions": "?"}]},
            [{**ENTRY, "total_sessions": "?"}],
            False,
        ),
        (None, [], False),
    ],
)
def test_daywise(part: object, entries: list[object], left_out_is_zero: bool) -> None:  # noqa: FBT001 - a parameter
    reply = {"data": {"session_stats": part, "recording_stats": {"day_stats": []}}}
    assert parse_daywise(reply, "session_stats") == (entries, left_out_is_zero)


def test_days_of_a_missing_part_of_daywise_are_unknown() -> None:
    assert parse_daywise({"data": {"session_stats": {"day_stats": []}}}, "recording_stats") == ([], False)


@pytest.mark.parametrize("data", [[ENTRY], "text", 5, {"data": {"session_stats": {"day_stats": [ENTRY]}}}])
def test_daywise_in_an_unknown_place_is_an_error(data: object) -> None:
    with pytest.raises(UnexpectedReplyError):
        parse_daywise({"data": data}, "session_stats")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ({"livestream": A, "session": B}, [("livestream", A), ("session", B)]),
        ({"livestream": A, "session": None}, [("livestream", A)]),
        ({"session": {}}, []),
        ({}, []),
        (None, []),
    ],
)
def test_live_replies(data: object, found: list[object]) -> None:
    assert list(parse_live_reply({"data": data})) == found
