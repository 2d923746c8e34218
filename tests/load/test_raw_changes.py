"""Changes by a landing: the days to load again, and since when a day is as it is."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from pipelines.catalog.raw import RAW_LIVESTREAM_ANALYTICS, RAW_LIVESTREAM_SESSIONS
from pipelines.load import raw_changes, raw_tables
from pipelines.load.loaded_days import to_frame
from pipelines.normalize.raw_frames import (
    raw_days,
)
from pipelines.normalize.record import read_record
from pipelines.storage.warehouse import Warehouse
from tests.load.test_raw import A_DAY, DAY, HOUR, NOW, frame_of, held, land, session, sync_row


def days_changed(store: Warehouse, after: int, app_id: str = "app") -> dict[date, int]:
    with store.open_raw() as connection:
        found = raw_changes.changed_days(connection, [RAW_LIVESTREAM_SESSIONS], {app_id: after, "another": after})
    assert all(change.at is None for change in found.values())
    return {day: change.arrival for (_, day), change in found.items()}


CLOCKS = [(NOW, NOW + HOUR, NOW + 2 * HOUR), (NOW, NOW - 9 * A_DAY, NOW), (NOW + 9 * A_DAY, NOW, NOW - HOUR)]


@pytest.mark.parametrize("clock", CLOCKS)
def test_days_changed_by_a_landing(clock: tuple[datetime, ...], store: Warehouse) -> None:
    land(store, frame_of([session("a"), session("b", DAY + A_DAY), session("c", DAY + 2 * A_DAY)], clock[0]))
    land(store, frame_of([session("a"), session("b", DAY - 9 * A_DAY)], clock[1]))
    moved = {DAY + A_DAY: 2, DAY - 9 * A_DAY: 2}  # where it was, and where it is
    assert days_changed(store, 0) == {DAY: 1, DAY + 2 * A_DAY: 1, **moved}
    assert days_changed(store, 1) == moved
    assert days_changed(store, 2) == {}
    assert days_changed(store, 0, "other") == {}


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_version_that_came_back_is_a_change(clock: tuple[datetime, ...], store: Warehouse) -> None:
    for seconds, at in zip([1, 2, 1], clock, strict=True):
        land(store, frame_of([session("a", viewer_seconds=seconds)], at))
    assert days_changed(store, 0) == {DAY: 3}
    land(store, frame_of([session("a", viewer_seconds=1)]))
    assert days_changed(store, 0) == {DAY: 3}


def test_a_moved_session_is_a_change_only_when_it_differs(store: Warehouse) -> None:
    for day, at in ((DAY, NOW), (DAY + A_DAY, NOW + HOUR), (DAY + A_DAY, NOW + A_DAY)):
        land(store, frame_of([session("a", day)], at))
    assert days_changed(store, 0) == {DAY: 2, DAY + A_DAY: 2}


def test_a_session_missing_from_a_reply_is_a_change_once(store: Warehouse) -> None:
    land(store, frame_of([session("gone", DAY - 9 * A_DAY), session("here")]), synced=sync_row())
    land(store, frame_of([session("here")]), synced=sync_row())
    assert days_changed(store, 1) == {DAY - 9 * A_DAY: 2}
    land(store, frame_of([session("here")]), synced=sync_row())
    assert days_changed(store, 2) == {}


def test_a_day_that_could_not_be_read_by_a_wrong_clock_is_read_again(store: Warehouse) -> None:
    behind = NOW - 60 * A_DAY
    land(store, frame_of([session("a")], behind))
    assert held(store, "day") == [(None,)], "the session is of the future there"
    land(store, frame_of([session("a")]))
    assert held(store, "day") == [(DAY,)]
    assert days_changed(store, 1) == {DAY: 2}
    land(store, frame_of([session("a")], behind))
    assert held(store, "day") == [(DAY,)]


def test_what_was_landed_before_landings_were_numbered_counts_by_when_it_came(store: Warehouse) -> None:
    land(store, frame_of([session("a"), session("moved"), session("moved", DAY + A_DAY)]))
    with store.open_raw() as connection:
        connection.execute(
            "UPDATE raw.livestream_sessions SET changed_at = NULL, changed_run_id = NULL, days_differ = NULL,"
            " arrival = NULL, changed_arrival = NULL"
        )
        read = raw_tables.read_versions_of_days(connection, RAW_LIVESTREAM_SESSIONS, "app", [DAY], stats=None)
        assert sorted(read["session_id"].to_list()) == ["a", "moved", "moved"]
        found = raw_changes.changed_days(connection, [RAW_LIVESTREAM_SESSIONS], {"app": None})
        assert found == {("app", DAY): (0, NOW), ("app", DAY + A_DAY): (0, NOW)}
    assert days_changed(store, 1) == {}
    land(store, frame_of([session("a"), session("b")], NOW + HOUR))
    assert days_changed(store, 1) == {DAY: 2}


def digests(store: Warehouse, rules: str = "rules") -> list[int | None]:
    """Return the digests of two days, of which the first has sessions and another day's session may move there."""
    days = [("app", DAY), ("app", DAY + A_DAY)]
    with store.open_raw() as connection:
        found = raw_changes.digest_inputs(
            connection, [raw_changes.Source(RAW_LIVESTREAM_SESSIONS)], to_frame(days), rules
        )
    return [found[day] for day in days]


def test_inputs_of_a_day_have_a_digest_that_every_change_of_them_changes(store: Warehouse) -> None:
    empty, other = digests(store)
    assert empty is not None
    assert empty == other, "no records, the same rules"
    land(store, frame_of([session("a"), session("b")]))
    seen = [digests(store)[0]]
    land(store, frame_of([session("b"), session("a")], NOW + HOUR))
    assert digests(store) == [seen[0], empty], "received again: unchanged"
    assert digests(store, "other rules")[0] not in (None, *seen)

    for records, at in (
        ([session("a", viewer_seconds=1)], NOW + 2 * HOUR),
        ([session("a")], NOW + 3 * HOUR),  # came back
        ([session("c")], NOW + 3 * HOUR),
        ([session("c")], NOW - HOUR),  # the clock was ahead: the first receipt is repaired
    ):
        land(store, frame_of(records, at))
        seen.append(digests(store)[0])
        assert seen[-1] not in (None, *seen[:-1])
    with store.open_raw() as connection:
        raw_tables.purge_before(connection, RAW_LIVESTREAM_SESSIONS, "app", [DAY], 2)
    assert digests(store)[0] not in (None, *seen)
    land(store, frame_of([session("c", DAY + A_DAY)], NOW + 4 * HOUR))
    assert digests(store) == [None, None], "versions of a session on two days decide together"


def day_versions(store: Warehouse, *answers: tuple[Any, datetime]) -> list[dict[str, Any]]:
    for record, at in answers:
        frame = raw_days(
            RAW_LIVESTREAM_ANALYTICS, [read_record(record)], [DAY], app_id="app", fetched_at=[at], run_id="run"
        )
        land(store, frame, table=RAW_LIVESTREAM_ANALYTICS)
    with store.open_raw() as connection:
        return raw_tables.read_day_versions(connection, RAW_LIVESTREAM_ANALYTICS, ["app"]).drop("app_id").to_dicts()


def test_since_when_a_day_is_as_it_is(store: Warehouse) -> None:
    assert day_versions(store, ({"count": 1}, NOW), ({"count": 1}, NOW + HOUR), (None, NOW + 2 * HOUR)) == [
        {
            "day": DAY,
            "last_fetched_at": NOW + 2 * HOUR,
            "changed_at": NOW + 2 * HOUR,
            "changed_arrival": 3,
            "arrival": 3,
        }
    ]


def test_a_day_that_came_back_to_what_it_was_has_just_changed(store: Warehouse) -> None:
    a, b = {"count": 1}, {"count": 2}
    (day,) = day_versions(store, (a, NOW), (b, NOW + 8 * A_DAY), (a, NOW + 9 * A_DAY))
    assert (day["changed_at"], day["changed_arrival"]) == (NOW + 9 * A_DAY, 3)
    (day,) = day_versions(store, (a, NOW + 10 * A_DAY))
    assert (day["changed_at"], day["changed_arrival"], day["arrival"]) == (NOW + 9 * A_DAY, 3, 4)


@pytest.mark.parametrize("skew", [3 * A_DAY, -30 * A_DAY])
def test_a_wrong_clock_settles_no_day(skew: timedelta, store: Warehouse) -> None:
    day_versions(store, ({"count": 1}, NOW))
    (day,) = day_versions(store, ({"count": 2}, NOW + A_DAY + skew))
    assert day["changed_at"] >= NOW
    (day,) = day_versions(store, ({"count": 2}, NOW + 2 * A_DAY))
    assert NOW <= day["changed_at"] <= NOW + 4 * A_DAY
    (day,) = day_versions(store, ({"count": 3}, NOW + 3 * A_DAY))
    assert day["changed_arrival"] == day["arrival"] == 4, "what landed last is the newest"
