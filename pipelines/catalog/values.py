"""Limits of values, and how one value is read: what extract and normalize have to agree on.

Extract reads the day and the figures of an entry before it is landed. `normalize/coerce.py` applies the full rules to columns.
"""

from datetime import UTC, date, datetime
from typing import Any

Json = Any
"""A parsed JSON value: dict, list, str, int, float, bool or None."""

MAX_INTEGER = 2**63 - 1
"""Largest value of a BIGINT."""

MAX_ID_LENGTH = 256
UNIX_MILLISECONDS_FROM = 1e11
"""A larger Unix time is in milliseconds: as seconds it is the year 5138, as milliseconds 1973."""


def as_number(value: Json) -> float | None:
    """Return a number, or the number that a text holds; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def utc_day(value: Json) -> date | None:
    """Return the UTC day of a date, an ISO 8601 time, Unix seconds or milliseconds, as text or number; None if unreadable."""
    number = as_number(value)
    try:
        if number is not None:
            return datetime.fromtimestamp(number / (1000 if number >= UNIX_MILLISECONDS_FROM else 1), UTC).date()
        moment = datetime.fromisoformat(str(value).strip())
    except (ValueError, OverflowError, OSError):
        return None
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date()
