"""The current time, and ranges of days. All times in livehouse are UTC without a zone, as in DuckDB's TIMESTAMP."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

moved_by = timedelta(0)
"""The offset of `utc_now` from the machine's clock: zero, except in tests, which set it (tests/fixed_clock.py)."""


def machine_now() -> datetime:
    """Return the machine's own time (UTC, no zone), for comparison with times of files and of other machines."""
    return datetime.now(UTC).replace(tzinfo=None)


def utc_now() -> datetime:
    """Return the current time (UTC, no zone)."""
    return machine_now() + moved_by


def today() -> date:
    """Return today's date (UTC)."""
    return utc_now().date()


def yesterday() -> date:
    """Return the last day that is over (UTC)."""
    return today() - timedelta(days=1)


def days_from(first: date, last: date) -> list[date]:
    """Return every day from first to last, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def ranges_of(days: Iterable[date]) -> list[tuple[date, date]]:
    """Return the first and last day of each run of consecutive days, in order."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if ranges and day - ranges[-1][1] == timedelta(days=1):
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges


_RANGES_NAMED = 6


def describe_days(days: Iterable[date]) -> str:
    """Return days as text such as `2026-11-02, 2026-11-05 to 2026-11-07`; many separate ranges are cut short."""
    ranges = ranges_of(days)
    named = [f"{first}" if first == last else f"{first} to {last}" for first, last in ranges[:_RANGES_NAMED]]
    more = sum((last - first).days + 1 for first, last in ranges[_RANGES_NAMED:])
    return ", ".join(named) + (f" and {more} more days" if more else "")
