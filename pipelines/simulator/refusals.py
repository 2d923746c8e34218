"""The service says no, of itself or because a part of it was told to."""

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
    """HTTP status, the service's own code, its words; `outer`: code and words of the error that this one caused."""

    def __init__(self, status: int, code: int, message: str, *, outer: tuple[int, str] | None = None) -> None:
        """Keep them for the reply."""
        super().__init__(message)
        self.status, self.code, self.message, self.outer = status, code, message, outer


@dataclass(frozen=True, slots=True)
class Refusal:
    """A part that is always refused: an operation, or what it says of one app, record or day."""

    operation: str
    status: int = 400
    app_id: str | None = None
    record_id: str | None = None
    """Of a livestream, session or meeting."""
    day: date | None = None
    """Requests whose range covers this day."""
    before: date | None = None
    """Requests whose range begins before this day, as a source does that no longer knows it."""
    message: str = "refused by the simulator, as it was told to"

    @classmethod
    def parse(cls, text: str) -> Self:
        """`OPERATION[@DAY|@<DAY|@ID][=STATUS]`; 400 unless told, 404 where a whole operation is refused."""
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
            raise ValueError(f"{what!r} of the refusal {text!r} is no day: {error}") from None
        return cls(named["operation"], status, **{"before" if what.startswith("<") else "day": day})  # type: ignore[arg-type]  # both are days

    def matches(self, operation: str, path: Mapping[str, str], query: Mapping[str, str]) -> bool:
        """Whether it is meant for this request."""
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
        """Return the refusal as the service words it."""
        return RefusedError(self.status, self.status, self.message)


def _day(query: Mapping[str, str], which: str) -> date | None:
    """Return the UTC day of `start_…` or `end_…`, in whatever form; a time that ends a range at midnight ends the day before."""
    try:
        if f"{which}_date" in query:
            return date.fromisoformat(query[f"{which}_date"])
        given = query.get(f"{which}_time", "")
        moment = datetime.fromtimestamp(int(given), UTC) if given.isdecimal() else datetime.fromisoformat(given)
    except (ValueError, OverflowError, OSError):
        return None
    ends_before = which == "end" and moment.time() == time()
    return (moment - timedelta(microseconds=1) if ends_before else moment).date()
