"""What time it is. All times in livehouse are UTC and carry no zone, as in DuckDB's TIMESTAMP."""

from datetime import UTC, date, datetime, timedelta

moved_by = timedelta(0)
"""How far `utc_now` is ahead of the machine's clock: zero, except in tests, which set it (tests/moment.py)."""


def machine_now() -> datetime:
    """Return the machine's own time (UTC, no zone), to be compared with times of files and of other machines."""
    return datetime.now(UTC).replace(tzinfo=None)


def utc_now() -> datetime:
    """The current moment, UTC, without a zone."""
    return machine_now() + moved_by


def today() -> date:
    """Today's date, UTC."""
    return utc_now().date()


def yesterday() -> date:
    """The last day that is over, UTC."""
    return today() - timedelta(days=1)


def days_from(first: date, last: date) -> list[date]:
    """Every day from first to last, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
