"""The first minute of a session: the API says 60 and 60 until it knows its figures. Nobody takes them for an audience."""

import io
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from pipelines.cli.on_air_table import on_air_table
from pipelines.live.observations import Observation, parse_observations
from pipelines.live.view import OnAirStream, average_viewers
from tests.live_helpers import APP, MIDNIGHT

Figures = tuple[float | None, float | None]


def observed(age: float | None, ingest: Any, viewed: Any, *, ended_after: float | None = None) -> Figures:
    """Figures read from a session of that age, in seconds; of one that was seen to have ended, at its end."""
    answered_at = MIDNIGHT
    started = None if age is None else answered_at - timedelta(seconds=age)
    session = {"id": "s", "ingest_seconds": ingest, "viewer_seconds": viewed}
    session["started_time"] = started.isoformat() if started else None
    last_on_air_at = None
    if started and ended_after is not None:
        session["stopped_time"] = (started + timedelta(seconds=ended_after)).isoformat()
        last_on_air_at = started
    rows, rejects = parse_observations(
        [Observation("l", {"status": "LIVE"}, session, answered_at, last_on_air_at)], app_id=APP, polled_at=answered_at
    )
    assert rejects.is_empty()
    [(fed, watched)] = rows.select("ingest_seconds", "viewer_seconds").rows()
    return fed, watched


@pytest.mark.long
@pytest.mark.parametrize("age", [0, 1.7, 30, 49, 59.9, -20])
@pytest.mark.parametrize("figures", [(60, 60), (0, 0), ("60", "60"), (31, 340), (None, None)])
def test_figures_of_the_first_minute_are_unknown(age: float, figures: tuple[Any, Any]) -> None:
    assert observed(age, *figures) == (None, None)


@pytest.mark.parametrize(
    ("age", "figures", "taken"),
    [
        (60, (60, 61), (60.0, 61.0)),
        (61, (61, 0), (61.0, 0.0)),
        (75, (60, 60), (None, None)),  # this machine's clock may be a minute ahead
        (180, (60, 60), (60.0, 60.0)),
        (3600, (60, 60), (60.0, 60.0)),
        (None, (60, 60), (None, None)),
        (None, (0, 0), (0.0, 0.0)),
        (-3600, (900, 30), (900.0, 30.0)),  # a clock that is an hour behind loses no stream
    ],
)
def test_later_figures_are_taken(age: float | None, figures: tuple[Any, Any], taken: Figures) -> None:
    assert observed(age, *figures) == taken


@pytest.mark.parametrize(
    ("ended_after", "figures", "taken"),
    [
        (20, (60, 60), (None, None)),
        (20, (19, 33), (19.0, 33.0)),
        (60, (60, 60), (60.0, 60.0)),
        (90, (90, 5), (90.0, 5.0)),
    ],
)
def test_figures_of_a_session_that_is_over_are_final(ended_after: float, figures: Any, taken: Figures) -> None:
    assert observed(600, *figures, ended_after=ended_after) == taken


@pytest.mark.parametrize("every", [5, 15, 60])
def test_a_stream_whose_figures_begin_at_60_and_fall_is_never_lost(every: int) -> None:
    # One viewer in ten seconds: 60 is reached again after ten minutes only.
    def at(seconds: float) -> datetime:
        return MIDNIGHT + timedelta(seconds=seconds)

    seen = [
        (at(second), 60.0, 60.0) if second < 50 else (at(second), float(second), second / 10)
        for second in range(every, 600, every)
    ]
    averages = [average for average, _ in average_viewers(seen)]
    known = [average for (moment, *_), average in zip(seen, averages, strict=True) if moment >= at(50)]
    assert all(average == pytest.approx(0.1) for average in known)


@pytest.mark.parametrize("width", [46, 60, 80, 200])
def test_the_table_marks_figures_as_unknown(width: int) -> None:
    stream = OnAirStream(
        APP,
        "l",
        "A name",
        "LIVE",
        "s",
        MIDNIGHT,
        MIDNIGHT,
        None,
        None,
        None,
        None,
        [None],
        stands_still=False,
        is_pending=True,
    )
    console = Console(width=width, file=io.StringIO(), force_terminal=True, no_color=True)
    with console.capture() as shown:
        console.print(on_air_table([stream], 5, width))
    assert ("not yet" if width < 60 else "not known yet") in shown.get().splitlines()[1]


def test_rows_of_nothing_are_rows_of_nothing() -> None:
    rows, rejects = parse_observations([], app_id=APP, polled_at=MIDNIGHT)
    assert isinstance(rows, pl.DataFrame)
    assert rows.is_empty()
    assert rejects.is_empty()
