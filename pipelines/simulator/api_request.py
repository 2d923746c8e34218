"""One request as the operations see it, and one response before it is serialized."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from html import escape
from http import HTTPStatus
from typing import TypeVar

from pipelines.simulator.dialects import Dialect, TimeFormat
from pipelines.simulator.records import to_ms
from pipelines.simulator.refusals import RefusedError
from pipelines.simulator.render import JsonObject, Page, Renderer
from pipelines.simulator.response_shapes import ResponseShapes
from pipelines.simulator.world import World

Row = TypeVar("Row")

DEFAULT_PAGE_SIZE = 20
LAST_MS = to_ms(datetime(9999, 12, 31, tzinfo=UTC))
"""Python has no day after a later time."""
MAX_RANGE = timedelta(days=3_660)
"""For responses with an entry per day: ten years are half a megabyte."""
_QUOTED = 60
_WHOLE = re.compile(r"-?[0-9]{1,40}")


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A response: a document that is sent as JSON, or an HTML page."""

    document: JsonObject
    status: int = 200
    html: str | None = None
    media_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request that passed the access checks."""

    operation: str
    world: World
    shapes: ResponseShapes
    dialect: Dialect
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, object]
    per_page_cap: int
    order_by: str = "created_at"
    visible_fraction: float = 1.0
    """The share of a list that the service still returns."""

    @property
    def app_id(self) -> str:
        """The app in the path."""
        return self.path["app_id"]

    @property
    def renderer(self) -> Renderer:
        """The world in the response shapes of this request."""
        return Renderer(self.world, self.shapes, shows_key=self.dialect.meeting_shows_key)

    def time_param(self, name: str, default: int, times: TimeFormat) -> int:
        """Return a time parameter in milliseconds, given as Unix seconds or in ISO 8601.

        An `end_time` in Unix seconds includes the whole of its second.
        """
        given = self.query.get(name)
        if given is None:
            return default
        try:
            if _WHOLE.fullmatch(given):
                ms = int(given) * 1000 + (999 if name == "end_time" else 0) if times != "iso" else None
            else:
                ms = to_ms(datetime.fromisoformat(given)) if times != "unix" else None
        except ValueError:
            ms = None
        if ms is None:
            expected = {"unix": "an integer (Unix seconds)", "iso": "a time in ISO format", "both": "a time"}[times]
            raise self.invalid_param(name, expected, given)
        if not 0 <= ms < LAST_MS:
            raise self.invalid_param(name, "a time between the years 1970 and 9999", given)
        return ms

    def day_param(self, name: str, default: date) -> date:
        """Return a day parameter, `YYYY-MM-DD`."""
        given = self.query.get(name)
        if given is None:
            return default
        try:
            return datetime.strptime(given, "%Y-%m-%d").replace(tzinfo=UTC).date()
        except ValueError:
            raise self.invalid_param(name, "YYYY-MM-DD", given) from None

    def int_param(self, name: str, default: int) -> int:
        """Return a parameter that is a whole number from 1 on."""
        given = self.query.get(name, str(default))
        if not _WHOLE.fullmatch(given) or int(given) < 1:
            raise self.invalid_param(name, "a whole number from 1 on", given)
        return int(given)

    def enum_param(self, name: str, choices: Sequence[str]) -> str | None:
        """Return a parameter that takes one of several values, or None if it is absent."""
        given = self.query.get(name)
        if given is not None and given not in choices:
            raise self.invalid_param(name, f"one of {', '.join(choices)}", given)
        return given

    def paginate(self, rows: Sequence[Row], *, single: bool) -> Page[Row]:
        """Return the requested page, limited to the cap; `single`: the response shape has one row per page."""
        rows = rows[: math.ceil(len(rows) * self.visible_fraction)]
        requested, maximum = self.int_param("per_page", DEFAULT_PAGE_SIZE), self.dialect.per_page_maximum
        if maximum is not None and requested > maximum:
            outer = (6_008, "Invalid request parameters")
            raise RefusedError(400, 11_000, f"per_page must be between 1 and {maximum}", outer=outer)
        size = 1 if single else min(requested, self.per_page_cap)
        skipped = (self.int_param("page_no", 1) - 1) * size
        return Page(rows[skipped : skipped + size], skipped, len(rows))

    def check_range_length(self, first: date, last: date) -> None:
        """Raise `RefusedError` if a range with an entry per day is too long."""
        if last - first > MAX_RANGE:
            raise RefusedError(self.dialect.invalid_status, 10_006, f"a range has at most {MAX_RANGE.days} days")

    def invalid_param(self, name: str, expected: str, given: str) -> RefusedError:
        """Return the error of an invalid parameter."""
        quoted = given if len(given) <= _QUOTED else given[:_QUOTED] + "…"
        return RefusedError(self.dialect.invalid_status, 10_006, f"{name} must be {expected}, not {quoted!r}")


def days_before(now: datetime, days: int) -> date:
    """Return the UTC day that many days before now."""
    return (now - timedelta(days=days)).date()


def error_response(shapes: ResponseShapes, refused: RefusedError) -> ApiResponse:
    """Return an error in the configured shape."""
    error: JsonObject = {"code": refused.code, "message": refused.message}
    if shapes.errors == "html":
        page = f"<!DOCTYPE html><html><body><h1>{refused.status}</h1><p>{escape(refused.message)}</p></body></html>"
        return ApiResponse({}, refused.status, html=page)
    if shapes.errors == "problem":
        title = HTTPStatus(refused.status).phrase if refused.outer is None else refused.outer[1]
        problem: JsonObject = {
            "type": "about:blank",
            "title": title,
            "status": refused.status,
            "detail": refused.message,
        }
        return ApiResponse(problem, refused.status, media_type="application/problem+json")
    outer = refused.outer
    if outer is None and shapes.errors == "chain":
        outer = (
            (6_003, "Invalid request headers")
            if refused.status == HTTPStatus.UNAUTHORIZED
            else (6_008, "Invalid request")
        )
    if outer is not None:
        error = {"code": outer[0], "message": outer[1], "error_chain": [error]}
    if shapes.errors == "error":
        return ApiResponse({"success": False, "error": error}, refused.status)
    return ApiResponse({"success": False, "errors": [error], "messages": [], "result": None}, refused.status)
