"""Draws a result as it is: no value is added up, averaged or left out, so that a chart shows nothing that the table does not."""

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

if TYPE_CHECKING:
    import altair as alt

MOST_POINTS = 5_000
"""More of them cannot be distinguished, and slow the browser down."""

KINDS = ("line", "bar", "points")
NO_COLOR = "(one colour)"

_HEIGHT = 320


class Choice(NamedTuple):
    """A chart to draw: the kind of chart, and the columns of both axes and of the colour."""

    kind: str
    x: str
    y: str
    color: str


def numeric_columns(frame: pl.DataFrame) -> list[str]:
    """Return the columns that can be the height of a chart."""
    return [name for name, kind in frame.schema.items() if kind.is_numeric()]


def suggest_chart(frame: pl.DataFrame) -> Choice | None:
    """Return the chart to begin with; None if the result has no two columns to draw."""
    numbers = numeric_columns(frame)
    others = [name for name in frame.columns if name not in numbers]
    times = [name for name in others if frame.schema[name].is_temporal()]
    x = next(iter([*times, *others, *numbers[1:]]), None)
    if not numbers or x is None or x == (y := numbers[0]):
        return None
    texts = [name for name in others if name not in times and name != x]
    color = next((name for name in texts if not frame.select(x, name).is_duplicated().any()), NO_COLOR)
    if not frame.select(x).is_duplicated().any():
        color = NO_COLOR
    return Choice("line" if x in times else "bar", x, y, color)


def draw_chart(frame: pl.DataFrame, choice: Choice) -> "alt.Chart | str":
    """Return the chart, or the reason why it would mislead, in one line."""
    if frame.height > MOST_POINTS:
        return f"{frame.height:,} rows are too many to draw: aggregate them in SQL to at most {MOST_POINTS:,}"
    import altair as alt

    kind, x, y, color = choice
    keys = [x] if color == NO_COLOR else list({x: None, color: None})
    if kind != "points" and frame.select(keys).is_duplicated().any():
        return (
            f"several rows have the same {' and '.join(keys)}: choose a colour that separates them, or aggregate in SQL"
        )
    columns = {"x": _plottable(frame[x]), "y": frame[y].cast(pl.Float64), "x_text": frame[x].cast(pl.String)}
    columns |= {"y_text": frame[y].cast(pl.String), "color": frame[x if color == NO_COLOR else color].cast(pl.String)}
    data = alt.InlineData(values=pl.DataFrame(columns).to_dicts())
    chart = alt.Chart(data, width="container", height=_HEIGHT)
    marked = {"line": chart.mark_line(point=True), "bar": chart.mark_bar(), "points": chart.mark_point()}[kind]
    tooltip = [alt.Tooltip("x_text", type="nominal", title=x), alt.Tooltip("y_text", type="nominal", title=y)]
    encoded: alt.Chart = marked.encode(
        x=_axis(frame.schema[x], x, is_discrete=kind == "bar"),
        y=alt.Y("y", type="quantitative", title=y),
        tooltip=tooltip,
    )
    if color != NO_COLOR:
        encoded = encoded.encode(
            color=alt.Color("color", type="nominal", title=color),
            tooltip=[*tooltip, alt.Tooltip("color", type="nominal", title=color)],
        )
        if kind == "bar":
            encoded = encoded.encode(xOffset=alt.XOffset("color", type="nominal"))
    return encoded


def _plottable(values: pl.Series) -> pl.Series:
    """Return times as text in UTC, which a browser would otherwise move to its own time zone; numbers as they are."""
    if values.dtype == pl.Date:
        return values.dt.strftime("%Y-%m-%dT00:00:00Z")
    if isinstance(values.dtype, pl.Datetime):
        return values.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
    return values.cast(pl.Float64) if values.dtype.is_numeric() else values.cast(pl.String)


def _axis(kind: pl.DataType, title: str, *, is_discrete: bool) -> "alt.X":
    import altair as alt

    if is_discrete:
        return alt.X("x_text", type="nominal", title=title, sort=None, axis=alt.Axis(labelOverlap=True))
    if isinstance(kind, pl.Date | pl.Datetime):
        return alt.X("x", type="temporal", title=title, scale=alt.Scale(type="utc"))
    if kind.is_numeric():
        return alt.X("x", type="quantitative", title=title)
    return alt.X("x", type="nominal", title=title, sort=None)
