"""What `livehouse doctor` asks the API: each operation once, as a night does, and how the service speaks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Literal

import duckdb

from pipelines.clock import utc_now, yesterday
from pipelines.errors import (
    ApiError,
    ApiUnreachableError,
    LivehouseError,
    NotFoundError,
    TransientApiError,
    UnexpectedReplyError,
    WarehouseError,
)
from pipelines.extract import day_parsers, operations, parsers
from pipelines.extract.client import ApiClient
from pipelines.extract.dialect import NOT_OFFERED_STATUSES, TIME_FORM, UNIX_SECONDS, DialectKey
from pipelines.extract.responses import PERMISSION_REMEDY, TOKEN_REMEDY
from pipelines.settings.settings import Settings
from pipelines.steps.context import make_client
from pipelines.steps.dialect import recall_published
from pipelines.storage.file_warehouse import FileWarehouse

_CLOCK_SECONDS = 300
_BUDGET_LEFT = 50

_OF_NIGHTS = ("get-livestream", "get-overall-analytics", "get-daywise-analytics")
"""Operations besides the list without which a night misses something. The others are of on-air, or may be lacking."""

_NONE_ON_AIR = ("get-active-session", "get-meeting-livestream")
"""Operations that answer 404 where nothing is on air."""


@dataclass(frozen=True)
class Finding:
    """What one examination found, and what to do about it."""

    state: Literal["ok", "warning", "fault"]
    what: str
    said: str
    remedy: str = ""


def check_api(settings: Settings) -> Iterator[Finding]:
    """Send each GET operation once for each app, as a night would; then compare the clock and the budget."""
    headers: Mapping[str, str] = {}
    remaining = None
    for number, app_id in enumerate(settings.app_ids, 1):
        client = make_client(settings, is_patient=False)
        try:
            _recall(settings, client)
            listed = parsers.parse_livestream_page(operations.list_livestreams(client, app_id)).records
            yield Finding("ok", f"app {app_id}", "token accepted, livestreams can be listed")
            error = None
            yield from _operations(client, app_id, listed)
        except WarehouseError:
            yield Finding(
                "warning", f"app {app_id}", "not asked: the request budget is kept with the lakehouse, see there"
            )
            return
        except LivehouseError as refused:
            error = refused
            yield _unanswered(app_id, error)
        finally:
            client.close()
        headers, remaining = client.last_headers or headers, client.remaining
        if isinstance(error, TransientApiError | ApiUnreachableError) and number < len(settings.app_ids):
            yield Finding("warning", "other apps", "not asked: this has nothing to do with one app")
            break
    yield from _clock(headers.get("date"))
    if remaining is not None and remaining < _BUDGET_LEFT:
        remedy = "another program uses the same token: wait, or give livehouse a token of its own"
        yield Finding("warning", "request budget", f"{remaining} requests left by the API's own count", remedy)
    elif remaining is not None:
        yield Finding("ok", "request budget", f"{remaining} requests left by the API's own count")


def _unanswered(app_id: str, error: LivehouseError, *, state: Literal["warning", "fault"] = "fault") -> Finding:
    """Say what it means that an operation was not answered. `app_id`: the app, and the operation if it is not the first."""
    status = getattr(error, "status", None)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        told = getattr(error, "wait_seconds", None)
        wait = "the API says no more now" if told is None else f"the API says to wait {told:.0f} s"
        remedy = "wait; another program uses the same token: give livehouse one of its own"
        return Finding("fault", "request budget", f"used up: {wait}", remedy)
    remedy = getattr(error, "remedy", "")
    if remedy == TOKEN_REMEDY and status == HTTPStatus.BAD_REQUEST:
        remedy = "the token has characters no token has: copy it anew and set CLOUDFLARE_API_TOKEN"
    elif isinstance(error, UnexpectedReplyError):
        remedy = "the service answers in a way that this livehouse does not know: look for a newer one"
    elif isinstance(error, NotFoundError):
        remedy = "check REALTIMEKIT_APP_ID, CLOUDFLARE_ACCOUNT_ID and the path of CLOUDFLARE_BASE_URL"
    elif remedy == TOKEN_REMEDY:
        remedy = "the token is wrong, expired or revoked: make a new one and set CLOUDFLARE_API_TOKEN"
    elif status == HTTPStatus.FORBIDDEN and remedy == PERMISSION_REMEDY:
        remedy = "give the token the *Realtime* permission for this account, in Cloudflare's dashboard under API tokens"
    elif remedy:
        pass  # the reply told more than its status
    elif status is None:
        remedy = "until something answers there, nothing can be loaded; what was loaded before stands"
    else:
        remedy = "check CLOUDFLARE_BASE_URL; if it is right, the API has a fault: try again later"
    return Finding(state, f"app {app_id}", str(error), remedy)


def _clock(served: str | None) -> Iterator[Finding]:
    try:
        behind = (utc_now().replace(tzinfo=UTC) - parsedate_to_datetime(served or "").astimezone(UTC)).total_seconds()
    except ValueError:
        return
    if abs(behind) > _CLOCK_SECONDS:
        said = f"this machine is {abs(behind):.0f} s {'ahead of' if behind > 0 else 'behind'} the API's clock"
        yield Finding("warning", "clock", said, "set the clock (ntp): what is new is told by time")
    else:
        yield Finding("ok", "clock", f"agrees with the API's, within {max(abs(behind), 1):.0f} s")


def _recall(settings: Settings, client: ApiClient) -> None:
    """Begin with what the last night knew, as the next one will."""
    if settings.lakehouse or settings.reader_lakehouse:
        return
    try:
        recall_published(client, FileWarehouse(settings.warehouse), settings.base_url)
    except (LivehouseError, duckdb.Error):
        return  # what is wrong with the file is found below


def _operations(client: ApiClient, app_id: str, listed: Sequence[Any]) -> Iterator[Finding]:
    """Send every other GET operation once. What needs a livestream, session or meeting is left out where there is none."""
    sessions: list[Any] = []
    questions = _questions(client, app_id, listed, sessions)
    answered, left_out = ["list-livestreams"], []
    for operation, (can_be_asked, ask) in questions.items():
        if not can_be_asked or (operation == "get-session" and not _first(sessions, "id")):
            left_out.append(operation)
            continue
        error = _error_of(ask)
        is_missing = isinstance(error, NotFoundError)
        if error is None or (is_missing and operation in _NONE_ON_AIR):
            answered.append(operation)
        elif not (
            operation == operations.GET_LIVESTREAM_DAYWISE and getattr(error, "status", None) in NOT_OFFERED_STATUSES
        ):
            # Of a service without that operation the dialect tells below.
            yield _refused(app_id, operation, error)
        if isinstance(error, ApiUnreachableError) or getattr(error, "status", None) == HTTPStatus.TOO_MANY_REQUESTS:
            return
    said = f"{len(answered)} answered" + (
        f"; not asked, for lack of records: {', '.join(left_out)}" if left_out else ""
    )
    yield Finding("ok", f"app {app_id}, operations", said)
    yield _dialect(client, app_id, is_counted=operations.GET_LIVESTREAM_DAYWISE in answered)


def _questions(
    client: ApiClient, app_id: str, listed: Sequence[Any], sessions: list[Any]
) -> dict[str, tuple[bool, Callable[[], object]]]:
    """Return whether each operation can be asked, and how; `sessions` takes those that are found."""
    day = yesterday()
    livestream_id, meeting_id = _first(listed, "id"), _first(listed, "meeting_id")

    def livestream() -> None:
        reply = operations.get_livestream(client, app_id, livestream_id)
        sessions.extend(parsers.parse_session_page(reply).records)

    def overall() -> None:
        parsers.parse_overall(operations.get_overall_analytics(client, app_id, day, day), day)

    def counts() -> None:
        reply = operations.get_livestream_daywise_analytics(client, app_id, day, day)
        parsers.parse_session_counts(reply, day, day)

    def daywise() -> None:
        reply = operations.get_daywise_analytics(client, app_id, day, day)
        day_parsers.parse_daywise_parts(reply)

    return {
        "get-livestream": (bool(livestream_id), livestream),
        "get-overall-analytics": (True, overall),
        "get-livestream-daywise-analytics": (True, counts),
        "get-daywise-analytics": (True, daywise),
        "get-active-session": (
            bool(livestream_id),
            lambda: operations.get_active_session(client, app_id, livestream_id),
        ),
        "get-meeting-livestream": (
            bool(meeting_id),
            lambda: operations.get_meeting_livestream(client, app_id, meeting_id),
        ),
        "get-session": (True, lambda: operations.get_session(client, app_id, _first(sessions, "id"))),
    }


def _dialect(client: ApiClient, app_id: str, *, is_counted: bool) -> Finding:
    form = client.dialect.noted_value(DialectKey(app_id, operations.GET_OVERALL, TIME_FORM))
    times = "not known" if form is None else "Unix seconds" if form == UNIX_SECONDS else "ISO 8601"
    rows = client.dialect.rows_per_page(app_id, operations.LIST_LIVESTREAMS)
    counted = "offered" if is_counted else "not offered: sessions are compared by their seconds only"
    said = f"times in {times}; {rows} rows a page; livestreams/daywise {counted}"
    return Finding("ok", f"app {app_id}, dialect", said)


def _error_of(ask: Callable[[], object]) -> ApiError | None:
    try:
        ask()
    except ApiError as error:
        return error
    return None


def _first(records: Sequence[Any], field: str) -> str:
    """Return the first value of a field that names something; empty if there is none."""
    values = (record.get(field) for record in records if isinstance(record, dict))
    return next((str(value) for value in values if isinstance(value, str | int) and value), "")


def _refused(app_id: str, operation: str, error: LivehouseError) -> Finding:
    return _unanswered(f"{app_id}, {operation}", error, state="fault" if operation in _OF_NIGHTS else "warning")
