"""Reads a list page by page and decides when it is complete. Knows neither requests nor the content of records.

Rows move while pages are read: a row inserted or removed shifts all that follow, so a row can be missed. A list is complete
when as many distinct ids were read as the API counts, or when a page is empty. It never ends on a short page, because
servers cap the page size silently. Nor on a full page: some servers count the rows of the page, others count only up to a
cap. So when a full page reaches the count, the next page must confirm the end.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus

from pipelines.errors import ApiRefusedError, IncompleteListError
from pipelines.extract.parsers import JsonRecord, Page
from pipelines.extract.responses import MALFORMED_STATUSES, refusal_reason

MAX_PASSES = 4
"""Passes over a list before it is an error."""

MAX_PAGES = 10_000
"""Limit for an endless list: a million rows at 100 per page."""

_PAST_THE_END = (HTTPStatus.NOT_FOUND, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)

_ABOUT_PAGE = re.compile(r"page|offset|range", re.IGNORECASE)
_ABOUT_DEPTH = re.compile(r"window|deep|10,?000", re.IGNORECASE)

_CAP_MULTIPLE = 500
"""Services that cap lists stop at a multiple of this: 500, 1,000, 10,000 rows."""

_SPARE_PAGES = 10
"""Pages with few new rows that are tolerated beyond those that the first count implies."""

_PAGES_WITHOUT_COUNT = 200
"""The same limit for lists without a count."""

_MIN_FULL_PAGE = 10
"""Rows. A smaller page is full only if no more were requested."""


@dataclass
class _Pass:
    """One pass over the list. `seen`: its distinct ids."""

    seen: set[str] = field(default_factory=set)
    shrank: bool = False
    fault: str = ""
    _count: int | None = None
    _first_count: int | None = None
    _counts_pages: bool = True
    _sizes: list[int] = field(default_factory=list)
    _last_ids: set[str] = field(default_factory=set)
    _repeats: int = 0
    _pages_with_few_new: int = 0

    @property
    def total(self) -> int | None:
        """Rows that the API counts; None if it does not count, or counts the rows of each page."""
        return None if self._counts_pages and len(self._sizes) > 1 else self._count

    def add_page(self, page: Page, page_no: int, identify: Callable[[JsonRecord], str]) -> bool:
        """Add a page. Returns whether the pass ends with it."""
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
            return self._add_repeated_page(ids, page_no)
        if self._repeats:
            self.fault = f"page {page_no - 1} repeats earlier rows"
            return True
        if len(ids - self.seen) < self._full_rows(page):
            self._pages_with_few_new += 1
        self.seen |= ids
        self._last_ids = ids
        # A count below the rows seen is wrong: only an empty page can end this pass.
        return len(self.seen) == self.total and not self._is_full(page)

    def add_refusal(self, page_no: int) -> bool:
        """Add that a page is not found. Returns whether the pass ends with it; if not, it is an error of the API."""
        if self.total is not None and len(self.seen) < self.total:
            self.fault = f"page {page_no} is not found"
            return True
        largest = max(self._sizes, default=0)
        return len(self.seen) == self.total or min(self._sizes[:-1], default=largest) >= largest

    def may_be_cut(self) -> bool:
        """Whether the API may cap the list here: it does not count rows, and the last page was full."""
        is_full = bool(self._sizes) and self._sizes[-1] >= max(self._sizes)
        return self.total is None and is_full and len(self.seen) % _CAP_MULTIPLE == 0

    def is_confirmed_by(self, error: ApiRefusedError) -> bool:
        """Whether the API refuses the page after the last one as malformed, which confirms the end.

        "Invalid page" ends a list of exactly a hundred rows; "Result window is too large" means that the count is capped.
        """
        reason = refusal_reason(error)
        is_about_end = _ABOUT_PAGE.search(reason) and not _ABOUT_DEPTH.search(reason)
        return error.status in MALFORMED_STATUSES and len(self.seen) == self.total and bool(is_about_end)

    def is_endless(self) -> bool:
        """Whether more pages had few new rows than the first count implies."""
        if self._first_count is None:
            return self._pages_with_few_new > _PAGES_WITHOUT_COUNT
        plausible = -(-self._first_count // max(self._sizes, default=1))
        return self._pages_with_few_new > 2 * plausible + _SPARE_PAGES

    def _full_rows(self, page: Page) -> int:
        largest = max(_MIN_FULL_PAGE, *self._sizes)
        return largest if page.full_rows is None else min(largest, page.full_rows)

    def _is_full(self, page: Page) -> bool:
        """Whether a page is as large as requested, or as the largest before it."""
        rows = len(page.records)
        return rows >= max(self._sizes[:-1], default=rows + 1) or rows >= (page.full_rows or rows + 1)

    def _add_repeated_page(self, ids: set[str], page_no: int) -> bool:
        """Add a page without new rows: some servers repeat the last page past the end."""
        if len(self.seen) == self.total:
            return True
        is_uncounted = self.total is None or len(self.seen) > self.total
        if is_uncounted and len(self._sizes) > 1 and ids == self._last_ids:
            self._repeats += 1
            # A full page may be repeated by mistake, and the next one may hold the rows it replaced.
            return self._repeats > 1 or self._sizes[-1] < max(self._sizes)
        self.fault = f"page {page_no} repeats earlier rows"
        return True


def read_all(
    what: str,
    fetch_page: Callable[[int], Page],
    identify: Callable[[JsonRecord], str],
    *,
    max_pages: int = MAX_PAGES,
) -> Iterator[list[JsonRecord]]:
    """Yield the records of a list page by page as received, repeated ones included.

    `what` names the list in errors; `identify` returns the key of a record. Raises `IncompleteListError` if `MAX_PASSES`
    passes did not read the whole list, and the errors of `fetch_page`.
    """
    known: set[str] = set()
    for _ in range(MAX_PASSES):
        one_pass = _Pass()
        for page_no in range(1, max_pages + 1):
            try:
                page = fetch_page(page_no)
            except ApiRefusedError as error:
                if page_no > 1 and error.status in _PAST_THE_END and one_pass.may_be_cut():
                    raise _cut(what, page_no, one_pass) from error
                if page_no > 1 and error.status in _PAST_THE_END and one_pass.add_refusal(page_no):
                    break
                if one_pass.is_confirmed_by(error):
                    break
                raise
            yield page.records
            if one_pass.add_page(page, page_no, identify):
                break
            if one_pass.is_endless():
                raise _endless(what, page_no, one_pass)
        else:
            raise _endless(what, max_pages, one_pass)
        # Rows were removed during the pass, so the count does not reveal missed rows: start again.
        known = one_pass.seen if one_pass.shrank else known | one_pass.seen
        if not one_pass.fault and not one_pass.shrank and len(known) >= (one_pass.total or 0):
            return
    reason = one_pass.fault or f"{len(known)} distinct rows of {one_pass.total} the API counts"
    raise IncompleteListError(f"{what}: not complete after {MAX_PASSES} passes: {reason}; try again later")


def _cut(what: str, page_no: int, one_pass: _Pass) -> IncompleteListError:
    rows = f"{len(one_pass.seen):,} rows, a usual cap of lists, and the API gives no count"
    return IncompleteListError(f"{what}: not known to be complete: page {page_no} is not found after {rows}")


def _endless(what: str, pages: int, one_pass: _Pass) -> IncompleteListError:
    return IncompleteListError(f"{what}: no end after {pages} pages, {len(one_pass.seen)} distinct rows")
