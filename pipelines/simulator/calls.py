"""One request as the operations see it, and one reply before it goes on the wire."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TypeVar

from pipelines.simulator.records import to_ms
from pipelines.simulator.render import Object, Page, Renderer
from pipelines.simulator.shapes import Shapes
from pipelines.simulator.world import World

Row = TypeVar("Row")

OPERATIONS = (
    "list-livestreams",
    "get-livestream",
    "get-session",
    "get-active-session",
    "get-meeting-livestream",
    "get-overall-analytics",
    "get-daywise-analytics",
    "create-livestream",
    "start-livestream",
    "stop-livestream",
)
"""The ten of the document, by the names of the command line."""

DEFAULT_PAGE_SIZE = 20
MILLISECONDS_FROM = 100_000_000_000
"""A time in digits from here on is in milliseconds, below it in seconds."""


class RefusedError(Exception):
    """The service says no: HTTP status, its own code, its words."""

    def __init__(self, status: int, code: int, message: str) -> None:
        """Keep the three for the reply."""
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply: a document (sent as JSON) or, for pages of HTML, text."""

    document: Object
    status: int = 200
    html: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that passed the gate."""

    operation: str
    world: World
    shapes: Shapes
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Mapping[str, object]
    per_page_cap: int
    order_by: str = "created_at"
    kept: float = 1.0
    """The part of a list that the service still remembers."""

    @property
    def app_id(self) -> str:
        """The app it is about."""
        return self.path["app_id"]

    @property
    def render(self) -> Renderer:
        """The world in this call's shapes."""
        return Renderer(self.world, self.shapes)

    def moment(self, name: str, otherwise: int) -> int:
        """Return a time of the query in milliseconds: given as ISO 8601, Unix seconds or milliseconds."""
        given = self.query.get(name)
        if given is None:
            return otherwise
        try:
            if given.lstrip("-").isdecimal():
                number = int(given)
                return number if abs(number) >= MILLISECONDS_FROM else number * 1000
            return to_ms(datetime.fromisoformat(given))
        except ValueError:
            raise RefusedError(400, 10_006, f"{name} must be a time in ISO format, not {given!r}") from None

    def day(self, name: str, otherwise: date) -> date:
        """Return a day of the query, `YYYY-MM-DD`."""
        given = self.query.get(name)
        if given is None:
            return otherwise
        try:
            return datetime.strptime(given, "%Y-%m-%d").replace(tzinfo=UTC).date()
        except ValueError:
            raise RefusedError(400, 10_006, f"{name} must be YYYY-MM-DD, not {given!r}") from None

    def number(self, name: str, otherwise: int) -> int:
        """Return a whole number of the query, 1 or more."""
        given = self.query.get(name, str(otherwise))
        if not given.isdecimal() or int(given) < 1:
            raise RefusedError(400, 10_006, f"{name} must be a whole number from 1 on, not {given!r}")
        return int(given)

    def choice(self, name: str, choices: Sequence[str]) -> str | None:
        """One of several words of the query, or None where it is not given."""
        given = self.query.get(name)
        if given is not None and given not in choices:
            raise RefusedError(400, 10_006, f"{name} must be one of {', '.join(choices)}, not {given!r}")
        return given

    def page(self, rows: Sequence[Row], *, single: bool) -> Page[Row]:
        """Return the page asked for, of at most the cap; `single`: the shape has room for one row only."""
        rows = rows[: math.ceil(len(rows) * self.kept)]
        size = 1 if single else min(self.number("per_page", DEFAULT_PAGE_SIZE), self.per_page_cap)
        skipped = (self.number("page_no", 1) - 1) * size
        return Page(rows[skipped : skipped + size], skipped, len(rows))


def days_ago(now: datetime, days: int) -> date:
    """Return the UTC day so many days before now."""
    return (now - timedelta(days=days)).date()


def error_reply(shapes: Shapes, refused: RefusedError) -> Reply:
    """Return a refusal in the error shape asked for."""
    told: Object = {"code": refused.code, "message": refused.message}
    if shapes.errors == "html":
        page = f"<!DOCTYPE html><html><body><h1>{refused.status}</h1><p>{refused.message}</p></body></html>"
        return Reply({}, refused.status, html=page)
    if shapes.errors == "error":
        return Reply({"success": False, "error": told}, refused.status)
    return Reply({"success": False, "errors": [told], "messages": [], "result": None}, refused.status)
