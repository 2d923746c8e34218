"""Day entries in replies about a range of days: a parser for each such operation of `catalog/streams.py`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipelines.catalog.values import as_number, utc_day
from pipelines.errors import UnexpectedReplyError
from pipelines.extract.known_fields import keep_known_fields
from pipelines.extract.parsers import JsonRecord, check_one_entry_per_day, is_blank, reply_data


@dataclass(frozen=True)
class DayEntries:
    """The day entries in a reply about a range of days, or in one part of it."""

    records: list[JsonRecord]
    omitted_is_zero: bool
    """Whether a day without an entry had no activity; otherwise it is unknown."""
    stats: str | None = None
    """Name of the part; None where replies have no parts."""


DayParser = Callable[[dict[str, Any]], list[DayEntries]]
"""Finds the day entries of each part of a reply."""

DAY_PARSERS: dict[str, DayParser] = {}
"""Parsers of the operations in `catalog/streams.py` that are fetched by ranges of days."""


def parses(operation: str) -> Callable[[DayParser], DayParser]:
    """Register a function as the parser of an operation's replies."""

    def register(parser: DayParser) -> DayParser:
        DAY_PARSERS[operation] = parser
        return parser

    return register


def known_entries(operation: str, day_field: str, entries: list[JsonRecord]) -> list[JsonRecord]:
    """Keep the known fields of day entries. Raises `UnexpectedReplyError` where a day has two different entries."""
    days = ((utc_day(entry.get(day_field)) if isinstance(entry, dict) else None, entry) for entry in entries)
    check_one_entry_per_day(operation, day_field, days)
    return [keep_known_fields(entry) for entry in entries]


STATS = ("session_stats", "recording_stats")
_TOTALS = {
    "session_stats": ("total_sessions", "sessions_count"),
    "recording_stats": ("total_recordings", "recording_count"),
}


def parse_daywise(reply: dict[str, Any], stats: str) -> tuple[list[JsonRecord], bool]:
    """Find the day entries of one of `STATS`, and whether a day that is left out had no activity.

    It had not, unless the reply's own total counts more than its entries do.
    """
    data = reply_data(reply)
    if data and not (isinstance(data, dict) and (is_blank(data) or data.keys() & set(STATS))):
        raise UnexpectedReplyError("the day-wise statistics are in no known place")
    part = data.get(stats) if isinstance(data, dict) else None
    if part is None:
        return [], False
    entries = part.get("day_stats") if isinstance(part, dict) else part
    if not isinstance(entries, list):
        if is_blank(entries):
            return [], isinstance(part, dict) and not _claims_more(part, [], stats)
        entries = [entries]
    omitted_is_zero = not (isinstance(part, dict) and _claims_more(part, entries, stats))
    return known_entries(f"daywise ({stats})", "day", entries), omitted_is_zero


@parses("get-daywise-analytics")
def parse_daywise_parts(reply: dict[str, Any]) -> list[DayEntries]:
    """Find the day entries of each of `STATS`."""
    return [DayEntries(*parse_daywise(reply, stats), stats) for stats in STATS]


def _claims_more(part: dict[str, Any], entries: list[JsonRecord], stats: str) -> bool:
    of_entry, of_range = _TOTALS[stats]
    counted = sum(as_number(entry.get(of_entry)) or 0.0 for entry in entries if isinstance(entry, dict))
    return (as_number(part.get(of_range)) or 0.0) > counted + 0.5
