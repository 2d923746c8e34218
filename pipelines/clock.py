"""What time it is. All times in livehouse are UTC and carry no zone, as in DuckDB's TIMESTAMP."""

from datetime import UTC, date, datetime, timedelta


def utc_now() -> datetime:
    """The current moment, UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def today() -> date:
    """Today's date, UTC."""
    return utc_now().date()


def yesterday() -> date:
    """The last day that is over, UTC."""
    return today() - timedelta(days=1)


def days_from(first: date, last: date) -> list[date]:
    """Every day from first to last, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
