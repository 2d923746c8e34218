"""Specify the chart of a livestream's sessions: days from left to right, the time of day from top to bottom."""

import altair as alt

from pipelines.report.session_states import SESSION_STATES


def specify_timeline() -> alt.LayerChart | alt.FacetChart:
    """Rows: t, t_next (the day and the next), first, last (the period), from, to (hours), state.

    For tooltips: day, hours, shown, message.
    """
    base = alt.Chart(alt.NamedData(name="timeline"))
    axis = alt.Axis(title=None, grid=True, tickCount=8, labelOverlap="greedy", labelFlush=True)
    x = alt.X("t:T", axis=axis, scale=alt.Scale(type="utc", nice=False))
    hours = alt.Axis(title=None, values=[0, 6, 12, 18, 24], labelExpr="datum.value + ':00'", domain=False, ticks=False)
    y = alt.Y("from:Q", axis=hours, scale=alt.Scale(domain=[0, 24], reverse=True))
    colours = alt.Scale(
        domain=[state.label for state in SESSION_STATES.values()],
        range=[state.colour for state in SESSION_STATES.values()],
    )
    legend = alt.Legend(title=None, columns=alt.ExprRef("width < 500 ? 2 : 6"))
    titles = {"day": "Day", "hours": "On air", "state": "State", "shown": "Watched", "message": "Message"}
    bars = base.mark_rect(strokeWidth=1.5).encode(  # the outline keeps a session of a few seconds visible
        x=x,
        x2="t_next:T",
        y=y,
        y2="to:Q",
        color=alt.Color("state:N", scale=colours, legend=legend),
        stroke=alt.Stroke("state:N", scale=colours, legend=legend),
        tooltip=[alt.Tooltip(field=field, type="nominal", title=title) for field, title in titles.items()],
    )
    period = base.mark_rule(opacity=0, aria=False).encode(x=alt.X("first:T"), x2="last:T")
    return alt.layer(bars, period).properties(height=260)
