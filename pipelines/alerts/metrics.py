"""The metrics that alert rules compare with a threshold: a figure of an app over one or several days."""

from dataclasses import dataclass

FRESHNESS = "hours_since_newest_day"
"""The one metric that is no figure of a day: how long ago the newest complete day of an app ended."""


@dataclass(frozen=True)
class Metric:
    """A metric. `aggregate` is SQL over the rows of `source` of one app and the days of a window; NULL is unknown."""

    label: str
    source: str
    aggregate: str
    unit: str = ""
    factor: float = 1.0
    """The number by which a value is multiplied to be shown in its unit."""
    final: str = "is_settled"
    """The column of marts.daily_usage that is true for days of which the figure is final."""

    def format_value(self, value: float) -> str:
        """Return a value with its unit."""
        return f"{format_number(value * self.factor)}{' ' if self.unit else ''}{self.unit}"


_WITHOUT_FRACTION = 1_000
"""Numbers from here on are shown without a fraction."""


def format_number(value: float) -> str:
    """Return a number with at most four significant digits, and no digit before the point left out."""
    return f"{value:,.0f}" if abs(value) >= _WITHOUT_FRACTION or value == int(value) else f"{value:.4g}"


def _sum(column: str, divisor: str = "") -> str:
    """Return the sum of a daily figure; NULL if it is unknown on one of the days."""
    return f"CASE WHEN count(*) = count({column}) THEN sum({column}){divisor} END"


_USAGE, _SESSIONS, _CONCURRENCY = "marts.daily_usage", "core.livestream_sessions", "marts.stream_concurrency"

METRICS = {
    "sessions": Metric("sessions", _USAGE, _sum("sessions")),
    "failed_sessions": Metric("failed sessions", _USAGE, _sum("failed_sessions")),
    "error_rate": Metric("error rate", _USAGE, "sum(failed_sessions) / nullif(sum(sessions), 0)", "%", 100),
    "time_to_live_p50_seconds": Metric(
        "median time to live", _SESSIONS, "quantile_cont(time_to_live_seconds, 0.5)", "s"
    ),
    "time_to_live_p95_seconds": Metric("p95 time to live", _SESSIONS, "quantile_cont(time_to_live_seconds, 0.95)", "s"),
    "stream_hours": Metric("stream hours", _USAGE, _sum("ingest_seconds", " / 3600"), "h"),
    "viewer_hours": Metric("viewer hours", _USAGE, _sum("viewer_seconds", " / 3600"), "h"),
    "average_concurrent_viewers": Metric(
        "average concurrent viewers", _USAGE, "sum(paired_viewer_seconds) / nullif(sum(paired_ingest_seconds), 0)"
    ),
    "peak_concurrent_streams": Metric("peak concurrent streams", _CONCURRENCY, "max(peak_concurrent_streams)"),
    "meeting_minutes": Metric("meeting minutes", _USAGE, _sum("meeting_minutes"), "min", final="is_complete"),
    "recording_minutes": Metric("recording minutes", _USAGE, _sum("recording_minutes"), "min", final="is_complete"),
    FRESHNESS: Metric("time since the newest complete day", "ops.days", "", "h"),
}
"""Every metric by the name that a rule gives."""
