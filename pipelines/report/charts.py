"""Specify the page's charts with Altair, as Vega-Lite without data.

Each chart names one data set. `web/charts.js` supplies its rows, in the shapes that the docstrings below give. The days, weeks or
months of a chart are Unix time in milliseconds on a discrete axis; the script sets the parameters `unit` and `ticks` (the times
with a label). Colours are the CSS variables of `web/page.css`: switching between light, dark and print does not redraw.
"""

from typing import Any

import altair as alt

from pipelines.report.timeline import specify_timeline
from pipelines.report.verdicts import VERDICTS

Chart = alt.Chart | alt.LayerChart | alt.FacetChart

_TICK_LABEL = (
    "[utcFormat(datum.value, unit === 'day' ? '%-d %b' : '%b'),"
    " datum.value === ticks[0] || (utcmonth(datum.value) === 0 && (unit !== 'day' || utcdate(datum.value) < 8))"
    " ? utcFormat(datum.value, '%Y') : '']"
)
"""Two lines: the day or month, and the year at the first tick and at the first of each January."""
_BAR_WIDTH = alt.ExprRef("min(bandwidth('x'), 64)")
"""The maximum keeps a single day from filling the chart."""
_WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_AXIS_PARAMETERS = (alt.param(name="unit", value="day"), alt.param(name="ticks", value=[]))
_KINDS = alt.Scale(domain=["plain", "pale"], range=["var(--series)", "var(--pale)"])


def specify_charts() -> dict[str, dict[str, Any]]:
    """Return every chart of the page by the name of its data set, which is also the id of its element."""
    charts = {
        "days": _days(),
        "weekdays": _weekdays(),
        "peaks": _peaks(),
        "audience": _audience(),
        "top": _top(),
        "waits": _waits(),
        "failures": _failures(),
        "verdicts": _verdicts(),
        "timeline": specify_timeline(),
    }
    return {name: _with_style(chart).to_dict() for name, chart in charts.items()}


def _with_style(chart: Chart) -> Chart:
    specified: Chart = (
        chart.add_params(*_AXIS_PARAMETERS)
        .properties(width="container", autosize=alt.AutoSizeParams(type="fit", contains="padding", resize=True))
        .configure(background="transparent", font="system-ui, sans-serif", padding=4)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="var(--soft)",
            titleColor="var(--soft)",
            gridColor="var(--line)",
            domainColor="var(--line)",
            tickColor="var(--line)",
            labelFontSize=11,
            titleFontSize=11,
            titleFontWeight="normal",
        )
        .configure_legend(
            labelColor="var(--ink)",
            labelFontSize=11,
            orient="top",
            title=None,
            symbolSize=90,
            offset=6,
            columnPadding=12,
        )
    )
    return specified


def _data(name: str) -> alt.NamedData:
    return alt.NamedData(name=name)


def _day_axis() -> alt.X:
    axis = alt.Axis(
        values=alt.ExprRef("ticks"),
        labelExpr=_TICK_LABEL,
        labelAngle=0,
        labelOverlap="greedy",
        labelSeparation=8,
        tickSize=4,
        title=None,
        grid=False,
    )
    return alt.X("t:O", axis=axis, scale=alt.Scale(type="band", paddingInner=0.18, paddingOuter=0.05))


def _amount_axis(field: str, *, whole: bool = False) -> alt.Y:
    count = alt.ExprRef("max(1, min(4, domain('y')[1]))") if whole else 4
    axis = alt.Axis(tickCount=count, format=",.0f" if whole else ",~r", title=None, domain=False, ticks=False)
    return alt.Y(field, type="quantitative", axis=axis, scale=alt.Scale(domainMin=0, nice=True))


def _tooltip(**titles: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(field=field, type="nominal", title=title) for field, title in titles.items()]


def _unknown(name: str) -> Chart:
    """Return bands over the whole height for rows whose `state` is unknown (?) or partial (~).

    `sign` is the text on the band: once for bands side by side, else "".
    """
    base = alt.Chart(_data(name)).transform_filter("datum.state === 'unknown' || datum.state === 'partial'")
    tooltip = _tooltip(day="Day", shown="Value")
    band = base.mark_bar(color="var(--unknown)", opacity=0.3, stroke="var(--soft)", strokeDash=[2, 2], strokeWidth=0.5)
    sign = base.mark_text(color="var(--soft)", fontSize=12, baseline="top", dy=3)
    return alt.layer(
        band.encode(x=_day_axis(), y=alt.value(0), y2=alt.value("height"), tooltip=tooltip),
        sign.encode(x=_day_axis(), y=alt.value(0), text="sign:N", tooltip=tooltip),
    )


def _days() -> Chart:
    """Rows: t, value, before, kind (plain, pale), state, sign; for tooltips day, shown, shown_before."""
    base = alt.Chart(_data("days"))
    kind = alt.Color("kind:N", scale=_KINDS, legend=None)
    tooltip = _tooltip(day="Day", shown="Value", shown_before="Period before")
    bars = base.mark_bar(width=_BAR_WIDTH).encode(x=_day_axis(), y=_amount_axis("value"), color=kind, tooltip=tooltip)
    before = base.mark_line(interpolate="step", color="var(--ink)", strokeWidth=1.2, strokeDash=[3, 2], opacity=0.7)
    return alt.layer(
        bars, before.encode(x=_day_axis(), y=_amount_axis("before"), tooltip=tooltip), _unknown("days")
    ).properties(height=230)


def _weekdays() -> Chart:
    """Rows: weekday, value, before (daily means), kind (plain, pale: weekend); for tooltips shown, shown_before, days."""
    base = alt.Chart(_data("weekdays"))
    axis = alt.Axis(labelAngle=0, ticks=False, title=None)
    x = alt.X("weekday:O", sort=_WEEKDAYS, axis=axis, scale=alt.Scale(domain=_WEEKDAYS, paddingInner=0.25))
    tooltip = _tooltip(weekday="Weekday", shown="Daily mean", shown_before="Period before", days="Known days")
    color = alt.Color("kind:N", scale=_KINDS, legend=None)
    bars = base.mark_bar().encode(x=x, y=_amount_axis("value"), color=color, tooltip=tooltip)
    before = base.mark_tick(color="var(--ink)", thickness=2, opacity=0.7)
    return alt.layer(bars, before.encode(x=x, y=_amount_axis("before"), tooltip=tooltip)).properties(height=230)


def _peaks() -> Chart:
    """Rows: t, value (streams), state, sign; for tooltips day, shown, moment."""
    bars = (
        alt.Chart(_data("peaks"))
        .mark_bar(color="var(--series)", width=_BAR_WIDTH)
        .encode(
            x=_day_axis(),
            y=_amount_axis("value", whole=True),
            tooltip=_tooltip(day="Day", shown="Most streams at once", moment="First at"),
        )
    )
    return alt.layer(bars, _unknown("peaks")).properties(height=230)


def _audience() -> Chart:
    """Rows: t, value (viewers), state, sign; for tooltips day, shown, moment. Only drawn if live observations exist."""
    tooltip = _tooltip(day="Day", shown="Most viewers at once", moment="First at")
    bars = alt.Chart(_data("audience")).mark_bar(color="var(--series)", width=_BAR_WIDTH)
    return alt.layer(
        bars.encode(x=_day_axis(), y=_amount_axis("value"), tooltip=tooltip), _unknown("audience")
    ).properties(height=170)


def _top() -> Chart:
    """Rows: label (place and name), value; for tooltips app, shown."""
    y = alt.Y("label:N", sort=None, axis=alt.Axis(title=None, labelLimit=150, ticks=False, domain=False))
    axis = alt.Axis(format=",~r", tickCount=4, title=None, ticks=False, domain=False)
    specified: Chart = (
        alt.Chart(_data("top"))
        .mark_bar(color="var(--series)")
        .encode(
            x=alt.X("value:Q", axis=axis),
            y=y,
            tooltip=_tooltip(label="Livestream", app="App", shown="Value"),
        )
        .properties(height=430)
    )
    return specified


def _waits() -> Chart:
    """Rows: t, series (median, 95th percentile), seconds, has_mark; for tooltips day, shown, sessions.

    A point is visible if there are few points, or if it has no neighbour to draw a line to; each has a tooltip.
    """
    domain = ["median (p50)", "95th percentile (p95)"]
    base = alt.Chart(_data("waits")).encode(
        x=_day_axis(),
        y=_amount_axis("seconds"),
        color=alt.Color(
            "series:N",
            scale=alt.Scale(domain=domain, range=["var(--series)", "var(--warning)"]),
            legend=alt.Legend(title=None),
        ),
        tooltip=_tooltip(day="Day", series="Time to live", shown="Value", sessions="Sessions"),
    )
    lines = base.mark_line(strokeWidth=1.6).encode(
        strokeDash=alt.StrokeDash("series:N", scale=alt.Scale(domain=domain, range=[[1, 0], [5, 3]]))
    )
    marks = base.mark_point(size=22, filled=True).encode(
        shape=alt.Shape("series:N", scale=alt.Scale(domain=domain, range=["circle", "triangle-up"])),
        opacity=alt.condition("datum.has_mark", alt.value(1), alt.value(0)),
    )
    return alt.layer(lines, marks).properties(height=200)


def _failures() -> Chart:
    """Rows: t, kind, value (sessions), place (in the stack), state, sign; for tooltips day, shown."""
    domain = ["failed before going live", "failed after going live"]
    bars = (
        alt.Chart(_data("failures"))
        .mark_bar(width=_BAR_WIDTH)
        .encode(
            x=_day_axis(),
            y=_amount_axis("value", whole=True),
            color=alt.Color(
                "kind:N",
                scale=alt.Scale(domain=domain, range=["var(--bad)", "var(--warning)"]),
                legend=alt.Legend(title=None),
            ),
            order=alt.Order("place:Q"),
            tooltip=_tooltip(day="Day", kind="Kind", shown="Sessions"),
        )
    )
    return alt.layer(bars, _unknown("failures")).properties(height=200)


def _verdicts() -> Chart:
    """Rows: t, verdict; for tooltips day, app, days. The position of a mark gives the verdict; colour repeats it."""
    domain = [verdict.label for verdict in VERDICTS.values()]
    colours = [verdict.colour for verdict in VERDICTS.values()]
    y = alt.Y(
        "verdict:N",
        sort=domain,
        scale=alt.Scale(domain=domain),
        axis=alt.Axis(title=None, ticks=False, domain=False, grid=True, tickBand="extent"),
    )
    specified: Chart = (
        alt.Chart(_data("verdicts"))
        .mark_bar(height=alt.RelativeBandSize(band=0.7), width=_BAR_WIDTH)
        .encode(
            x=_day_axis(),
            y=y,
            color=alt.Color("verdict:N", scale=alt.Scale(domain=domain, range=colours), legend=None),
            tooltip=_tooltip(day="Day", app="Apps", verdict="Verdict", days="Days"),
        )
        .properties(height=170)
    )
    return specified
