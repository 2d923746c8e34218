"""The current version of a record: the later wins, invalid ones are quarantined, lost figures are kept."""

import json
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipelines.catalog.core import LIVESTREAM_ANALYTICS_DAILY, LIVESTREAM_SESSIONS, LIVESTREAMS
from pipelines.catalog.ops import QUARANTINE, SHRINKS
from pipelines.catalog.raw import RAW_LIVESTREAM_ANALYTICS
from pipelines.catalog.types import Table
from pipelines.normalize.raw_frames import raw_days, raw_livestreams, raw_sessions
from pipelines.normalize.record import read_record
from pipelines.normalize.resolve import Normalized, listed_livestreams, normalize

NOW = datetime(2025, 3, 14, 15, 9, 26)
HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)
DAY = date(2025, 3, 10)
RETENTION = 180
SESSION: dict[str, Any] = {
    "id": "s",
    "livestream_id": "l",
    "created_at": "2025-03-10T10:00:00.016Z",
    "invoked_time": None,
    "started_time": "2025-03-10T10:00:00Z",
    "stopped_time": "2025-03-10T11:00:00Z",
    "updated_at": "2025-03-10T11:00:00Z",
    "ingest_seconds": 3600,
    "viewer_seconds": 116.11599994199997,
    "err_message": None,
}
FIGURES = {"count": 3, "total_ingest_seconds": 100, "total_viewer_seconds": 250.5}


def raw_of(*versions: tuple[Any, datetime]) -> pl.DataFrame:
    """raw.livestream_sessions with these records, in the order in which they were fetched."""
    return raw_sessions(
        [read_record(record) for record, _ in versions],
        app_id="app",
        livestream_ids=["asked"] * len(versions),
        fetched_at=[at for _, at in versions],
        run_id="run",
    )


def sessions(*versions: tuple[Any, datetime], days: list[date | None] | None = None) -> Normalized:
    return balanced(LIVESTREAM_SESSIONS, raw_of(*versions), days=days)


def balanced(table: Table, raw: pl.DataFrame, *, days: list[date | None] | None = None) -> Normalized:
    """Normalize, and check what holds for every result."""
    made = normalize(table, raw, now=NOW, retention_days=RETENTION, days=days)
    assert made.rows.schema == pl.Schema(table.polars_schema)
    assert made.rejects.schema == pl.Schema(QUARANTINE.polars_schema)
    assert made.shrinks.schema == pl.Schema(SHRINKS.polars_schema)
    assert made.received == made.rows.height + made.rejects.height + made.duplicates
    assert made.duplicates >= 0
    assert made.rows.select(table.key).is_unique().all()
    assert made.rejects["reason"].null_count() == made.rejects["field"].null_count() == 0
    if days is None:
        assert made.received == raw.height
    return made


def only(made: Normalized) -> dict[str, Any]:
    (row,) = made.rows.to_dicts()
    return row


# --- sessions --------------------------------------------------------------------------------------------------


def test_a_session() -> None:
    assert only(sessions((SESSION, NOW))) == {
        "app_id": "app",
        "session_id": "s",
        "day": DAY,
        "livestream_id": "l",
        "created_at": datetime(2025, 3, 10, 10, 0, 0, 16000),
        "invoked_at": None,
        "started_at": datetime(2025, 3, 10, 10),
        "stopped_at": datetime(2025, 3, 10, 11),
        "updated_at": datetime(2025, 3, 10, 11),
        "ingest_seconds": 3600.0,
        "viewer_seconds": 116.11599994199997,
        "err_message": None,
        "is_live": False,
        "ended_at": datetime(2025, 3, 10, 11),
        "is_failed": False,
        "time_to_live_seconds": None,
        "is_provisional": False,
        "fetched_at": NOW,
    }


@pytest.mark.parametrize("unread", [-5, "soon"])
def test_a_record_with_a_repaired_updated_at_leaves_quarantine(unread: object) -> None:
    # It changed long before it was fetched: ordered by the time of fetching, the broken version counted as the later one.
    made = sessions((SESSION | {"updated_at": unread}, NOW), (SESSION, NOW + HOUR))
    assert only(made)["updated_at"] == datetime(2025, 3, 10, 11)
    assert made.rejects.is_empty()


def test_a_version_without_updated_at_is_replaced_by_one_fetched_later() -> None:
    early = SESSION | {"updated_at": None, "viewer_seconds": 1}
    assert only(sessions((early, NOW), (SESSION, NOW + HOUR)))["viewer_seconds"] == 116.11599994199997
    assert only(sessions((SESSION, NOW), (early, NOW + HOUR)))["viewer_seconds"] == 1


def test_the_later_updated_at_wins_even_if_it_was_fetched_earlier() -> None:
    old = SESSION | {"updated_at": "2025-03-10T10:30:00Z", "viewer_seconds": 1}
    for versions in ([(SESSION, NOW), (old, NOW + HOUR)], [(old, NOW + HOUR), (SESSION, NOW)]):
        made = sessions(*versions)
        assert only(made)["viewer_seconds"] == 116.11599994199997
        assert made.duplicates == 1


def test_then_the_later_fetched_wins() -> None:
    other = SESSION | {"viewer_seconds": 200}
    for versions in ([(SESSION, NOW), (other, NOW + HOUR)], [(other, NOW + HOUR), (SESSION, NOW)]):
        assert only(sessions(*versions))["viewer_seconds"] == 200


def test_then_the_later_in_the_reply_wins() -> None:
    assert only(sessions((SESSION, NOW), (SESSION | {"viewer_seconds": 2}, NOW)))["viewer_seconds"] == 2
    assert (
        only(sessions((SESSION | {"viewer_seconds": 2}, NOW), (SESSION, NOW)))["viewer_seconds"] == 116.11599994199997
    )


def test_offsets_are_compared_as_moments_not_as_text() -> None:
    later = SESSION | {"updated_at": "2025-03-10T06:30:00-05:00", "viewer_seconds": 7}  # 11:30 UTC
    assert only(sessions((later, NOW), (SESSION, NOW + HOUR)))["viewer_seconds"] == 7


def test_a_broken_version_is_quarantined_and_the_one_before_it_stays_current() -> None:
    broken = SESSION | {"updated_at": "2025-03-10T12:00:00Z", "ingest_seconds": "an hour"}
    made = sessions((SESSION, NOW), (broken, NOW + HOUR))
    assert only(made)["ingest_seconds"] == 3600
    (reject,) = made.rejects.to_dicts()
    assert (reject["record_id"], reject["field"], reject["day"]) == ("s", "ingest_seconds", DAY)
    assert '"an hour"' in reject["reason"]
    assert json.loads(reject["payload"]) == broken
    assert made.duplicates == 0


def test_a_broken_version_that_was_repaired_is_not_quarantined() -> None:
    broken = SESSION | {"ingest_seconds": "an hour"}
    made = sessions((broken, NOW), (SESSION, NOW + HOUR))
    assert made.rejects.is_empty()
    assert made.duplicates == 1


def test_several_broken_versions_are_one_reject() -> None:
    made = sessions(*[(SESSION | {"ingest_seconds": f"?{n}"}, NOW + n * HOUR) for n in range(3)])
    assert made.rows.is_empty()
    (reject,) = made.rejects.to_dicts()
    assert "?2" in reject["reason"]


@pytest.mark.parametrize("record", [None, 5, "text", [], [SESSION], True, {}, {"id": None}, {"id": ""}, {"id": "a\nb"}])
def test_a_record_without_an_id_is_quarantined(record: Any) -> None:
    made = sessions((SESSION, NOW), (record, NOW))
    assert only(made)["session_id"] == "s"
    (reject,) = made.rejects.to_dicts()
    assert reject["record_id"] is None
    assert reject["field"] == ("id" if isinstance(record, dict) else "record")
    assert json.loads(reject["payload"]) == record


def test_records_without_an_id_are_not_taken_for_one() -> None:
    records: list[Any] = [{"name": "a"}, {"name": "b"}, {"id": "", "name": "a"}, None, [], 5]
    assert sessions(*[(record, NOW) for record in records]).rejects.height == 6


@pytest.mark.parametrize(
    ("fields", "day"),
    [
        ({}, DAY),
        ({"created_at": None}, DAY),
        ({"created_at": None, "invoked_time": "2025-03-09T23:59:59Z"}, date(2025, 3, 9)),
        ({"created_at": "2025-03-10T23:30:00-01:00"}, date(2025, 3, 11)),
        ({"created_at": "2025-03-11T00:00:00Z", "started_time": "2025-03-10T23:59:58.3Z"}, date(2025, 3, 11)),
    ],
)
def test_the_day(fields: dict[str, Any], day: date) -> None:
    assert only(sessions((SESSION | fields, NOW)))["day"] == day


def test_a_session_without_a_day_is_quarantined() -> None:
    (reject,) = sessions((SESSION | {"created_at": None, "started_time": None}, NOW)).rejects.to_dicts()
    assert (reject["field"], reject["day"], reject["record_id"]) == ("created_at", None, "s")
    assert "no day" in reject["reason"]


@pytest.mark.parametrize("livestream_id", [None, "absent"])
def test_a_session_without_a_livestream_belongs_to_the_requested_one(livestream_id: str | None) -> None:
    record = SESSION | {"livestream_id": None}
    if livestream_id == "absent":
        del record["livestream_id"]
    assert only(sessions((record, NOW)))["livestream_id"] == "asked"


@pytest.mark.parametrize("livestream_id", ["", [], {}, True, 1.5])
def test_an_invalid_livestream_id_is_not_replaced_by_a_guess(livestream_id: object) -> None:
    made = sessions((SESSION | {"livestream_id": livestream_id}, NOW))
    assert made.rejects["field"].to_list() == ["livestream_id"]


@pytest.mark.parametrize(
    ("fields", "is_live"),
    [
        ({"stopped_time": None}, True),
        ({"stopped_time": None, "err_message": ""}, True),
        ({"stopped_time": None, "err_message": "encoder gone"}, False),
        ({"stopped_time": None, "started_time": None}, False),
        ({"stopped_time": ""}, True),
        ({}, False),
    ],
)
def test_is_live(fields: dict[str, Any], is_live: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert only(sessions((SESSION | fields, NOW)))["is_live"] is is_live


# --- what the source forgets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forgotten",
    [
        {"ingest_seconds": 0, "viewer_seconds": 0},
        {"ingest_seconds": None, "viewer_seconds": None},
        {"ingest_seconds": "", "viewer_seconds": "0"},
        {"ingest_seconds": 0, "viewer_seconds": None, "updated_at": "2025-03-12T00:00:00Z", "stopped_time": None},
    ],
)
def test_lost_figures_are_kept(forgotten: dict[str, Any]) -> None:
    made = sessions((SESSION, NOW), (SESSION | forgotten, NOW + HOUR))
    row = only(made)
    assert (row["ingest_seconds"], row["viewer_seconds"]) == (3600, 116.11599994199997)
    assert made.shrinks["record_id"].to_list() == ["s"]
    assert made.shrinks["day"].to_list() == [DAY]


def test_smaller_figures_above_zero_are_a_change() -> None:
    made = sessions((SESSION, NOW), (SESSION | {"viewer_seconds": 100}, NOW + HOUR))
    assert only(made)["viewer_seconds"] == 100
    assert made.shrinks.is_empty()


def test_figures_never_given_are_no_shrink() -> None:
    nothing = SESSION | {"ingest_seconds": 0, "viewer_seconds": None}
    made = sessions((nothing, NOW), (nothing | {"ingest_seconds": None}, NOW + HOUR))
    assert only(made)["ingest_seconds"] is None
    assert made.shrinks.is_empty()


def test_figures_that_come_later_are_no_shrink() -> None:
    early = SESSION | {"ingest_seconds": 0, "viewer_seconds": 0}
    made = sessions((early, NOW), (SESSION, NOW + HOUR))
    assert only(made)["ingest_seconds"] == 3600
    assert made.shrinks.is_empty()


def test_an_empty_answer_that_came_first_but_is_ranked_last_changes_nothing() -> None:
    zero = SESSION | {"ingest_seconds": 0, "viewer_seconds": 0, "updated_at": "2025-03-10T12:00:00Z"}
    made = sessions((zero, NOW), (SESSION, NOW + HOUR))
    assert only(made)["ingest_seconds"] == 3600


# --- a part of the days ----------------------------------------------------------------------------------------


def test_only_the_requested_days() -> None:
    other = SESSION | {"id": "t", "created_at": "2025-03-11T10:00:00Z"}
    broken = SESSION | {"id": "u", "viewer_seconds": "?"}
    dayless = {"id": "v"}
    versions = [(record, NOW) for record in (SESSION, other, broken, dayless)]
    made = sessions(*versions, days=[DAY])
    assert made.rows["session_id"].to_list() == ["s"]
    assert made.rejects["record_id"].to_list() == ["u"]
    assert made.received == 2
    assert sessions(*versions, days=[None]).rejects["record_id"].to_list() == ["v"]
    assert sessions(*versions, days=[]).received == 0
    everything = sessions(*versions, days=[None, DAY, DAY + A_DAY])
    assert everything.received == 4


def test_a_session_that_changes_its_day_is_in_one_of_them() -> None:
    early = SESSION | {"created_at": None, "started_time": "2025-03-11T00:00:01Z", "updated_at": None}
    versions = [(early, NOW - A_DAY), (SESSION, NOW)]
    in_days = [sessions(*versions, days=[day]).rows.height for day in (DAY, DAY + A_DAY)]
    assert sorted(in_days) == [0, 1]
    assert sessions(*versions, days=[DAY, DAY + A_DAY]).rows.height == 1


# --- livestreams -----------------------------------------------------------------------------------------------

LIVESTREAM = {
    "id": "l",
    "name": None,
    "status": "OFFLINE",
    "disabled": False,
    "meeting_id": None,
    "ingest_server": "rtmps://x",
    "playback_url": "https://y",
    "created_at": "2025-01-01T00:00:00Z",
    "updated_at": "2025-03-10T00:00:00Z",
}


def livestreams(*versions: tuple[Any, datetime]) -> pl.DataFrame:
    return pl.concat(
        raw_livestreams([read_record(record)], app_id="app", fetched_at=at, run_id="run") for record, at in versions
    )


def test_livestreams_and_when_they_were_seen() -> None:
    renamed = LIVESTREAM | {"name": "x", "updated_at": "2025-03-11T00:00:00Z"}
    row = only(balanced(LIVESTREAMS, livestreams((LIVESTREAM, NOW - A_DAY), (renamed, NOW))))
    assert (row["name"], row["status"], row["is_disabled"]) == ("x", "OFFLINE", False)
    assert (row["first_seen_at"], row["last_seen_at"]) == (NOW - A_DAY, NOW)


def test_sessions_of_a_quarantined_livestream_are_still_fetched() -> None:
    broken = LIVESTREAM | {"name": {"en": "x"}, "created_at": "?"}
    raw = livestreams((broken, NOW), ({"name": "nameless"}, NOW), (None, NOW))
    assert balanced(LIVESTREAMS, raw).rejects.height == 3
    assert listed_livestreams(raw, NOW).to_dicts() == [
        {"livestream_id": "l", "created_at": None, "updated_at": datetime(2025, 3, 10), "status": "OFFLINE"}
    ]


def test_no_records_at_all() -> None:
    for table, raw in (
        (LIVESTREAMS, livestreams((LIVESTREAM, NOW)).clear()),
        (LIVESTREAM_SESSIONS, raw_of()),
        (LIVESTREAM_ANALYTICS_DAILY, overall_raw().clear()),
    ):
        assert balanced(table, raw).received == 0
        if table is not LIVESTREAMS:
            assert balanced(table, raw, days=[DAY, None]).received == 0
    assert listed_livestreams(livestreams((LIVESTREAM, NOW)).clear(), NOW).is_empty()


def overall_raw() -> pl.DataFrame:
    return raw_days(
        RAW_LIVESTREAM_ANALYTICS, [read_record(FIGURES)], [DAY], app_id="app", fetched_at=[NOW], run_id="run"
    )


def test_a_record_without_an_id_is_not_taken_for_the_one_whose_id_is_its_text() -> None:
    # Found by hypothesis: `null` in a list and a session of the id "null" were versions of one record.
    made = sessions((None, NOW), ({"id": "null"}, NOW), (5, NOW), (SESSION | {"id": 5}, NOW))
    assert made.rows["session_id"].to_list() == ["5"]
    assert made.rejects.height == 3
