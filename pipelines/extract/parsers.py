"""Finds the records in a reply. The vendor's document and the service disagree about their place; both are accepted here.

Seen in lists: an array with `paging` beside it, one object with `paging` inside, an array wrapped in an object, `paging` in
every row. Keep this knowledge out of all other modules.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from pipelines.catalog.core import LIVESTREAM_ANALYTICS_DAILY
from pipelines.catalog.values import Json, as_number, utc_day
from pipelines.errors import UnexpectedReplyError
from pipelines.extract.known_fields import keep_known_fields

JsonRecord = Json
"""A record as received. It has always been an object so far, but may be any JSON value."""


@dataclass(frozen=True)
class Page:
    """One page of a list: its records, and the number of records in the whole list, or None if the reply does not say."""

    records: list[JsonRecord]
    total_count: int | None
    full_rows: int | None = None
    """Rows of a full page of this list; None if unknown."""


_MAX_TOTAL_DIGITS = 18  # a longer count is invalid, and Python refuses to convert thousands of digits


def reply_data(reply: dict[str, Json]) -> Json:
    """Return the data of a reply. Raises `UnexpectedReplyError` if there is none: `{}` must not pass for an empty list."""
    for name in ("data", "result"):
        if name in reply:
            return reply[name]
    raise UnexpectedReplyError("a reply has neither data nor result")


def _total_count(*places: Json) -> int | None:
    for place in places:
        if isinstance(place, dict):
            paging = place.get("paging") or place.get("result_info")
            total = paging.get("total_count") if isinstance(paging, dict) else None
            if isinstance(total, str) and total.strip().isdecimal() and len(total) <= _MAX_TOTAL_DIGITS:
                total = int(total)
            if isinstance(total, float) and total.is_integer():
                total = int(total)
            if isinstance(total, int) and not isinstance(total, bool) and total >= 0:
                return total
    return None


def _without_paging(record: JsonRecord) -> JsonRecord:
    if isinstance(record, dict) and isinstance(record.get("paging"), dict):
        return {name: value for name, value in record.items() if name != "paging"}
    return record


def is_blank(record: JsonRecord) -> bool:
    """Whether a record is empty: the API sends `null`, `{}` or an object of nulls where there is no record."""
    return record is None or (isinstance(record, dict) and all(value is None for value in record.values()))


def _records(data: Json, names: tuple[str, ...]) -> list[JsonRecord] | None:
    """Return the records under the first of these names that is present; None if none is."""
    for name in names:
        if isinstance(data, dict) and name in data:
            found = data[name]
            return found if isinstance(found, list) else [] if is_blank(found) else [found]
    return None


def parse_livestream_page(reply: dict[str, Any]) -> Page:
    """Return the page in a reply of `GET /livestreams`."""
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
    """Return the page of sessions in a reply of `GET /livestreams/{id}`."""
    data = reply_data(reply)
    if isinstance(data, list):
        rows: list[JsonRecord] | None = data
        livestream = None
    else:
        livestream = data.get("livestream") if isinstance(data, dict) else None
        rows = _records(data, ("sessions", "session"))
        if rows is None:
            rows = _records(livestream, ("sessions", "session"))
    if rows is None:
        # A livestream without sessions has none. In any other object sessions in an unknown place would be missed.
        if not (is_blank(_without_paging(data)) or (isinstance(data, dict) and "livestream" in data)):
            raise UnexpectedReplyError("the sessions of a livestream are in no known place")
        rows = []
    total = _total_count(reply, data, livestream, *(rows[:1]))
    return Page([keep_known_fields(_without_paging(row)) for row in rows], total)


_OVERALL = {column.source_field for column in LIVESTREAM_ANALYTICS_DAILY.columns if column.is_measure}


def parse_overall(reply: dict[str, Any], day: date) -> JsonRecord:
    """Return the record of *overall* for one day; None if the reply has none.

    An array has one object per day, each with `date`; an object covers the whole requested range. Raises
    `UnexpectedReplyError` for an array without this day, or with different figures for it.
    """
    data = reply_data(reply)
    if isinstance(data, list):
        of_day = [entry for entry in data if not isinstance(entry, dict) or utc_day(entry.get("date") or day) == day]
        if data and not of_day:
            raise UnexpectedReplyError(f"overall for {day} was answered with other days only")
        check_one_entry_per_day("overall", "date", ((day, entry) for entry in of_day))
        data = of_day[0] if of_day else None
    if is_blank(data):
        return None
    if isinstance(data, dict) and not data.keys() & _OVERALL:
        raise UnexpectedReplyError(f"overall for {day} was answered without any of its figures")
    return keep_known_fields(data)


def parse_session_counts(reply: dict[str, Any], first_day: date, last_day: date) -> list[JsonRecord]:
    """Return the day entries of *livestreams/daywise*. A day without an entry had no session.

    `date` is nullable: such an entry is dropped if it has no figures; otherwise it belongs to an unknown one of the days.
    Raises `UnexpectedReplyError` if a day has two different figures.
    """
    data = reply_data(reply)
    entries = data if isinstance(data, list) else [] if is_blank(data) else [data]
    if any(isinstance(entry, dict) and not entry.keys() & _OVERALL for entry in entries):
        raise UnexpectedReplyError(
            f"livestreams/daywise for {first_day} to {last_day} was answered without any of its figures"
        )
    figures = [entry for entry in entries if not _is_zero_without_day(entry)]
    check_one_entry_per_day(
        "livestreams/daywise",
        "date",
        ((utc_day(entry.get("date")), entry) for entry in figures if isinstance(entry, dict)),
    )
    return [keep_known_fields(entry) for entry in figures]


def _is_zero_without_day(entry: JsonRecord) -> bool:
    return is_blank(entry) or (
        isinstance(entry, dict)
        and entry.get("date") in (None, "")
        and all(entry.get(name) in (None, "") or as_number(entry.get(name)) == 0 for name in _OVERALL)
    )


def check_one_entry_per_day(operation: str, day_field: str, entries: Iterable[tuple[date | None, JsonRecord]]) -> None:
    """Raise `UnexpectedReplyError` if a day has entries with different figures: taking one of them would be a guess.

    Entries with the same figures count as one, however each writes its day and its numbers. An entry whose day is None is
    left to the rules of value, which quarantine it.
    """
    figures_of: dict[date, Any] = {}
    for day, entry in entries:
        figures = entry
        if isinstance(entry, dict):
            figures = {name: _normalize_number(value) for name, value in entry.items() if name != day_field}
        if day is not None and figures_of.setdefault(day, figures) != figures:
            raise UnexpectedReplyError(f"{operation} gave different figures for {day}")


def _normalize_number(value: Json) -> Json:
    number = as_number(value)
    return value if number is None else number


def parse_live_reply(reply: dict[str, Any], bare_record: str | None = None) -> Iterator[tuple[str, JsonRecord]]:
    """Yield ("livestream", record) and ("session", record) of a reply about live streams.

    `bare_record`: the kind of record that the data may be itself, instead of an object of both.
    """
    data = reply_data(reply)
    both = [(name, record) for name in ("livestream", "session") for record in _records(data, (name,)) or ()]
    if bare_record and not both:
        found = data if isinstance(data, list) else [data]
        both = [(bare_record, record) for record in found if isinstance(record, dict) and record.get("id") is not None]
    yield from ((name, keep_known_fields(record)) for name, record in both)
