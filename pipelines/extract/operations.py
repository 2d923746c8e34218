"""The ten operations of the API document, one function each: a path, its parameters, the reply.

What a reply means is read in `shapes.py`; which operations a night needs is decided in `sync.py`.
"""

from datetime import date
from typing import Any
from urllib.parse import quote

from pipelines.extract.client import ApiClient

PER_PAGE = 100
"""Asked for; the largest is undocumented, so a page's size is what comes back."""

Reply = dict[str, Any]


def _segment(identifier: str) -> str:
    """Make an identifier one path segment. `.` and `..` would be taken as directions, so dots go encoded."""
    encoded = quote(identifier, safe="")
    return encoded.replace(".", "%2E") if set(identifier) == {"."} else encoded


def _path(client: ApiClient, app_id: str, *rest: str) -> str:
    segments = ("accounts", client.account_id, "realtime", "kit", app_id, *rest)
    return "".join(f"/{_segment(segment)}" for segment in segments)


def list_livestreams(
    client: ApiClient, app_id: str, *, page_no: int = 1, per_page: int = PER_PAGE, status: str | None = None
) -> Reply:
    """List a page of livestreams. Oldest first, so that new ones do not shift the pages behind them."""
    params: dict[str, str | int] = {"page_no": page_no, "per_page": per_page, "sort_order": "ASC"}
    return client.get(_path(client, app_id, "livestreams"), params | ({"status": status} if status else {}))


def get_livestream(
    client: ApiClient, app_id: str, livestream_id: str, *, page_no: int = 1, per_page: int = PER_PAGE
) -> Reply:
    """Ask for a livestream with a page of its sessions."""
    path = _path(client, app_id, "livestreams", livestream_id)
    return client.get(path, {"page_no": page_no, "per_page": per_page})


def get_session(client: ApiClient, app_id: str, session_id: str) -> Reply:
    """One session."""
    return client.get(_path(client, app_id, "livestreams", "sessions", session_id), {})


def get_active_session(client: ApiClient, app_id: str, livestream_id: str) -> Reply:
    """Ask for the session of a livestream that is on air now; `NotFoundError` when none is."""
    return client.get(_path(client, app_id, "livestreams", livestream_id, "active-livestream-session"), {})


def get_meeting_livestream(client: ApiClient, app_id: str, meeting_id: str) -> Reply:
    """Ask for the livestream of a meeting that is on air now; `NotFoundError` when none is."""
    return client.get(_path(client, app_id, "meetings", meeting_id, "active-livestream"), {})


def get_overall_analytics(client: ApiClient, app_id: str, first_day: date, last_day: date) -> Reply:
    """Totals over all livestreams from the first moment of `first_day` to the last of `last_day`, UTC."""
    path = _path(client, app_id, "analytics", "livestreams", "overall")
    return client.get(path, {"start_time": f"{first_day}T00:00:00.000Z", "end_time": f"{last_day}T23:59:59.999Z"})


def get_daywise_analytics(client: ApiClient, app_id: str, first_day: date, last_day: date) -> Reply:
    """Meeting sessions and recordings day by day. Both dates always: without, the API takes 30 days."""
    path = _path(client, app_id, "analytics", "daywise")
    return client.get(path, {"start_date": f"{first_day}", "end_date": f"{last_day}"})


def create_livestream(client: ApiClient, app_id: str, name: str | None) -> Reply:
    """Create an independent livestream. The reply holds its stream key."""
    return client.post(_path(client, app_id, "livestreams"), {} if name is None else {"name": name})


def start_livestream(client: ApiClient, app_id: str, meeting_id: str, name: str | None) -> Reply:
    """Start streaming a meeting. The reply holds its stream key."""
    path = _path(client, app_id, "meetings", meeting_id, "livestreams")
    return client.post(path, {} if name is None else {"name": name})


def stop_livestream(client: ApiClient, app_id: str, meeting_id: str) -> Reply:
    """Stop streaming a meeting."""
    return client.post(_path(client, app_id, "meetings", meeting_id, "active-livestream", "stop"), {})
