"""Charts draw a result as it is, or say why they do not."""

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from pipelines.explore.charts import KINDS, MOST_POINTS, NO_COLOR, Choice, draw_chart, suggest_chart

DAYS = pl.DataFrame(
    {"day": [date(2026, 11, 1), date(2026, 11, 1), date(2026, 11, 2)], "app.id": ["a", "b", "a"], "n": [1, 2, None]}
)


def drawn(frame: pl.DataFrame, choice: Choice) -> dict[str, Any]:
    chart = draw_chart(frame, choice)
    assert not isinstance(chart, str), chart
    specification: dict[str, Any] = chart.to_dict()
    [specification["rows"]] = specification["datasets"].values()
    return specification


@pytest.mark.parametrize(
    ("frame", "choice"),
    [
        (DAYS, Choice("line", "day", "n", "app.id")),
        (DAYS.head(1), Choice("line", "day", "n", NO_COLOR)),
        (DAYS.select("app.id", "n"), Choice("bar", "app.id", "n", NO_COLOR)),
        (DAYS.select("n"), None),
        (DAYS.select("day", "app.id"), None),
    ],
)
def test_the_first_chart_fits_the_columns(frame: pl.DataFrame, choice: Choice | None) -> None:
    assert suggest_chart(frame) == choice


@pytest.mark.long
def test_days_and_times_stay_in_utc_and_every_value_is_drawn() -> None:
    chart = drawn(DAYS, Choice("line", "day", "n", "app.id"))
    assert chart["rows"][0]["x"] == "2026-11-01T00:00:00Z"
    assert chart["encoding"]["x"]["scale"]["type"] == "utc"
    assert [row["y"] for row in chart["rows"]] == [1, 2, None], "unknown is not zero"
    moments = DAYS.select(pl.lit(datetime(2026, 3, 29, 2, 30)).alias("at"), "n").head(1)
    chart = drawn(moments, Choice("points", "at", "n", NO_COLOR))
    assert chart["rows"][0]["x"] == "2026-03-29T02:30:00.000Z", "an hour that summer time skips"


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_no_values_are_added_up(kind: str) -> None:
    for column in drawn(DAYS, Choice(kind, "day", "n", "app.id"))["encoding"].values():
        for channel in column if isinstance(column, list) else [column]:
            assert "aggregate" not in channel
    drawn_without_color = draw_chart(DAYS, Choice(kind, "day", "n", NO_COLOR))
    assert isinstance(drawn_without_color, str) == (kind != "points"), "rows of the same day would be joined or stacked"


def test_many_rows_are_not_drawn() -> None:
    frame = pl.DataFrame({"x": range(MOST_POINTS + 1), "y": range(MOST_POINTS + 1)})
    assert "aggregate them in SQL" in str(draw_chart(frame, Choice("points", "x", "y", NO_COLOR)))
