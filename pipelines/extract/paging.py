"""When is a list complete? Fetching a page is somebody else's work; so is what is in a record.

Rows move while pages are read: one inserted or removed shifts all that follow, so a row can be passed by
unseen. A list counts as complete when as many distinct ids are in hand as the API says there are, or when a
page is empty. Never on a short page: servers cap the page size silently.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pipelines.errors import IncompleteListError
from pipelines.extract.shapes import Page, Record

READINGS = 4
"""A list is read again from the start at most so often before it is an error."""

MAX_PAGES = 10_000
"""An endless list ends here: a million rows at 100 a page."""


@dataclass
class _Reading:
    """One reading from the first page on. `seen` are its distinct ids."""

    seen: set[str] = field(default_factory=set)
    total: int | None = None
    shrank: bool = False
    fault: str = ""

    def take(self, page: Page, page_no: int, identify: Callable[[Record], str]) -> bool:
        """Take a page in; whether the reading ends with it."""
        if page.total_count is not None:
            self.shrank |= self.total is not None and page.total_count < self.total
            self.total = page.total_count
        ids = {identify(record) for record in page.records}
        if not ids:
            return True
        if ids <= self.seen:
            self.fault = f"page {page_no} repeats what came before"
            return True
        self.seen |= ids
        # A total below what was seen is wrong, so only an empty page can end this reading.
        return len(self.seen) == self.total


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
    for _ in range(READINGS):
        reading = _Reading()
        for page_no in range(1, max_pages + 1):
            page = fetch_page(page_no)
            yield page.records
            if reading.take(page, page_no, identify):
                break
        else:
            raise IncompleteListError(f"{what}: no end after {max_pages} pages, {len(reading.seen)} distinct rows")
        # Rows were removed while reading: what was passed by unseen is not told by the count. Count anew.
        known = reading.seen if reading.shrank else known | reading.seen
        if not reading.fault and not reading.shrank and len(known) >= (reading.total or 0):
            return
    reason = reading.fault or f"{len(known)} distinct rows of {reading.total} the API counts"
    raise IncompleteListError(f"{what}: not complete after {READINGS} readings: {reason}; try again later")
