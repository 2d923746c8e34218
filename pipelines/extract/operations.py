"""The eleven operations of the API, one function each: path, parameters, JSON object of the reply.

`parsers.py` reads the replies; `selection.py` decides which requests a run needs.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any
from urllib.parse import quote

from pipelines.clock import yesterday
from pipelines.errors import ApiRefusedError
from pipelines.extract.client import ApiClient
from pipelines.extract.dialect import (
    DEFAULT_PER_PAGE,
    PAGE_SIZE,
    TIME_FORM,
    UNIX_SECONDS,
    DialectKey,
    is_accepted,
    other_time_forms,
    smaller_page_sizes,
    time_range,
)

LIST_LIVESTREAMS, GET_LIVESTREAM = "list-livestreams", "get-livestream"
GET_OVERALL, GET_LIVESTREAM_DAYWISE = "get-overall-analytics", "get-livestream-daywise-analytics"
"""Operations with a noted dialect, by their name on the command line."""

Reply = dict[str, Any]


def _encode_segment(identifier: str) -> str:
    """Encode an identifier as one path segment, including `.` and `..`, which would change the path."""
    encoded = quote(identifier, safe="")
    return encoded.replace(".", "%2E") if set(identifier) == {"."} else encoded


def _path(client: ApiClient, app_id: str, *rest: str) -> str:
    segments = ("accounts", client.account_id, "realtime", "kit", app_id, *rest)
    return "".join(f"/{_encode_segment(segment)}" for segment in segments)


def list_livestreams(
    client: ApiClient, app_id: str, *, page_no: int = 1, per_page: int | None = None, status: str | None = None
) -> Reply:
    """Fetch a page of livestreams, oldest first, so that new ones do not shift the pages behind them.

    `per_page`: if None, the largest page that the service accepts, as in `get_livestream`.
    """
    path = _path(client, app_id, "livestreams")
    params = {"sort_order": "ASC"} | ({"status": status} if status else {})
    return _get_page(client, app_id, LIST_LIVESTREAMS, path, params, page_no, per_page)


def get_livestream(
    client: ApiClient, app_id: str, livestream_id: str, *, page_no: int = 1, per_page: int | None = None
) -> Reply:
    """Fetch a livestream with a page of its sessions."""
    path = _path(client, app_id, "livestreams", livestream_id)
    return _get_page(client, app_id, GET_LIVESTREAM, path, {}, page_no, per_page)


def _get_page(
    client: ApiClient,
    app_id: str,
    operation: str,
    path: str,
    params: dict[str, str],
    page_no: int,
    per_page: int | None,
) -> Reply:
    def send(size: str) -> Reply:
        return client.get(path, {"page_no": page_no, "per_page": int(size), **params}, app_id=app_id)

    if per_page is not None:
        return send(str(per_page))
    key = DialectKey(app_id, operation, PAGE_SIZE)
    return client.dialect.send_with_fallback(key, str(DEFAULT_PER_PAGE), send, smaller_page_sizes(send))


def get_session(client: ApiClient, app_id: str, session_id: str) -> Reply:
    """Fetch one session."""
    return client.get(_path(client, app_id, "livestreams", "sessions", session_id), {}, app_id=app_id)


def get_active_session(client: ApiClient, app_id: str, livestream_id: str) -> Reply:
    """Fetch the active session of a livestream. Raises `NotFoundError` if there is none."""
    return client.get(
        _path(client, app_id, "livestreams", livestream_id, "active-livestream-session"), {}, app_id=app_id
    )


def get_meeting_livestream(client: ApiClient, app_id: str, meeting_id: str) -> Reply:
    """Fetch the active livestream of a meeting. Raises `NotFoundError` if there is none."""
    return client.get(_path(client, app_id, "meetings", meeting_id, "active-livestream"), {}, app_id=app_id)


def get_overall_analytics(client: ApiClient, app_id: str, first_day: date, last_day: date) -> Reply:
    """Fetch totals over all livestreams, for whole UTC days."""
    path = _path(client, app_id, "analytics", "livestreams", "overall")
    return _get_by_time(client, app_id, GET_OVERALL, path, first_day, last_day)


def get_livestream_daywise_analytics(client: ApiClient, app_id: str, first_day: date, last_day: date) -> Reply:
    """Fetch totals over all livestreams by day, with a count of sessions. Services of the older dialect lack it."""
    path = _path(client, app_id, "analytics", "livestreams", "daywise")
    return _get_by_time(client, app_id, GET_LIVESTREAM_DAYWISE, path, first_day, last_day, is_optional=True)


def _get_by_time(
    client: ApiClient,
    app_id: str,
    operation: str,
    path: str,
    first_day: date,
    last_day: date,
    *,
    is_optional: bool = False,
) -> Reply:
    def send_days(form: str, first: date, last: date) -> Reply:
        return client.get(path, time_range(form, first, last), app_id=app_id, is_optional=is_optional)

    def others(form: str, refused: ApiRefusedError) -> Iterator[str]:
        """Yield the other form of times if the service accepts it for yesterday, and refuses this one for that day too.

        Without this check a service that takes Unix seconds only, refuses old days, and answers unreadable times with a range
        of its own would be noted as ISO 8601, and its totals would be stored for the wrong days.
        """
        recent = yesterday()
        if (first_day, last_day) == (recent, recent) or client.dialect.confirmed_value(sibling) not in {None, form}:
            yield from other_time_forms(form, refused)
            return
        for tried in (form, *other_time_forms(form, refused)):
            if is_accepted(lambda value: send_days(value, recent, recent), tried):
                client.dialect.note(key, tried)
                if tried != form:
                    yield tried
                return

    key = DialectKey(app_id, operation, TIME_FORM)
    sibling = DialectKey(app_id, GET_LIVESTREAM_DAYWISE if operation == GET_OVERALL else GET_OVERALL, TIME_FORM)
    return client.dialect.send_with_fallback(
        key, UNIX_SECONDS, lambda form: send_days(form, first_day, last_day), others
    )


def get_daywise_analytics(client: ApiClient, app_id: str, first_day: date, last_day: date) -> Reply:
    """Fetch meeting sessions and recordings by day."""
    return get_days(client, app_id, ("analytics", "daywise"), first_day, last_day)


def get_days(client: ApiClient, app_id: str, path: Sequence[str], first_day: date, last_day: date) -> Reply:
    """Fetch a range of days from an operation that takes two dates. Without both, the API returns the last 30 days."""
    return client.get(
        _path(client, app_id, *path), {"start_date": f"{first_day}", "end_date": f"{last_day}"}, app_id=app_id
    )


def create_livestream(client: ApiClient, app_id: str, name: str | None) -> Reply:
    """Create an independent livestream. The reply holds its stream key."""
    return client.post(_path(client, app_id, "livestreams"), {} if name is None else {"name": name}, app_id=app_id)


def start_livestream(client: ApiClient, app_id: str, meeting_id: str, name: str | None) -> Reply:
    """Start streaming a meeting. The reply holds its stream key."""
    path = _path(client, app_id, "meetings", meeting_id, "livestreams")
    return client.post(path, {} if name is None else {"name": name}, app_id=app_id)


def stop_livestream(client: ApiClient, app_id: str, meeting_id: str) -> Reply:
    """Stop streaming a meeting. Sends no body: a strict server answers 415 to one."""
    return client.post(_path(client, app_id, "meetings", meeting_id, "active-livestream", "stop"), app_id=app_id)
