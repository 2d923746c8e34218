"""The livestreams and days to fetch, one row per case."""

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.catalog.core import LIVESTREAMS
from pipelines.catalog.ops import LIVESTREAM_SYNC
from pipelines.clock import days_from
from pipelines.extract.selection import days_to_fetch, livestreams_to_fetch, split_days

FIRST, LAST = date(2025, 3, 10), date(2025, 3, 12)
BEFORE, WITHIN, AFTER = datetime(2025, 3, 1), datetime(2025, 3, 11), datetime(2025, 3, 20)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = datetime(2025, 3, 13, 2, 30)
UNKNOWN: list[tuple[datetime | None, datetime, bool]] = []


def known(
    updated: datetime | None, synced: datetime, *, complete: bool = True
) -> list[tuple[datetime | None, datetime, bool]]:
    return [(updated, synced, complete)]


def needs_fetch(
    created: datetime | None,
    updated: datetime | None,
    status: str | None,
    sync: list[tuple[datetime | None, datetime, bool]],
    *,
    unfinished: bool = False,
    full: bool = False,
    resume_from: int | None = None,
    arrival: int | None = 5,
    failed_at: datetime | None = None,
) -> bool:
    columns = ("livestream_id", "created_at", "updated_at", "status")
    schema = {name: LIVESTREAMS.polars_schema[name] for name in columns}
    listed = pl.DataFrame([("l", created, updated, status)], schema=schema, orient="row")
    names = ("upstream_updated_at", "synced_at", "complete")
    rows: list[dict[str, object]] = [
        {"app_id": "app", "livestream_id": "l", **dict(zip(names, row, strict=True))}
        | {"failed_at": failed_at, "arrival": arrival}
        for row in sync
    ]
    synced = pl.DataFrame(rows, schema=dict(LIVESTREAM_SYNC.polars_schema))
    needed = livestreams_to_fetch(
        listed,
        synced,
        ["l"] if unfinished else [],
        first_day=FIRST,
        last_day=LAST,
        full=full,
        resume_from=resume_from,
        now=NOW,
    )
    return needed == ["l"]


@pytest.mark.parametrize(
    ("expected", "created", "updated", "status", "sync"),
    [
        # never fetched: anything that changed since the start of the range
        (True, BEFORE, WITHIN, "IDLE", UNKNOWN),
        (True, BEFORE, AFTER, "IDLE", UNKNOWN),
        (False, BEFORE, BEFORE, "IDLE", UNKNOWN),
        # an hour's margin: updated_at was seen 16 ms before the session that moved it
        (True, BEFORE, datetime(2025, 3, 9, 23, 1), "IDLE", UNKNOWN),
        (False, BEFORE, datetime(2025, 3, 9, 22, 59), "IDLE", UNKNOWN),
        # created after the range
        (False, AFTER, AFTER, "IDLE", UNKNOWN),
        (True, datetime(2025, 3, 13, 0, 59), AFTER, "IDLE", UNKNOWN),
        # no times are known
        (True, None, None, None, UNKNOWN),
        (True, None, BEFORE, None, UNKNOWN),
        (True, BEFORE, None, "IDLE", known(None, NOW)),
        # known as of its last change
        (False, BEFORE, WITHIN, "IDLE", known(WITHIN, NOW)),
        (False, BEFORE, BEFORE, "ERRORED", known(BEFORE, NOW)),
        (False, BEFORE, BEFORE, "HIBERNATING", known(BEFORE, NOW)),
        # changed since
        (True, BEFORE, WITHIN + MINUTE, "IDLE", known(WITHIN, NOW)),
        # a clock that went back is a change too
        (True, BEFORE, WITHIN - MINUTE, "IDLE", known(WITHIN, NOW)),
        # the change was unknown when it was fetched
        (True, BEFORE, WITHIN, "IDLE", known(None, NOW)),
        # fetched so soon after the change that it may have been incomplete
        (True, BEFORE, WITHIN, "IDLE", known(WITHIN, WITHIN + 4 * MINUTE)),
        (False, BEFORE, WITHIN, "IDLE", known(WITHIN, WITHIN + 5 * MINUTE)),
        # fetched, and the reply was incomplete
        (True, BEFORE, WITHIN, "IDLE", known(WITHIN, NOW, complete=False)),
        (False, BEFORE, BEFORE, "IDLE", known(BEFORE, NOW, complete=False)),
        # on air: figures grow without a change
        (True, BEFORE, BEFORE, "LIVE", known(BEFORE, NOW)),
        (True, BEFORE, BEFORE, "live", known(BEFORE, NOW)),
        (True, BEFORE, BEFORE, "INVOKED", known(BEFORE, NOW)),
    ],
)
def test_livestreams(
    expected: bool,  # noqa: FBT001 - a parameter of the test
    created: datetime | None,
    updated: datetime | None,
    status: str | None,
    sync: list[tuple[datetime | None, datetime, bool]],
) -> None:
    assert needs_fetch(created, updated, status, sync) is expected


def test_a_livestream_with_an_unfinished_session_is_fetched() -> None:
    assert needs_fetch(BEFORE, BEFORE, "IDLE", known(BEFORE, NOW), unfinished=True)
    assert not needs_fetch(AFTER, AFTER, "IDLE", UNKNOWN, unfinished=True)


def test_a_livestream_that_failed_is_fetched_for_any_days() -> None:
    assert needs_fetch(BEFORE, BEFORE, "IDLE", known(BEFORE, NOW), failed_at=NOW)
    assert needs_fetch(AFTER, AFTER, "IDLE", known(None, NOW, complete=False), failed_at=NOW)
    assert needs_fetch(BEFORE, BEFORE, "IDLE", known(BEFORE, NOW), failed_at=NOW, resume_from=4)


def test_full_fetches_livestreams_that_may_have_a_session_in_the_range() -> None:
    assert needs_fetch(BEFORE, BEFORE, "IDLE", known(BEFORE, NOW), full=True)
    assert needs_fetch(BEFORE, BEFORE, "IDLE", UNKNOWN, full=True)
    assert not needs_fetch(AFTER, AFTER, "LIVE", UNKNOWN, full=True)


@pytest.mark.parametrize("full", [False, True])
def test_a_backfill_resumes_where_it_was_interrupted(full: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert not needs_fetch(BEFORE, WITHIN, "LIVE", known(WITHIN, NOW), full=full, resume_from=4)
    assert not needs_fetch(BEFORE, BEFORE, "IDLE", known(BEFORE, NOW - 9 * DAY), full=full, resume_from=4), (
        "unchanged since"
    )
    in_range = datetime(2025, 3, 12, 12)
    assert needs_fetch(BEFORE, WITHIN, "LIVE", known(WITHIN, in_range), full=full, resume_from=4), "the range goes on"
    assert needs_fetch(BEFORE, AFTER, "IDLE", known(WITHIN, in_range), full=full, resume_from=4), "changed since"
    assert needs_fetch(BEFORE, WITHIN, "LIVE", known(WITHIN, NOW), full=full, resume_from=5)
    assert needs_fetch(BEFORE, WITHIN, "LIVE", known(WITHIN, NOW), full=full, resume_from=5, arrival=None)
    assert needs_fetch(BEFORE, WITHIN, "LIVE", known(WITHIN, NOW, complete=False), full=full, resume_from=4)
    assert needs_fetch(BEFORE, WITHIN, "LIVE", UNKNOWN, full=full, resume_from=4)


def test_a_reply_from_the_future_is_fetched_again() -> None:
    assert needs_fetch(BEFORE, WITHIN, "IDLE", known(WITHIN, NOW + 3 * DAY))


def test_livestreams_keep_their_order_and_are_fetched_once() -> None:
    ids = [f"l{n}" for n in range(500)]
    listed = pl.DataFrame(
        {"livestream_id": ids, "created_at": [BEFORE] * 500, "updated_at": [WITHIN] * 500, "status": ["IDLE"] * 500},
        schema_overrides={"created_at": pl.Datetime("us"), "updated_at": pl.Datetime("us")},
    )
    synced = pl.DataFrame(schema=dict(LIVESTREAM_SYNC.polars_schema))
    needed = livestreams_to_fetch(
        listed, synced, [], first_day=FIRST, last_day=LAST, full=False, resume_from=None, now=NOW
    )
    assert needed == ids


def versions(*rows: tuple[date, datetime, datetime, int]) -> pl.DataFrame:
    schema = {
        "day": pl.Date(),
        "changed_at": pl.Datetime("us"),
        "last_fetched_at": pl.Datetime("us"),
        "arrival": pl.Int64(),
    }
    return pl.DataFrame(list(rows), schema=schema, orient="row").with_columns(app_id=pl.lit("app"))


def fetched_days(days: list[date], stored: pl.DataFrame, **options: Any) -> list[date]:
    """Return the days to fetch of one of two apps; of the other one, nothing is stored."""
    found = days_to_fetch({"app": days, "other": days}, stored, now=NOW, **options)
    assert found["other"] == days
    return found["app"]


@pytest.mark.parametrize(
    ("expected", "changed", "last_fetched_at"),
    [
        (True, NOW - 6 * DAY, NOW),
        (False, NOW - 7 * DAY, NOW),
        (False, NOW - 8 * DAY, NOW - DAY),
        (True, NOW, NOW),
        (True, NOW - DAY, NOW + 9 * DAY),  # by a clock that was ahead
    ],
)
def test_days(expected: bool, changed: datetime, last_fetched_at: datetime) -> None:  # noqa: FBT001 - a parameter of the test
    stored = versions((FIRST, changed, last_fetched_at, 5))
    assert fetched_days([FIRST], stored, full=False, resume_from=None) == ([FIRST] if expected else [])
    assert fetched_days([FIRST], stored, full=True, resume_from=None) == [FIRST]


def test_days_never_fetched_are_fetched() -> None:
    days = days_from(FIRST, LAST)
    assert fetched_days(days, versions(), full=False, resume_from=None) == days


def test_a_day_fetched_before_its_end_is_fetched_again() -> None:
    noon, night = datetime(2025, 3, 12, 12), datetime(2025, 3, 13, 0, 0, 1)
    early, late = versions((LAST, noon, noon, 5)), versions((LAST, night, night, 5))
    assert fetched_days([LAST], early, full=False, resume_from=4) == [LAST]
    assert fetched_days([LAST], late, full=True, resume_from=4) == []
    assert fetched_days([LAST], late, full=True, resume_from=5) == [LAST]


@given(st.integers(1, 400), st.integers(1, 40))
def test_ranges_cover_every_day_once(count: int, size: int) -> None:
    days = days_from(FIRST, FIRST + timedelta(days=count - 1))
    covered = [day for first, last in split_days(days, size) for day in days_from(first, last)]
    assert covered == days
    assert all((last - first).days < size for first, last in split_days(days, size))
    assert len(split_days(days, size)) == -(-count // size)


def test_no_days_give_no_ranges() -> None:
    assert split_days([]) == []
