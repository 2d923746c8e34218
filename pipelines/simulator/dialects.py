"""What the service accepts and how it answers, by the vendor's specification of a year. Shapes of records: shapes.py."""

from dataclasses import dataclass
from typing import Literal

TimeFormat = Literal["unix", "iso", "both"]
OPERATIONS = (
    "list-livestreams",
    "get-livestream",
    "get-session",
    "get-active-session",
    "get-meeting-livestream",
    "get-overall-analytics",
    "get-daywise-analytics",
    "get-livestream-daywise-analytics",
    "create-livestream",
    "start-livestream",
    "stop-livestream",
)
"""The eleven of the vendor's specification, by the names of the command line."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One version of the service's interface. `replace` a field to serve another mixture."""

    times: TimeFormat = "unix"
    """Form of `start_time` and `end_time` of *overall* and *livestreams/daywise*: the other one is refused."""
    has_livestream_daywise: bool = True
    """Whether `GET …/analytics/livestreams/daywise` exists; 404 if not."""
    created_status: Literal[200, 201] = 201
    """Of create and start."""
    is_strict: bool = True
    """Bodies are checked: type and presence, the pattern of a name, no body of *stop* (415)."""
    meeting_shows_key: bool = False
    """Whether *active-livestream* of a meeting has `ingest_server` and `stream_key`."""
    invalid_status: Literal[400, 422] = 400
    """Of a parameter that is not valid."""
    per_page_maximum: int | None = None
    """A larger `per_page` is refused; None: it is capped silently."""


DIALECTS = {
    "today": Dialect(),
    "2025": Dialect(
        times="iso", has_livestream_daywise=False, created_status=200, is_strict=False, meeting_shows_key=True
    ),
}
"""today: the vendor's OpenAPI document of August 2026 · 2025: the document that livehouse began with."""
TODAY, YEAR_2025 = DIALECTS["today"], DIALECTS["2025"]
