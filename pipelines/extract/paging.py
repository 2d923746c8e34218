"""When is a list complete? Fetching a page is somebody else's work; so is what is in a record.

Rows move while pages are read: one inserted or removed shifts all that follow, so a row can be passed by
unseen. A list counts as complete when as many distinct ids are in hand as the API says there are, or when a
page is empty. Never on a short page: servers cap the page size silently. Nor on a full page: some servers count the
rows of the page, others count no further than a cap, so when a full page reaches the count, the next page must confirm
that nothing follows.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus

from pipelines.errors import ApiRefusedError, IncompleteListError
from pipelines.extract.parsers import Page, Record

MAX_READINGS = 4
"""A list is read again from the start at most so often before it is an error."""

MAX_PAGES = 10_000
"""An endless list ends here: a million rows at 100 a page."""

_PAST_THE_END = (HTTPStatus.NOT_FOUND, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)

_MALFORMED = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
_ABOUT_PAGE = re.compile(r"page|offset|range", re.IGNORECASE)
_ABOUT_DEPTH = re.compile(r"window|deep|10,?000", re.IGNORECASE)

_ROWS_OF_A_CAP = 500
"""Services that list no further than so far stop at a multiple of this: 500, 1,000, 10,000 rows."""

_SPARE_PAGES = 10
"""Pages that may bring little beyond those that the first count makes plausible."""

_PAGES_WITHOUT_COUNT = 200
"""As many where the API does not count."""

_LEAST_PAGE = 10
"""A page of fewer rows is full only if no more were requested."""


@dataclass
class _Reading:
    """One reading from the first page on. `seen` are its distinct ids."""

    seen: set[str] = field(default_factory=set)
    shrank: bool = False
    fault: str = ""
    _count: int | None = None
    _first_count: int | None = None
    _counts_pages: bool = True
    _sizes: list[int] = field(default_factory=list)
    _last_ids: set[str] = field(default_factory=set)
    _repeats: int = 0
    _pages_with_little: int = 0

    @property
    def total(self) -> int | None:
        """How many rows the API counts; None where it does not, or counts those of each page."""
        return None if self._counts_pages and len(self._sizes) > 1 else self._count

    def take(self, page: Page, page_no: int, identify: Callable[[Record], str]) -> bool:
        """Take a page in; whether the reading ends with it."""
        ids = {identify(record) for record in page.records}
        if ids and not ids <= self.seen:
            self._counts_pages &= page.total_count == len(page.records)
            self._sizes.append(len(page.records))
        is_of_page = self._counts_pages and page.total_count == len(page.records)
        if page.total_count is not None and (ids or not is_of_page or not self._sizes):
            self.shrank |= self.total is not None and self._count is not None and page.total_count < self._count
            self._count = page.total_count
            self._first_count = self._first_count or page.total_count
        if not ids:
            return True
        if ids <= self.seen:
            return self._take_repetition(ids, page_no)
        if self._repeats:
            self.fault = f"page {page_no - 1} repeats what came before"
            return True
        if len(ids - self.seen) < self._full_rows(page):
            self._pages_with_little += 1
        self.seen |= ids
        self._last_ids = ids
        # A total below what was seen is wrong, so only the end itself can end this reading.
        return len(self.seen) == self.total and not self._is_full(page)

    def take_refusal(self, page_no: int) -> bool:
        """Take in that the API knows no such page; whether the reading ends with it. Else it is the API's error."""
        if self.total is not None and len(self.seen) < self.total:
            self.fault = f"page {page_no} is not found"
            return True
        largest = max(self._sizes, default=0)
        return len(self.seen) == self.total or min(self._sizes[:-1], default=largest) >= largest

    def may_be_cut(self) -> bool:
        """Whether the API may list no further than so many rows: it does not count them, and the last page was full."""
        is_full = bool(self._sizes) and self._sizes[-1] >= max(self._sizes)
        return self.total is None and is_full and len(self.seen) % _ROWS_OF_A_CAP == 0

    def is_confirmed_by(self, error: ApiRefusedError) -> bool:
        """Whether the API calls the page malformed that follows the one with which the count was reached.

        "Invalid page" ends a list of exactly a hundred rows; "Result window is too large" says that the count is capped.
        """
        reason = str(error).partition(f": {error.status}: ")[2]  # what comes before holds ids
        is_about_end = _ABOUT_PAGE.search(reason) and not _ABOUT_DEPTH.search(reason)
        return error.status in _MALFORMED and len(self.seen) == self.total and bool(is_about_end)

    def is_endless(self) -> bool:
        """Whether more pages brought little than the first count makes plausible."""
        if self._first_count is None:
            return self._pages_with_little > _PAGES_WITHOUT_COUNT
        plausible = -(-self._first_count // max(self._sizes, default=1))
        return self._pages_with_little > 2 * plausible + _SPARE_PAGES

    def _full_rows(self, page: Page) -> int:
        largest = max(_LEAST_PAGE, *self._sizes)
        return largest if page.full_rows is None else min(largest, page.full_rows)

    def _is_full(self, page: Page) -> bool:
        """Whether a page is as large as it can be: as requested, or as the largest before it."""
        rows = len(page.records)
        return rows >= max(self._sizes[:-1], default=rows + 1) or rows >= (page.full_rows or rows + 1)

    def _take_repetition(self, ids: set[str], page_no: int) -> bool:
        """Take in a page that brings nothing new: past the end some servers give the last page again."""
        if len(self.seen) == self.total:
            return True
        is_uncounted = self.total is None or len(self.seen) > self.total
        if is_uncounted and len(self._sizes) > 1 and ids == self._last_ids:
            self._repeats += 1
            # A full page may be repeated by mistake, and the next one be what was left out.
            return self._repeats > 1 or self._sizes[-1] < max(self._sizes)
        self.fault = f"page {page_no} repeats what came before"
        return True


def read_all(
    what: str,
    fetch_page: Callable[[int], Page],
    identify: Callable[[Record], str],
    *,
    max_pages: int = MAX_PAGES,
) -> Iterator[list[Record]]:
    """Every record of a list, page by page as received, repeated ones included.

    Raises `IncompleteListError` when the list could not be read whole in `READINGS` readings.
    """
    known: set[str] = set()
    for _ in range(MAX_READINGS):
        reading = _Reading()
        for page_no in range(1, max_pages + 1):
            try:
                page = fetch_page(page_no)
            except ApiRefusedError as error:
                if page_no > 1 and error.status in _PAST_THE_END and reading.may_be_cut():
                    raise _cut(what, page_no, reading) from error
                if page_no > 1 and error.status in _PAST_THE_END and reading.take_refusal(page_no):
                    break
                if reading.is_confirmed_by(error):
                    break
                raise
            yield page.records
            if reading.take(page, page_no, identify):
                break
            if reading.is_endless():
                raise _endless(what, page_no, reading)
        else:
            raise _endless(what, max_pages, reading)
        # Rows were removed while reading: what was passed by unseen is not told by the count. Count anew.
        known = reading.seen if reading.shrank else known | reading.seen
        if not reading.fault and not reading.shrank and len(known) >= (reading.total or 0):
            return
    reason = reading.fault or f"{len(known)} distinct rows of {reading.total} the API counts"
    raise IncompleteListError(f"{what}: not complete after {MAX_READINGS} readings: {reason}; try again later")


def _cut(what: str, page_no: int, reading: _Reading) -> IncompleteListError:
    rows = f"{len(reading.seen):,} rows, as where the API lists no further, and it does not say how many there are"
    return IncompleteListError(f"{what}: not known to be complete: page {page_no} is not found after {rows}")


def _endless(what: str, pages: int, reading: _Reading) -> IncompleteListError:
    return IncompleteListError(f"{what}: no end after {pages} pages, {len(reading.seen)} distinct rows")
