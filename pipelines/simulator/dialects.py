"""Accepted requests and response statuses, by the year of the vendor's specification. Record shapes: response_shapes.py."""

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
"""The eleven operations of the vendor's specification, by their names in the command line."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One version of the service's interface. Use `dataclasses.replace` for another combination."""

    times: TimeFormat = "unix"
    """Accepted format of `start_time` and `end_time` in *overall* and *livestreams/daywise*."""
    has_livestream_daywise: bool = True
    """Whether `GET …/analytics/livestreams/daywise` exists; 404 if not."""
    created_status: Literal[200, 201] = 201
    """Status of create and start."""
    is_strict: bool = True
    """Whether bodies are validated: type, presence, name pattern, and no body for *stop* (415)."""
    meeting_shows_key: bool = False
    """Whether the livestream of a meeting has `ingest_server` and `stream_key`."""
    invalid_status: Literal[400, 422] = 400
    """Status of an invalid parameter."""
    per_page_maximum: int | None = None
    """A larger `per_page` is refused; None caps it silently."""


DIALECTS = {
    "today": Dialect(),
    "2025": Dialect(
        times="iso", has_livestream_daywise=False, created_status=200, is_strict=False, meeting_shows_key=True
    ),
}
"""today: the vendor's OpenAPI document of August 2026 · 2025: the document of the first version of livehouse."""
TODAY, YEAR_2025 = DIALECTS["today"], DIALECTS["2025"]
