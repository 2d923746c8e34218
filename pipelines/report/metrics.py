"""Metrics of the page, each declared once: which columns it aggregates, its unit, and what it means.

The queries compute the columns by day and app. The page aggregates them over the chosen days and apps in one of the ways of
`Aggregate`, and knows nothing else about a metric.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Aggregate = Literal["sum", "ratio", "maximum", "percentile"]
"""How days are combined: the sum of one column, the sum of one over that of another, the highest daily peak of `peaks.sql`, or a
percentile of all sessions' times to live."""


@dataclass(frozen=True)
class Metric:
    """A figure of the page. A day counts as known where all its columns are known, or where the column `known` says so."""

    label: str
    aggregate: Aggregate
    columns: tuple[str, ...] = ()
    """Columns of `queries/days.sql`; of a ratio, numerator and denominator."""
    factor: float = 1
    """From the columns' unit to the metric's unit."""
    unit: str = ""
    digits: int = 0
    """Decimal places."""
    unit_of_one: str | None = None
    """The unit's singular, where it differs."""
    share: float | None = None
    """The percentile as a share: 0.95 is the 95th."""
    known: str | None = None
    short: str | None = None
    """A shorter label, for the head of a column."""
    empty: str = ""
    """Why there is no value although every day is known."""
    definition: str = ""
    """Its meaning, for the page's list of terms."""


@dataclass(frozen=True)
class CostLine:
    """A line of the cost estimate; one without a rate shows only its minutes."""

    label: str
    note: str
    minutes: str
    """Column of `queries/days.sql` with the quantity."""
    factor: float = 1
    """From that column's unit to minutes."""
    cost: str | None = None
    """Column of `queries/days.sql` with the estimate."""
    rate: str | None = None
    """Column of `ops.rates`."""


HOUR = 1 / 3600
MINUTE = 1 / 60

METRICS = {
    "viewer_hours": Metric(
        "Viewer hours",
        "sum",
        ("viewer_seconds",),
        factor=HOUR,
        unit="h",
        digits=1,
        definition="time watched, summed over all viewers",
    ),
    "ingest_hours": Metric(
        "Ingest hours",
        "sum",
        ("ingest_seconds",),
        factor=HOUR,
        unit="h",
        digits=1,
        definition="time during which streams were fed in",
    ),
    "sessions": Metric("Sessions", "sum", ("sessions",)),
    "failed": Metric("Failed sessions", "sum", ("failed",), definition="sessions with an error message"),
    "viewers": Metric(
        "Average concurrent viewers",
        "ratio",
        ("paired_viewer", "paired_ingest"),
        unit="viewers",
        unit_of_one="viewer",
        digits=1,
        short="Avg. conc. viewers",
        empty="nothing was fed in",
        definition="viewer seconds ÷ ingest seconds, of sessions that report both",
    ),
    "error_rate": Metric(
        "Session error rate",
        "ratio",
        ("failed", "sessions"),
        factor=100,
        unit="%",
        digits=1,
        short="Error rate",
        empty="no session",
        definition="failed sessions ÷ sessions",
    ),
    "recordings": Metric("Recordings", "sum", ("recordings",)),
    "recording_minutes": Metric("Recording minutes", "sum", ("recording_minutes",), unit="min"),
    "meetings": Metric("Meeting sessions", "sum", ("meeting_sessions",)),
    "meeting_minutes": Metric("Meeting minutes", "sum", ("meeting_minutes",), unit="min"),
    "peak": Metric(
        "Peak concurrent streams",
        "maximum",
        unit="streams",
        unit_of_one="stream",
        short="Peak streams",
        definition="most streams on air at one moment; the API does not report unique viewers",
    ),
    "p50": Metric(
        "Time to live, p50", "percentile", ("sessions",), 1 / 1000, "s", 1, share=0.5, empty="nothing went live"
    ),
    "p95": Metric(
        "Time to live, p95", "percentile", ("sessions",), 1 / 1000, "s", 1, share=0.95, empty="nothing went live"
    ),
    "cost": Metric(
        "Estimated cost",
        "sum",
        ("cost",),
        unit="$",
        digits=2,
        known="is_cost_known",
        short="Est. cost",
        definition="minutes times the rates in the settings; a lower bound, not an invoice",
    ),
}

OTHER_TERMS = {
    "Time to live": "from invoked to started, of sessions that went live; half of them took at most the p50, 95 % at most the p95",
    "Peak concurrent viewers": "highest average over an observed minute: growth of viewer seconds ÷ time; known only for streams "
    "that were polled while on air",
}
"""Terms that are not the name of a metric."""

COST_LINES = (
    CostLine("Recordings", "minutes recorded", "recording_minutes", cost="recording_cost", rate="export_rate"),
    CostLine(
        "Livestreams of meetings",
        "ingest minutes of livestreams that stream a meeting",
        "exported_seconds",
        MINUTE,
        cost="export_cost",
        rate="export_rate",
    ),
    CostLine(
        "Meetings, at least",
        "session minutes, as if each meeting had one participant",
        "meeting_minutes",
        cost="meeting_cost",
        rate="participant_rate",
    ),
    CostLine(
        "Not estimated: livestreams that are not listed",
        "ingest minutes; whether they stream a meeting is unknown, so they may cost as much as those that do",
        "unplaced_seconds",
        MINUTE,
    ),
    CostLine(
        "Not estimated: other livestreams",
        "ingest minutes of livestreams that stream no meeting; no rate is published",
        "direct_seconds",
        MINUTE,
    ),
    CostLine("Not estimated: watch time", "viewer minutes; no rate is published", "viewer_seconds", MINUTE),
)


def describe_metrics(rates: Mapping[str, Sequence[float | None]]) -> dict[str, Any]:
    """Return the declarations as the page's script reads them. `rates` has the columns of `ops.rates`, a value for each app."""
    lines = [asdict(line) | {"rates": rates[line.rate] if line.rate else None} for line in COST_LINES]
    return {"metrics": {name: asdict(metric) for name, metric in METRICS.items()}, "cost_lines": lines}


def list_terms() -> dict[str, str]:
    """Return the page's terms and what they mean."""
    return {metric.label: metric.definition for metric in METRICS.values() if metric.definition} | OTHER_TERMS
