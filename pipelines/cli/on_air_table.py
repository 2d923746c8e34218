"""The table of `on-air`, one row per stream."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pipelines.clock import utc_now
from pipelines.text import printable

if TYPE_CHECKING:
    from rich.table import Table

    from pipelines.live.view import OnAirStream

_MAX_TREND_WIDTH = 16
_MIN_WIDTH_FOR_TREND = 60
"""Columns. A narrower terminal has no room for app and trend."""
_PENDING, _PENDING_SHORT = "not known yet", "not yet"
_BARS = "▁▂▃▄▅▆▇█"


def on_air_table(streams: "Sequence[OnAirStream]", rows: int, width: int) -> "Table":
    """Return a table of the first `rows` streams that fits a terminal of `width` columns."""
    from rich.table import Table
    from rich.text import Text

    now = utc_now()
    hidden = len(streams) - rows
    table = Table(box=None, pad_edge=False, header_style="bold", caption=f"and {hidden} more" if hidden > 0 else None)
    table.caption_justify = "left"
    shown = streams[:rows]
    totals = ["-" if one.viewer_seconds is None else f"{one.viewer_seconds:,.0f}" for one in shown]
    # Names give way to figures: a figure that is cut short is a different figure.
    is_narrow = width < _MIN_WIDTH_FOR_TREND
    pending = _PENDING_SHORT if is_narrow else _PENDING
    viewers = [pending if one.is_pending else _viewers(one.average_viewers) for one in shown]
    room = (
        width
        - 2 * (3 if is_narrow else 5)
        - len("MM-DD HH:MM")
        - max(map(len, (*totals, "viewer seconds")))
        - max(map(len, (*viewers, "viewers")))
    )
    trend = 0 if is_narrow else max(min(_MAX_TREND_WIDTH, room - 26), 5)
    app = 0 if is_narrow else max(min(20, (room - trend) // 3), 4)
    name = max(min(40, room - trend - app), 8)
    table.add_column("name", no_wrap=True, overflow="ellipsis", max_width=name)
    if not is_narrow:
        table.add_column("app", no_wrap=True, overflow="ellipsis", max_width=app)
    for column in ("since", "viewer seconds", "viewers"):
        table.add_column(column, no_wrap=True, justify="right")
    if not is_narrow:
        table.add_column("trend", no_wrap=True)
    for stream, total, average in zip(shown, totals, viewers, strict=True):
        title = (stream.name or "").strip()
        label = Text(printable(title)) if title else Text(printable(stream.livestream_id[:8]), style="dim")
        figures = (_since(stream, now), total, Text(average, style="bold"))
        if is_narrow:
            table.add_row(label, *figures)
        else:
            bars = Text(sparkline(stream.trend[-trend:]), style="cyan")
            table.add_row(label, Text(printable(stream.app_id)), *figures, bars)
    return table


def _viewers(average: float | None) -> str:
    """Format an average: one decimal below 100."""
    if average is None:
        return "-"
    return f"{average:,.1f}" if average < 100 else f"{average:,.0f}"  # noqa: PLR2004 - see the docstring


def _since(stream: "OnAirStream", now: datetime) -> str:
    if stream.started_at is None:
        return "starting"
    if now - stream.started_at > timedelta(hours=20):
        return f"{stream.started_at:%m-%d %H:%M}"
    return f"{stream.started_at:%H:%M:%S}"


def sparkline(trend: Sequence[float | None]) -> str:
    """Return one bar per average, scaled from zero to the highest; a dot if it is unknown."""
    highest = max((average for average in trend if average is not None), default=0.0)
    top = len(_BARS) - 1
    return "".join(
        "·" if average is None else _BARS[round(top * average / highest) if highest else 0] for average in trend
    )
