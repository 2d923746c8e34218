"""Rows of a day of an app: zero or unknown, and landed figures are never erased."""

from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipelines.catalog.core import LIVESTREAM_ANALYTICS_DAILY, MEETING_SESSIONS_DAILY
from pipelines.catalog.raw import RAW_LIVESTREAM_ANALYTICS
from pipelines.normalize.raw_frames import raw_days
from pipelines.normalize.record import read_record
from pipelines.normalize.resolve import Normalized
from tests.normalize.test_records import DAYS, raw_meeting_sessions
from tests.normalize.test_rows import A_DAY, DAY, FIGURES, HOUR, NOW, RETENTION, balanced, only


def overall(*versions: tuple[Any, datetime], day: date = DAY, first: datetime | None = None) -> Normalized:
    raw = pl.concat(
        raw_days(RAW_LIVESTREAM_ANALYTICS, [read_record(record)], [day], app_id="app", fetched_at=[at], run_id="run")
        for record, at in versions
    )
    if first:
        raw = raw.with_columns(pl.lit(first).cast(pl.Datetime("us")).alias("first_fetched_at"))
    return balanced(LIVESTREAM_ANALYTICS_DAILY, raw)


ZEROS = {"count": 0, "total_ingest_seconds": 0, "total_viewer_seconds": 0}
OLDEST = NOW.date() - timedelta(days=RETENTION)


def figures(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["livestream_count"], row["ingest_seconds"], row["viewer_seconds"]


@pytest.mark.parametrize("record", [None, ZEROS, ZEROS | {"total_viewer_seconds": "0.0"}])
def test_nothing_is_zero_as_long_as_the_source_remembers(record: Any) -> None:
    assert figures(only(overall((record, NOW), day=DAY))) == (0, 0, 0)
    assert figures(only(overall((record, NOW), day=OLDEST))) == (0, 0, 0)


@pytest.mark.parametrize("record", [None, ZEROS, {}, {"count": None}])
def test_nothing_about_an_older_day_is_unknown(record: Any) -> None:
    made = overall((record, NOW), day=OLDEST - A_DAY)
    assert made.rows.is_empty()
    assert made.rejects.is_empty()
    assert made.duplicates == 1


def test_figures_of_an_older_day_are_figures() -> None:
    assert figures(only(overall((FIGURES, NOW), day=OLDEST - 100 * A_DAY))) == (3, 100, 250.5)


def test_what_was_known_to_be_zero_does_not_become_unknown() -> None:
    made = overall((None, NOW), day=OLDEST - 10 * A_DAY, first=NOW - 20 * A_DAY)
    assert figures(only(made)) == (0, 0, 0)


def test_an_unknown_day_does_not_become_zero_when_it_is_fetched_again() -> None:
    assert overall((None, NOW), day=OLDEST - 10 * A_DAY, first=NOW - 5 * A_DAY).rows.is_empty()


@pytest.mark.parametrize("later", [None, ZEROS, {}, {"count": 0}, {"count": 3, "total_ingest_seconds": 0}])
@pytest.mark.parametrize("day", [DAY, OLDEST - A_DAY])
def test_landed_figures_of_a_day_are_never_erased(later: Any, day: date) -> None:
    made = overall((FIGURES, NOW - HOUR), (later, NOW), day=day)
    assert figures(only(made)) == (3, 100, 250.5)


def test_and_it_is_noted() -> None:
    made = overall((FIGURES, NOW - HOUR), (None, NOW))
    assert made.shrinks["table_name"].to_list() == ["core.livestream_analytics_daily"]


def test_a_count_alone_may_grow_and_is_not_erased_either() -> None:
    few, more = {"count": 1} | dict.fromkeys(("total_ingest_seconds", "total_viewer_seconds"), 0), {"count": 2}
    assert figures(only(overall((few, NOW - HOUR), (more, NOW))))[0] == 2
    assert figures(only(overall((more, NOW - HOUR), (ZEROS, NOW))))[0] == 2


@pytest.mark.parametrize("record", [5, "text", [], True, [FIGURES]])
def test_a_day_that_is_not_an_object_is_quarantined(record: Any) -> None:
    made = overall((record, NOW))
    assert made.rows.is_empty()
    assert (made.rejects["field"].to_list(), made.rejects["day"].to_list()) == (["record"], [DAY])


@pytest.mark.parametrize("count", ["4.5", -1, True, "9223372036854775808", [1]])
def test_a_broken_figure_keeps_the_day_as_it_was(count: Any) -> None:
    made = overall((FIGURES, NOW - HOUR), (FIGURES | {"count": count}, NOW))
    assert figures(only(made)) == (3, 100, 250.5)
    assert made.rejects["field"].to_list() == ["count"]


def test_daywise_days() -> None:
    entry = {"day": "2025-03-11T00:00:00.000Z", "total_sessions": "4", "total_session_minutes": 365.66666666666697}
    invalid = {"day": "someday", "total_sessions": 1, "total_session_minutes": 1}
    for entries, zeros in (([entry], 2), ([entry, invalid], 0)):
        made = balanced(MEETING_SESSIONS_DAILY, raw_meeting_sessions(entries))
        held = {row["day"]: (row["session_count"], row["session_minutes"]) for row in made.rows.to_dicts()}
        assert held.pop(DAYS[1]) == (4, 365.66666666666697)
        assert list(held.values()) == [(0, 0.0)] * zeros
        assert made.rejects["field"].to_list() == ([] if zeros else ["day"])
