"""Chooses how a stream is fetched: the streams that need more than ranges of days have a step of their own."""

from collections.abc import Callable

from pipelines.catalog.streams import Stream
from pipelines.steps.context import Range, RunContext
from pipelines.steps.day_ranges import extract_day_ranges
from pipelines.steps.fetch import extract_livestreams, extract_overall
from pipelines.steps.outcomes import Counts
from pipelines.steps.session_counts import extract_session_counts
from pipelines.steps.sessions import extract_sessions


def _extract_totals(run: RunContext, days: Range) -> dict[str, Counts]:
    """Fetch *overall* day by day, and *livestreams/daywise* where the API offers it."""
    done = extract_overall(run, days)
    extract_session_counts(run, days)
    return done


_STEPS: dict[str, Callable[[RunContext, Range], dict[str, Counts]]] = {
    "list-livestreams": lambda run, _days: extract_livestreams(run),
    "get-overall-analytics": _extract_totals,
    "get-livestream": extract_sessions,
}


def extract_stream(run: RunContext, stream: Stream, days: Range) -> dict[str, Counts]:
    """Fetch one stream for a range of days, and land it. Returns the counts of each app."""
    step = _STEPS.get(stream.operation)
    return step(run, days) if step else extract_day_ranges(run, stream, days)
