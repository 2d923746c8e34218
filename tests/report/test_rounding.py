"""Whether the API rounds its totals makes no difference to the verdict on a day."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.normalize.shrinks import Sums, is_explained
from pipelines.steps.compared_days import compare_days, sum_by_day
from pipelines.storage.frames import read_frame
from tests.parameters import long_except
from tests.report.conftest import DAY, SESSIONS, Row, only, session

if TYPE_CHECKING:
    from tests.report.conftest import FileWarehouse
from tests.report.test_mart_rules import ELEVEN, OVERALL, TEN

ROUNDINGS: dict[str, Callable[[float], int]] = {
    "down": math.floor,
    "up": math.ceil,
    "nearest": round,
    "half up": lambda seconds: math.floor(seconds + 0.5),
}
seconds = st.one_of(st.integers(0, 40_000).map(float), st.floats(0, 40_000).map(lambda value: round(value, 3)))
days_of_sessions = st.lists(st.tuples(seconds, seconds), min_size=1, max_size=40)


def total(values: list[float], how: str, *, each: bool) -> float:
    rounded = ROUNDINGS[how]
    return float(sum(rounded(value) for value in values)) if each else float(rounded(math.fsum(values)))


def judge(warehouse: "FileWarehouse", sessions: list[tuple[float, float]], overall: Row) -> Row:
    rows = [session(f"{n}", TEN, ELEVEN, ingest_seconds=i, viewer_seconds=v) for n, (i, v) in enumerate(sessions)]
    warehouse.load(OVERALL, DAY, overall)
    warehouse.load(SESSIONS, DAY, *rows)
    row = only(warehouse.mart("reconciliation"))
    assert is_short(warehouse) == (row["verdict"] == "sessions_missing")
    for n, name in enumerate(("ingest_seconds", "viewer_seconds")):  # as smaller totals are judged when they are loaded
        values = [amounts[n] for amounts in sessions]
        sums = Sums(math.fsum(values), sum(map(math.floor, values)), sum(map(math.ceil, values)))
        assert is_explained(overall[name], sums) == (row[f"unexplained_{name}"] == 0)
    return row


def is_short(warehouse: "FileWarehouse") -> bool:
    """Return what extract_sessions finds for the same figures: read from core, and as sums of normalized rows."""
    sessions, overall = (read_frame(warehouse.connection, f"FROM {name}") for name in (SESSIONS, OVERALL))
    sums = sum_by_day("a", sessions, pl.Series([], dtype=pl.Date))
    found = set()
    for in_core in (True, False):
        days = pl.DataFrame(
            {"app_id": ["a"], "day": [DAY], "sessions_in_core": [in_core], "overall_in_core": [in_core]}
        )
        changed = ((), ()) if in_core else ([sums], [overall])
        found |= {day.is_short for day in compare_days(warehouse.connection, days, *changed)["a"]}
    [agreed] = found
    return agreed


@pytest.mark.long
@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(how=st.sampled_from([*ROUNDINGS]), each=st.booleans(), sessions=days_of_sessions)
def test_no_rounding_of_the_api_makes_a_difference(
    warehouse: "FileWarehouse", how: str, sessions: list[tuple[float, float]], *, each: bool
) -> None:
    ingest, viewer = (total([row[n] for row in sessions], how, each=each) for n in (0, 1))
    overall = {"ingest_seconds": ingest, "viewer_seconds": viewer, "session_count": len(sessions)}
    assert judge(warehouse, sessions, overall)["verdict"] == "match"
    # one session more that was watched for a few seconds: its count tells, whatever the rounding hides
    assert judge(warehouse, sessions, overall | {"session_count": len(sessions) + 1})["verdict"] == "sessions_missing"


@pytest.mark.parametrize(
    ("overall", "verdict"),
    long_except(
        [
            # a total with a fraction is not rounded: the sessions must add up to it
            ({"ingest_seconds": 100.75, "viewer_seconds": 200.5}, "match"),
            ({"ingest_seconds": 104.75, "viewer_seconds": 200.5}, "sessions_missing"),
            ({"ingest_seconds": 100.75, "viewer_seconds": 196.5}, "overall_behind"),
            # a whole one may be: by one second for each session with a fraction, not more
            ({"ingest_seconds": 100.0, "viewer_seconds": 200.0}, "match"),
            ({"ingest_seconds": 102.0, "viewer_seconds": 201.0}, "match"),
            ({"ingest_seconds": 103.0, "viewer_seconds": 200.0}, "sessions_missing"),
            ({"ingest_seconds": 98.0, "viewer_seconds": 200.0}, "overall_behind"),
            # counts decide where seconds are alike
            ({"ingest_seconds": 101.0, "viewer_seconds": 200.0, "session_count": 3}, "sessions_missing"),
            ({"ingest_seconds": 101.0, "viewer_seconds": 200.0, "session_count": 1}, "overall_behind"),
            ({"ingest_seconds": 101.0, "viewer_seconds": 200.0, "session_count": 2}, "match"),
            ({"ingest_seconds": 101.0, "viewer_seconds": 200.0, "session_count": None}, "match"),
        ],
        ({"ingest_seconds": 102.0, "viewer_seconds": 201.0}, "match"),
        ({"ingest_seconds": 103.0, "viewer_seconds": 200.0}, "sessions_missing"),
    ),
)
def test_tolerance_is_what_rounding_explains(warehouse: "FileWarehouse", overall: Row, verdict: str) -> None:
    assert judge(warehouse, [(50.5, 100.25), (50.25, 100.25)], overall)["verdict"] == verdict


def test_sessions_that_never_started_may_be_counted_or_not(warehouse: "FileWarehouse") -> None:
    attempt = session("attempt", err_message="handshake")
    verdicts = []
    warehouse.load(SESSIONS, DAY, session("1", TEN, ELEVEN), attempt)
    for count in range(4):
        overall = {"ingest_seconds": 3600.0, "viewer_seconds": 7200.0, "session_count": count}
        warehouse.load(OVERALL, DAY, overall)
        verdicts.append(only(warehouse.mart("reconciliation"))["verdict"])
    assert verdicts == ["overall_behind", "match", "match", "sessions_missing"]


@pytest.mark.parametrize(
    ("overall", "expected"),
    [
        ({"ingest_seconds": 5.0, "viewer_seconds": 0.0}, True),
        ({"ingest_seconds": 0.0, "viewer_seconds": 0.0, "session_count": 1}, True),
        ({"ingest_seconds": 0.0, "viewer_seconds": 0.0, "session_count": 0}, False),
    ],
)
def test_a_day_without_sessions_misses_what_overall_counts(
    warehouse: "FileWarehouse",
    overall: Row,
    expected: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    warehouse.load(OVERALL, DAY, overall)
    assert is_short(warehouse) == expected
