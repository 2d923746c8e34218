"""Where in a reply the records are. The document and the service disagree; both are accepted here.

Seen of lists: an array with `paging` beside it, one object with `paging` inside, an array wrapped in an
object, `paging` in every row. Nothing else in livehouse knows any of this.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from pipelines.catalog.core import LIVESTREAM_ANALYTICS_DAILY
from pipelines.errors import UnexpectedReplyError
from pipelines.extract.known_fields import keep_known_fields

Record = Any
"""A record as received: an object in every case ever seen, yet any JSON value may come."""


@dataclass(frozen=True)
class Page:
    """One page of a list: its records, and how many the whole list has, where the reply says so."""

    records: list[Record]
    total_count: int | None
    full_rows: int | None = None
    """How many rows make a page of this list full; None where that is not known."""


_MILLISECONDS_FROM = 1e11  # as seconds the year 5138, as milliseconds 1973
_LONGEST_TOTAL = 18  # digits; a longer one is nonsense, and Python refuses to read thousands of digits


def reply_data(reply: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    """Find what a reply holds. One that holds nothing at all, such as `{}`, must not pass for an empty list."""
    for name in ("data", "result"):
        if name in reply:
            return reply[name]
    raise UnexpectedReplyError("a reply has neither data nor result")


def _total_count(*places: Any) -> int | None:  # noqa: ANN401 - any JSON value
    for place in places:
        if isinstance(place, dict):
            paging = place.get("paging") or place.get("result_info")
            total = paging.get("total_count") if isinstance(paging, dict) else None
            if isinstance(total, str) and total.strip().isdecimal() and len(total) <= _LONGEST_TOTAL:
                total = int(total)
            if isinstance(total, float) and total.is_integer():
                total = int(total)
            if isinstance(total, int) and not isinstance(total, bool) and total >= 0:
                return total
    return None


def _without_paging(record: Record) -> Record:
    if isinstance(record, dict) and isinstance(record.get("paging"), dict):
        return {name: value for name, value in record.items() if name != "paging"}
    return record


def is_blank(record: Record) -> bool:
    """`null`, `{}` or an object of nulls stands for "none" where one object is the documented shape."""
    return record is None or (isinstance(record, dict) and all(value is None for value in record.values()))


def _records(data: Any, names: tuple[str, ...]) -> list[Record] | None:  # noqa: ANN401 - any JSON value
    """Find the records under the first of the names that is there; None where none is."""
    for name in names:
        if isinstance(data, dict) and name in data:
            found = data[name]
            return found if isinstance(found, list) else [] if is_blank(found) else [found]
    return None


def parse_livestream_page(reply: dict[str, Any]) -> Page:
    """Read a page of `GET /livestreams`."""
    data = reply_data(reply)
    rows = data if isinstance(data, list) else _records(data, ("livestreams", "items", "livestream"))
    if rows is None:
        single = _without_paging(data)
        if not (is_blank(single) or (isinstance(single, dict) and "id" in single)):
            raise UnexpectedReplyError("the list of livestreams is neither a list nor a livestream")
        rows = [] if is_blank(single) else [single]
    total = _total_count(reply, data, *(rows[:1]))
    return Page([keep_known_fields(_without_paging(row)) for row in rows], total)


def parse_session_page(reply: dict[str, Any]) -> Page:
    """Read the sessions in a reply of `GET /livestreams/{id}`."""
    data = reply_data(reply)
    if isinstance(data, list):
        rows: list[Record] | None = data
        livestream = None
    else:
        livestream = data.get("livestream") if isinstance(data, dict) else None
        rows = _records(data, ("sessions", "session"))
        if rows is None:
            rows = _records(livestream, ("sessions", "session"))
    if rows is None:
        # A livestream alone has none. In an object that speaks of something else they would be overlooked.
        if not (is_blank(_without_paging(data)) or (isinstance(data, dict) and "livestream" in data)):
            raise UnexpectedReplyError("the sessions of a livestream are in no known place")
        rows = []
    total = _total_count(reply, data, livestream, *(rows[:1]))
    return Page([keep_known_fields(_without_paging(row)) for row in rows], total)


_OVERALL = {column.source_field for column in LIVESTREAM_ANALYTICS_DAILY.columns if column.is_measure}


def parse_overall(reply: dict[str, Any], day: date) -> Record:
    """Find the record of `overall` about one day; None where the reply has none.

    An array holds an object a day, each with `date`; an object speaks of the whole range asked for. An array
    that speaks of other days only, or of this one twice, says nothing that could be taken for a figure.
    """
    data = reply_data(reply)
    if isinstance(data, list):
        of_day = [entry for entry in data if not isinstance(entry, dict) or utc_day(entry.get("date") or day) == day]
        if data and not of_day:
            raise UnexpectedReplyError(f"overall, asked about {day}, answered about other days only")
        check_one_entry_per_day("overall", "date", ((day, entry) for entry in of_day))
        data = of_day[0] if of_day else None
    if is_blank(data):
        return None
    if isinstance(data, dict) and not data.keys() & _OVERALL:
        raise UnexpectedReplyError(f"overall, asked about {day}, answered with none of its figures")
    return keep_known_fields(data)


def parse_session_counts(reply: dict[str, Any], first_day: date, last_day: date) -> list[Record]:
    """Find the day entries of *livestreams/daywise*. A day that is left out had no session.

    `date` is nullable: without figures such an entry says nothing, with figures it is about one of the days. A day that
    is given two different figures raises `UnexpectedReplyError`.
    """
    data = reply_data(reply)
    entries = data if isinstance(data, list) else [] if is_blank(data) else [data]
    if any(isinstance(entry, dict) and not entry.keys() & _OVERALL for entry in entries):
        raise UnexpectedReplyError(
            f"livestreams/daywise, asked about {first_day} to {last_day}, answered with none of its figures"
        )
    figures = [entry for entry in entries if not _is_dayless_zero(entry)]
    check_one_entry_per_day(
        "livestreams/daywise",
        "date",
        ((utc_day(entry.get("date")), entry) for entry in figures if isinstance(entry, dict)),
    )
    return [keep_known_fields(entry) for entry in figures]


def _is_dayless_zero(entry: Record) -> bool:
    return is_blank(entry) or (
        isinstance(entry, dict)
        and entry.get("date") in (None, "")
        and all(_as_number(entry.get(name)) in (None, 0, "") for name in _OVERALL)
    )


def check_one_entry_per_day(operation: str, day_field: str, entries: Iterable[tuple[date | None, Record]]) -> None:
    """Raise `UnexpectedReplyError` where a day has entries of different figures: to take one of them would be a guess.

    Entries that say the same are one, however each writes its day and its numbers. None: no day can be read, so the
    entry is set aside by the rules of value.
    """
    said: dict[date, Any] = {}
    for day, entry in entries:
        figures = entry
        if isinstance(entry, dict):
            figures = {name: _as_number(value) for name, value in entry.items() if name != day_field}
        if day is not None and said.setdefault(day, figures) != figures:
            raise UnexpectedReplyError(f"{operation} gave different figures for {day}")


def _as_number(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return the number that a value writes, as text or not; any other value as it is."""
    try:
        return value if isinstance(value, bool) or not isinstance(value, str | int | float) else float(value)
    except ValueError:
        return value


def utc_day(value: Any) -> date | None:  # noqa: ANN401 - any JSON value
    """The UTC day of a date, an ISO 8601 time in any zone, or Unix seconds or milliseconds; None of the rest."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = None
    try:
        if number is not None:
            return datetime.fromtimestamp(number / (1000 if number >= _MILLISECONDS_FROM else 1), UTC).date()
        moment = datetime.fromisoformat(str(value).strip())
    except (ValueError, OverflowError, OSError):
        return None
    return (moment.astimezone(UTC) if moment.tzinfo else moment).date()


def parse_live_reply(reply: dict[str, Any], bare_record: str | None = None) -> Iterator[tuple[str, Record]]:
    """Find what a reply about the present holds: ("livestream", record), ("session", record).

    Where a reply may be a record itself, and not an object of both, `alone` tells which of them it is.
    """
    data = reply_data(reply)
    both = [(name, record) for name in ("livestream", "session") for record in _records(data, (name,)) or ()]
    if bare_record and not both:
        found = data if isinstance(data, list) else [data]
        both = [(bare_record, record) for record in found if isinstance(record, dict) and record.get("id") is not None]
    yield from ((name, keep_known_fields(record)) for name, record in both)
