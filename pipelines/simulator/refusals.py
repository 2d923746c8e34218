"""Error responses: those of the operations, and configured refusals of a part of the API."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from http import HTTPStatus
from typing import Self

from pipelines.simulator.dialects import OPERATIONS

NAMED = re.compile(r"(?P<operation>[a-z-]+)(?:@(?P<what><?[^=@]+))?(?:=(?P<status>[45][0-9]{2}))?")
_DAY = re.compile(r"<?\d{4}-\d\d-\d\d")


class RefusedError(Exception):
    """An error response: HTTP status, the service's code and message; `outer`: code and message of the enclosing error."""

    def __init__(self, status: int, code: int, message: str, *, outer: tuple[int, str] | None = None) -> None:
        """Keep the parts of the response."""
        super().__init__(message)
        self.status, self.code, self.message, self.outer = status, code, message, outer


@dataclass(frozen=True, slots=True)
class Refusal:
    """A part of the API that is always refused: an operation, or its requests for one app, record or day."""

    operation: str
    status: int = 400
    app_id: str | None = None
    record_id: str | None = None
    """Of a livestream, session or meeting."""
    day: date | None = None
    """Requests whose range covers this day."""
    before: date | None = None
    """Requests whose range begins before this day, as if the API no longer had it."""
    message: str = "refused by the simulator, as configured"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `OPERATION[@DAY|@<DAY|@ID][=STATUS]`. The default status is 400, and 404 for a whole operation."""
        named = NAMED.fullmatch(text)
        if named is None:
            raise ValueError(
                f"a refusal is OPERATION, OPERATION@DAY, OPERATION@<DAY or OPERATION@ID, each with =STATUS, not {text!r}"
            )
        if named["operation"] not in OPERATIONS:
            raise ValueError(f"unknown operation {named['operation']!r}; known are {', '.join(OPERATIONS)}")
        what = named["what"] or ""
        status = int(named["status"] or (HTTPStatus.BAD_REQUEST if what else HTTPStatus.NOT_FOUND))
        if not _DAY.fullmatch(what):
            return cls(named["operation"], status, record_id=what or None)
        try:
            day = date.fromisoformat(what.removeprefix("<"))
        except ValueError as error:
            raise ValueError(f"{what!r} in the refusal {text!r} is not a day: {error}") from None
        return cls(named["operation"], status, **{"before" if what.startswith("<") else "day": day})  # type: ignore[arg-type]  # both are days

    def matches(self, operation: str, path: Mapping[str, str], query: Mapping[str, str]) -> bool:
        """Return whether the refusal applies to this request."""
        if operation != self.operation or self.app_id not in {None, path.get("app_id")}:
            return False
        if self.record_id is not None and self.record_id not in path.values():
            return False
        if self.day is None and self.before is None:
            return True
        first, last = _day(query, "start"), _day(query, "end")
        if self.before is not None and not (first and first < self.before):
            return False
        return self.day is None or bool(first and last and first <= self.day <= last)

    def to_error(self) -> RefusedError:
        """Return the error response."""
        return RefusedError(self.status, self.status, self.message)


def _day(query: Mapping[str, str], which: str) -> date | None:
    """Return the UTC day of `start_…` or `end_…` in any format; a range that ends at midnight ends on the day before."""
    try:
        if f"{which}_date" in query:
            return date.fromisoformat(query[f"{which}_date"])
        given = query.get(f"{which}_time", "")
        moment = datetime.fromtimestamp(int(given), UTC) if given.isdecimal() else datetime.fromisoformat(given)
    except (ValueError, OverflowError, OSError):
        return None
    ends_before = which == "end" and moment.time() == time()
    return (moment - timedelta(microseconds=1) if ends_before else moment).date()
