"""Facts that follow from a session's record: one rule each, whatever the record looks like."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.normalize.derived import add_session_facts

TEN = datetime(2025, 3, 10, 10)
ELEVEN = TEN + timedelta(hours=1)
TYPES = dict.fromkeys(("invoked_at", "started_at", "stopped_at", "updated_at"), pl.Datetime("us")) | {
    "err_message": pl.String()
}


def facts(**fields: Any) -> dict[str, Any]:
    row = dict.fromkeys(TYPES) | fields
    return add_session_facts(pl.DataFrame([row], schema=TYPES)).row(0, named=True)


@pytest.mark.parametrize(
    ("fields", "ended_at"),
    [
        ({"started_at": TEN, "stopped_at": ELEVEN}, ELEVEN),
        ({"stopped_at": ELEVEN}, ELEVEN),
        (
            {"started_at": TEN, "stopped_at": ELEVEN, "updated_at": ELEVEN + timedelta(days=9), "err_message": "x"},
            ELEVEN,
        ),
        ({"started_at": TEN, "updated_at": ELEVEN, "err_message": "lost"}, ELEVEN),
        ({"started_at": TEN, "updated_at": TEN, "err_message": "lost"}, TEN),
        # the end is not known: neither a guess nor still on air
        ({"started_at": TEN, "err_message": "lost"}, None),
        ({"started_at": TEN, "updated_at": TEN - timedelta(microseconds=1), "err_message": "lost"}, None),
        ({"updated_at": ELEVEN, "err_message": "lost"}, None),
        # on air, or waiting: updated_at is no end
        ({"started_at": TEN, "updated_at": ELEVEN}, None),
        ({"started_at": TEN, "updated_at": ELEVEN, "err_message": ""}, None),
        ({"invoked_at": TEN, "updated_at": ELEVEN}, None),
    ],
)
def test_end_of_a_session(fields: dict[str, Any], ended_at: datetime | None) -> None:
    assert facts(**fields)["ended_at"] == ended_at


@pytest.mark.parametrize(
    ("waited", "seconds"),
    [
        (timedelta(seconds=2.5), 2.5),
        (timedelta(0), 0.0),
        (timedelta(seconds=-3), 0.0),
        (timedelta(days=40), 3_456_000.0),
    ],
)
def test_time_to_live_is_never_negative(waited: timedelta, seconds: float) -> None:
    assert facts(invoked_at=TEN, started_at=TEN + waited)["time_to_live_seconds"] == seconds
    assert facts(invoked_at=TEN)["time_to_live_seconds"] is None
    assert facts(started_at=TEN)["time_to_live_seconds"] is None


moments = st.none() | st.datetimes(datetime(2025, 1, 1), datetime(2025, 1, 3))


@given(moments, moments, moments, moments, st.sampled_from([None, "", "lost"]))
def test_facts_never_contradict_each_other(
    invoked_at: datetime | None,
    started_at: datetime | None,
    stopped_at: datetime | None,
    updated_at: datetime | None,
    err_message: str | None,
) -> None:
    found = facts(
        invoked_at=invoked_at,
        started_at=started_at,
        stopped_at=stopped_at,
        updated_at=updated_at,
        err_message=err_message,
    )
    assert None not in (found["is_live"], found["is_failed"], found["is_provisional"])
    assert found["is_failed"] == bool(err_message)
    assert found["is_live"] == (started_at is not None and found["is_provisional"])
    assert found["is_provisional"] == (stopped_at is None and not err_message)
    if found["is_provisional"]:
        assert found["ended_at"] is None
    if stopped_at:
        assert found["ended_at"] == stopped_at
