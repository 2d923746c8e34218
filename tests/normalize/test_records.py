"""Records as received become rows of the raw tables."""

import json
import sys
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.catalog.core import MEETING_SESSIONS_DAILY
from pipelines.catalog.raw import RAW_APP_ANALYTICS, RAW_LIVESTREAM_ANALYTICS, RAW_LIVESTREAM_SESSIONS, RAW_LIVESTREAMS
from pipelines.catalog.streams import stream_of
from pipelines.errors import UnexpectedReplyError
from pipelines.normalize.raw_frames import (
    field_types,
    raw_day_entries,
    raw_days,
    raw_livestreams,
    raw_sessions,
)
from pipelines.normalize.record import encode, identity, read_record

NOW = datetime(2025, 3, 14, 15, 9, 26)
DAYS = [date(2025, 3, 10) + timedelta(days=n) for n in range(3)]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values)
def test_a_payload_reads_back_as_the_record(record: Any) -> None:
    assert json.loads(encode(record)) == record
    assert encode(json.loads(encode(record))) == encode(record)


def test_the_order_of_fields_makes_no_other_version() -> None:
    assert encode({"a": 1, "b": {"c": 2, "d": 3}}) == encode({"b": {"d": 3, "c": 2}, "a": 1})


def test_identity() -> None:
    assert identity({"id": "a", "x": 1}) == identity({"id": "a", "x": 2})
    # one key by the rules: counted as two, a list that gave it both ways ended before it was complete
    assert identity({"id": "5"}) == identity({"id": 5})
    assert identity({"id": "true"}) != identity({"id": True})
    assert identity({"id": None, "x": 1}) != identity({"id": None, "x": 2})
    assert identity({"x": 1}) != identity({"x": 2})
    different: list[Any] = [None, 5, "5", [5], {}, {"id": []}]
    assert len({identity(record) for record in different}) == 6


def sessions(*records: Any, fetched_at: datetime = NOW) -> list[dict[str, Any]]:
    frame = raw_sessions(
        [read_record(record) for record in records],
        app_id="app",
        livestream_ids=["asked"] * len(records),
        fetched_at=[fetched_at] * len(records),
        run_id="run",
    )
    assert frame.schema == RAW_LIVESTREAM_SESSIONS.polars_schema
    return frame.to_dicts()


@pytest.mark.parametrize(
    ("record", "day"),
    [
        ({"created_at": "2025-03-10T23:59:59Z", "started_time": "2025-03-11T00:00:01Z"}, DAYS[0]),
        ({"created_at": None, "invoked_time": "2025-03-11T00:00:00Z", "started_time": "2025-03-12T00:00:00Z"}, DAYS[1]),
        ({"started_time": "2025-03-12T05:00:00+05:30"}, date(2025, 3, 11)),
        ({"created_at": "rubbish", "invoked_time": "2025-03-12T01:00:00Z"}, DAYS[2]),
        ({"created_at": "", "invoked_time": "null", "started_time": 1741600000}, DAYS[0]),
        ({"created_at": "rubbish"}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_the_day_of_a_session(record: Any, day: date | None) -> None:
    (row,) = sessions(record)
    assert row["day"] == day
    assert json.loads(row["payload"]) == record


def test_a_session_row() -> None:
    (row,) = sessions({"id": 7, "created_at": "2025-03-10T10:00:00Z"})
    assert (row["app_id"], row["session_id"], row["livestream_id"], row["run_id"]) == ("app", "7", "asked", "run")
    assert row["first_fetched_at"] == row["fetched_at"] == NOW
    assert sessions() == []


def test_livestreams() -> None:
    records: list[Any] = [{"id": "a"}, {"id": ""}, {}, None, {"id": "b\n"}]
    frame = raw_livestreams([read_record(record) for record in records], app_id="app", fetched_at=NOW, run_id="run")
    assert frame.schema == RAW_LIVESTREAMS.polars_schema
    assert frame["livestream_id"].to_list() == ["a", None, None, None, None]
    assert [json.loads(payload) for payload in frame["payload"]] == records
    assert raw_livestreams([], app_id="app", fetched_at=NOW, run_id="run").schema == RAW_LIVESTREAMS.polars_schema


@pytest.mark.parametrize("record", [None, {}, {"count": 1}, "odd"])
def test_a_day_of_overall(record: Any) -> None:
    frame = raw_days(
        RAW_LIVESTREAM_ANALYTICS, [read_record(record)], [DAYS[0]], app_id="app", fetched_at=[NOW], run_id="run"
    )
    assert frame.schema == RAW_LIVESTREAM_ANALYTICS.polars_schema
    ((day, payload),) = frame.select("day", "payload").iter_rows()
    assert (day, json.loads(payload)) == (DAYS[0], record)


def raw_meeting_sessions(entries: list[Any], *, omitted_is_zero: bool = True) -> pl.DataFrame:
    return raw_day_entries(
        stream_of(MEETING_SESSIONS_DAILY),
        [read_record(entry) for entry in entries],
        DAYS,
        omitted_is_zero=omitted_is_zero,
        stats="session_stats",
        app_id="app",
        fetched_at=NOW,
        run_id="run",
    )


def daywise(entries: list[Any], *, omitted_is_zero: bool = True) -> list[tuple[date | None, Any]]:
    frame = raw_meeting_sessions(entries, omitted_is_zero=omitted_is_zero)
    assert frame.schema == RAW_APP_ANALYTICS.polars_schema
    return [(day, json.loads(payload)) for day, payload in frame.select("day", "payload").iter_rows()]


def test_days_left_out_are_noted_where_that_means_none() -> None:
    entry = {"day": "2025-03-11T00:00:00.000Z", "total_sessions": 2}
    assert daywise([entry]) == [(DAYS[1], entry), (DAYS[0], None), (DAYS[2], None)]
    assert daywise([entry], omitted_is_zero=False) == [(DAYS[1], entry)]
    assert daywise([]) == [(day, None) for day in DAYS]
    assert daywise([], omitted_is_zero=False) == []


@pytest.mark.parametrize("invalid", [{"day": "rubbish", "total_sessions": 5}, {"total_sessions": 5}, "odd", None])
def test_an_entry_whose_day_cannot_be_read_makes_no_zero_of_that_day(invalid: Any) -> None:
    # It is quarantined; its day seemed to be omitted, and 5 sessions became a row of 0.
    entry = {"day": "2025-03-11", "total_sessions": 2}
    assert daywise([entry, invalid]) == [(DAYS[1], entry), (None, invalid)]


def test_a_day_outside_of_the_requested_range_is_kept() -> None:
    inside, outside = {"day": "2025-03-11"}, {"day": "2025-03-13"}
    assert (date(2025, 3, 13), outside) in daywise([inside, outside])


def test_an_answer_about_other_days_only_is_an_error() -> None:
    with pytest.raises(UnexpectedReplyError, match="2025-03-10 to 2025-03-12"):
        daywise([{"day": "2024-03-11"}])


def test_field_types() -> None:
    records: list[Any] = [
        {"id": "a", "status": "LIVE", "n": 1},
        {"id": "b", "status": "LIVE", "n": "1"},
        {"id": "c", "status": "X" * 100, "n": 1.5, "new": [{}]},
        {"id": "d", "status": None},
        "odd",
        None,
    ]
    found = {
        (row["field"], row["json_type"]): row["records"]
        for row in field_types(RAW_LIVESTREAMS, [read_record(record) for record in records], NOW).iter_rows(named=True)
    }
    assert found == {
        ("id", "string"): 4,
        ("status", "string:LIVE"): 2,
        ("status", f"string:{'X' * 40}"): 1,
        ("status", "null"): 1,
        ("n", "number"): 2,
        ("n", "string"): 1,
        ("new", "array"): 1,
        ("record", "string"): 1,
        ("record", "null"): 1,
    }
    assert field_types(RAW_LIVESTREAMS, [], NOW).is_empty()


def test_landing_encodes_a_record_once_and_never_parses_it() -> None:
    calls: Counter[str] = Counter()

    def count_json(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and Path(frame.f_code.co_filename).parent.name == "json":
            calls[frame.f_code.co_name] += 1

    values = [{"id": f"{n}", "created_at": f"{DAYS[0]}T10:00:00Z", "status": "LIVE"} for n in range(50)]
    sys.setprofile(count_json)
    try:
        records = [read_record(value) for value in values]
        frame = raw_sessions(records, app_id="app", livestream_ids=["l"] * 50, fetched_at=[NOW] * 50, run_id="run")
        types = field_types(RAW_LIVESTREAM_SESSIONS, records, NOW)
    finally:
        sys.setprofile(None)
    assert (frame.height, types["records"].sum()) == (50, 150)
    assert calls["encode"] == 50
    assert calls["decode"] == calls["raw_decode"] == calls["loads"] == 0
