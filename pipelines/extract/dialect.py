"""The dialect of the service: its form of times, its largest page, and the operations it offers.

Today's OpenAPI document takes Unix seconds where the older one took ISO 8601, and neither names the largest `per_page`. A
refused form is replaced by another one once. The form that works is noted, and the caller stores the notes in
`ops.api_dialect`, so that the next run sends no request that is refused. A refusal for another reason ("cannot request
data older than 259200s") changes nothing: only a successful request does.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from http import HTTPStatus
from typing import NamedTuple, TypeVar

from pipelines.clock import utc_now
from pipelines.errors import ApiRefusedError, TransientApiError
from pipelines.extract.responses import MALFORMED_STATUSES, refusal_reason

Reply = TypeVar("Reply")

TIME_FORM, PAGE_SIZE, OFFERED = "time_form", "page_size", "offered"
"""Settings of an operation that are noted."""

UNIX_SECONDS, ISO_8601 = "unix_seconds", "iso_8601"
TIME_FORMS = (UNIX_SECONDS, ISO_8601)
"""Values of `TIME_FORM`, today's first."""

DEFAULT_PER_PAGE = 100
"""Rows per page. No operation documents a maximum; other products of the vendor refuse more than 50."""

_SMALLER_PAGES = (50, 25, 20, 10, 5, 2)
_ONE_ROW = 1

_MIN_CAPPED_PAGE = 10
"""Rows. A smaller page is not noted as full: with pages of one row every list would seem to end with a full page."""

RETRY_OPERATION_AFTER = timedelta(days=7)
"""An operation that the service lacked is requested again after this time."""

NOT_OFFERED_STATUSES = (
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.GONE,
    HTTPStatus.NOT_IMPLEMENTED,
)
"""Statuses that mean that the service lacks an operation."""

_NAMES_PAGE_SIZE = re.compile(r"per[ _-]?page|page[ _-]?size", re.IGNORECASE)
_ABOUT_REQUEST = re.compile(
    r"\b(?:pages?|limit|size|param(?:eter)?s?|query|maximum|exceeds?|too (?:large|big|high|many (?:rows|records|items|results))|validation|invalid (?:request|input|value))\b",
    re.IGNORECASE,
)
_WITHOUT_REASON = re.compile(r"(?:no message|bad request|unprocessable (?:entity|content)|error)?\W*", re.IGNORECASE)
_ABOUT_ACCESS = re.compile(r"header|token|authori|authenti|permission|account", re.IGNORECASE)


class DialectKey(NamedTuple):
    """The subject of a note."""

    app_id: str
    operation: str
    setting: str


@dataclass(frozen=True)
class DialectNote:
    """A row of `ops.api_dialect`, without the address of the service."""

    app_id: str
    operation: str
    setting: str
    value: str
    noted_at: datetime


class ApiDialect:
    """The notes about one service. Threads share it."""

    def __init__(self) -> None:
        """Start without notes."""
        self._notes: dict[DialectKey, DialectNote] = {}
        self._changed: dict[DialectKey, DialectNote] = {}
        self._confirmed: set[DialectKey] = set()
        self._given_up: set[DialectKey] = set()
        self._row_counts: dict[tuple[str, str], int] = {}
        self._first_locks: dict[DialectKey, threading.Lock] = {}
        self._lock = threading.Lock()

    def load_notes(self, notes: Iterable[DialectNote]) -> None:
        """Take over the notes of earlier runs; malformed ones are ignored."""
        valid = (note for note in notes if note.setting != PAGE_SIZE or re.fullmatch("[1-9][0-9]{0,5}", note.value))
        self._notes |= {DialectKey(note.app_id, note.operation, note.setting): note for note in valid}

    def noted_value(self, key: DialectKey) -> str | None:
        """Return the noted value; None without a note."""
        note = self._notes.get(key)
        return note.value if note else None

    def confirmed_value(self, key: DialectKey) -> str | None:
        """Return the value that a request of this process has confirmed; None if none has."""
        return self.noted_value(key) if key in self._confirmed else None

    def note(self, key: DialectKey, value: str) -> None:
        """Note the value of a successful request."""
        with self._lock:
            self._confirmed.add(key)
            if self.noted_value(key) != value:
                self._notes[key] = self._changed[key] = DialectNote(*key, value, utc_now())

    def pop_changes(self) -> list[DialectNote]:
        """Return the notes that are not stored yet, and count them as stored."""
        with self._lock:
            changed = list(self._changed.values())
            self._changed.clear()
        return changed

    def is_offered(self, app_id: str, operation: str) -> bool:
        """Whether to request an operation: not within a week of the service lacking it."""
        note = self._notes.get(DialectKey(app_id, operation, OFFERED))
        return note is None or note.value != "no" or utc_now() - note.noted_at >= RETRY_OPERATION_AFTER

    def note_offered(self, app_id: str, operation: str, *, is_offered: bool) -> None:
        """Note whether the service has an operation. The time of a "no" is renewed."""
        key = DialectKey(app_id, operation, OFFERED)
        if not is_offered:
            with self._lock:
                self._notes.pop(key, None)
        self.note(key, "yes" if is_offered else "no")

    def rows_per_page(self, app_id: str, operation: str) -> int:
        """Return the rows per page to request."""
        return int(self.noted_value(DialectKey(app_id, operation, PAGE_SIZE)) or DEFAULT_PER_PAGE)

    def full_page_rows(self, app_id: str, operation: str) -> int:
        """Return the rows of a full page: those requested, or fewer if the service caps its pages."""
        return min(self.rows_per_page(app_id, operation), self._row_counts.get((app_id, operation), DEFAULT_PER_PAGE))

    def note_full_page(self, app_id: str, operation: str, rows: int) -> None:
        """Note the rows of a page that another one followed. Very small pages are no cap, and are ignored."""
        if rows >= _MIN_CAPPED_PAGE:
            noted = self._row_counts.get((app_id, operation), 0)
            self._row_counts[app_id, operation] = max(noted, rows)

    def send_with_fallback(
        self,
        key: DialectKey,
        preferred: str,
        send: Callable[[str], Reply],
        others: Callable[[str, ApiRefusedError], Iterable[str]],
    ) -> Reply:
        """Send a request in the noted or preferred form; if it is refused as malformed, in the forms that `others` yields.

        `others` receives the refused form and the refusal. A form that this process has confirmed is never replaced. If none of
        the forms is accepted, this process does not try the others again: the form is not the reason.
        Raises the first refusal if no form is accepted.
        """
        with self._hold_back_others(key):
            noted = self.noted_value(key)
            value = noted or preferred
            try:
                reply = send(value)
            except ApiRefusedError as error:
                if error.status not in MALFORMED_STATUSES or key in self._confirmed or key in self._given_up:
                    raise
                refused = error
            else:
                self.note(key, value)
                return reply
            try:
                for other in others(value, refused):
                    try:
                        reply = send(other)
                    except ApiRefusedError as error:
                        if error.status not in MALFORMED_STATUSES:
                            raise
                        continue
                    self.note(key, other)
                    return reply
            except TransientApiError:  # says nothing about the form
                if noted is None and key.setting != PAGE_SIZE:
                    raise refused from None
            self._given_up.add(key)
            raise refused

    @contextmanager
    def _hold_back_others(self, key: DialectKey) -> Iterator[None]:
        """Hold back requests of a kind until the first one is answered; otherwise eight at once would be refused."""
        with self._lock:
            is_first = key not in self._first_locks
            lock = self._first_locks.setdefault(key, threading.Lock())
            if is_first:
                lock.acquire()
        if not is_first:
            with lock:
                pass
        try:
            yield
        finally:
            if is_first:
                lock.release()


def time_range(form: str, first_day: date, last_day: date) -> dict[str, str | int]:
    """Return `start_time` and `end_time` for whole UTC days. Nothing else renders times for requests.

    The range ends with the last second of the last day: given the next midnight, a service that counts by days adds a day.
    """
    if form == ISO_8601:
        return {"start_time": f"{first_day}T00:00:00.000Z", "end_time": f"{last_day}T23:59:59.999Z"}
    start, end = (datetime.combine(day, time(), UTC) for day in (first_day, last_day + timedelta(days=1)))
    return {"start_time": int(start.timestamp()), "end_time": int(end.timestamp()) - 1}


def smaller_page_sizes(send: Callable[[str], object]) -> Callable[[str, ApiRefusedError], Iterator[str]]:
    """Return a function that yields smaller page sizes: the one that a refusal names, else all if one row is accepted.

    Refusals rarely give their reason. One that also meets a page of a single row is not about the page size, and has cost
    one more request, not one for each size.
    """

    def others(size: str, refused: ApiRefusedError) -> Iterator[str]:
        reason = refusal_reason(refused)
        is_about_request = _ABOUT_REQUEST.search(reason) and not _ABOUT_ACCESS.search(reason)
        if not (is_about_request or _NAMES_PAGE_SIZE.search(reason) or _WITHOUT_REASON.fullmatch(reason)):
            return
        stated = {int(found) for found in re.findall(r"(?<![\d.])\d{1,6}(?![\d.])", reason)}
        named = max((number for number in stated if 1 < number < int(size)), default=None)
        if named:
            yield str(named)
        if int(size) > _ONE_ROW and is_accepted(send, str(_ONE_ROW)):
            yield from (str(smaller) for smaller in _SMALLER_PAGES if smaller < int(size) and smaller != named)
            yield str(_ONE_ROW)

    return others


def other_time_forms(form: str, _: ApiRefusedError) -> Iterator[str]:
    """Yield the form of times that was not tried."""
    yield from (other for other in TIME_FORMS if other != form)


def is_accepted(send: Callable[[str], object], value: str) -> bool:
    """Whether a request is accepted in a form. Another error is raised, because it says nothing about the form."""
    try:
        send(value)
    except ApiRefusedError as error:
        if error.status not in MALFORMED_STATUSES:
            raise
        return False
    return True
