"""The checks of `livehouse doctor` on the API: each GET operation once, as in a nightly run, and the API's dialect."""

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

_NIGHTLY_OPERATIONS = ("get-livestream", "get-overall-analytics", "get-daywise-analytics")
"""Operations that a nightly run needs, besides the list of livestreams. Only `on-air` needs the others, or they are optional."""

_LIVE_OPERATIONS = ("get-active-session", "get-meeting-livestream")
"""Operations that answer 404 if nothing is on air."""


@dataclass(frozen=True)
class Finding:
    """The result of one check, and how to fix a fault."""

    state: Literal["ok", "warning", "fault"]
    subject: str
    message: str
    remedy: str = ""


def check_api(settings: Settings) -> Iterator[Finding]:
    """Send each GET operation once for each app, as a nightly run would; then check the clock and the budget."""
    headers: Mapping[str, str] = {}
    remaining = None
    for number, app_id in enumerate(settings.app_ids, 1):
        client = make_client(settings, is_patient=False)
        try:
            _load_known_dialect(settings, client)
            listed = parsers.parse_livestream_page(operations.list_livestreams(client, app_id)).records
            yield Finding("ok", f"app {app_id}", "token accepted, livestreams can be listed")
            error = None
            yield from _check_operations(client, app_id, listed)
        except WarehouseError:
            message = "no request sent: the request budget is kept in the lakehouse, see below"
            yield Finding("warning", f"app {app_id}", message)
            return
        except LivehouseError as refused:
            error = refused
            yield _explain_failure(app_id, error)
        finally:
            client.close()
        headers, remaining = client.last_headers or headers, client.remaining
        if isinstance(error, TransientApiError | ApiUnreachableError) and number < len(settings.app_ids):
            yield Finding("warning", "other apps", "no request sent: the failure does not concern a single app")
            break
    yield from _check_clock(headers.get("date"))
    if remaining is not None and remaining < _BUDGET_LEFT:
        remedy = "another program uses the same token: wait, or give livehouse a token of its own"
        yield Finding("warning", "request budget", f"{remaining} requests left by the API's own count", remedy)
    elif remaining is not None:
        yield Finding("ok", "request budget", f"{remaining} requests left by the API's own count")


def _explain_failure(app_id: str, error: LivehouseError, *, state: Literal["warning", "fault"] = "fault") -> Finding:
    """Return a finding with the remedy for a failed operation. `app_id` is the app, or the app and the operation."""
    status = getattr(error, "status", None)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        seconds = getattr(error, "wait_seconds", None)
        wait = (
            "the API accepts no more requests now" if seconds is None else f"the API requests a wait of {seconds:.0f} s"
        )
        remedy = "wait; another program uses the same token: give livehouse a token of its own"
        return Finding("fault", "request budget", f"used up: {wait}", remedy)
    remedy = getattr(error, "remedy", "")
    if remedy == TOKEN_REMEDY and status == HTTPStatus.BAD_REQUEST:
        remedy = "the token has invalid characters: copy it again and set CLOUDFLARE_API_TOKEN"
    elif isinstance(error, UnexpectedReplyError):
        remedy = "this version of livehouse does not know the format of the reply: install a newer one"
    elif isinstance(error, NotFoundError):
        remedy = "check REALTIMEKIT_APP_ID, CLOUDFLARE_ACCOUNT_ID and the path of CLOUDFLARE_BASE_URL"
    elif remedy == TOKEN_REMEDY:
        remedy = "the token is wrong, expired or revoked: create a new one and set CLOUDFLARE_API_TOKEN"
    elif status == HTTPStatus.FORBIDDEN and remedy == PERMISSION_REMEDY:
        remedy = "give the token the *Realtime* permission for this account, in Cloudflare's dashboard under API tokens"
    elif remedy:
        pass  # the reply was more specific than its status
    elif status is None:
        remedy = "nothing can be loaded until the API answers; loaded data is kept"
    else:
        remedy = "check CLOUDFLARE_BASE_URL; if it is right, the API has a fault: try again later"
    return Finding(state, f"app {app_id}", str(error), remedy)


def _check_clock(date_header: str | None) -> Iterator[Finding]:
    try:
        served_at = parsedate_to_datetime(date_header or "").astimezone(UTC)
    except ValueError:
        return
    ahead = (utc_now().replace(tzinfo=UTC) - served_at).total_seconds()
    if abs(ahead) > _CLOCK_SECONDS:
        message = f"this machine is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the API's clock"
        yield Finding("warning", "clock", message, "set the clock (ntp): new records are found by their time")
    else:
        yield Finding("ok", "clock", f"agrees with the API's, within {max(abs(ahead), 1):.0f} s")


def _load_known_dialect(settings: Settings, client: ApiClient) -> None:
    """Start with the dialect that the last run detected, as the next run will."""
    if settings.lakehouse or settings.reader_lakehouse:
        return
    try:
        recall_published(client, FileWarehouse(settings.warehouse), settings.base_url)
    except (LivehouseError, duckdb.Error):
        return  # the checks of the files report what is wrong


def _check_operations(client: ApiClient, app_id: str, listed: Sequence[Any]) -> Iterator[Finding]:
    """Send every other GET operation once, except those that need a livestream, session or meeting if there is none."""
    sessions: list[Any] = []
    answered, skipped = ["list-livestreams"], []
    for operation, (is_possible, send) in _build_requests(client, app_id, listed, sessions).items():
        if not is_possible or (operation == "get-session" and not _find_first(sessions, "id")):
            skipped.append(operation)
            continue
        error = _catch_api_error(send)
        is_missing = isinstance(error, NotFoundError)
        if error is None or (is_missing and operation in _LIVE_OPERATIONS):
            answered.append(operation)
        elif not (
            operation == operations.GET_LIVESTREAM_DAYWISE and getattr(error, "status", None) in NOT_OFFERED_STATUSES
        ):
            # A service without that operation is reported below, with its dialect.
            state: Literal["fault", "warning"] = "fault" if operation in _NIGHTLY_OPERATIONS else "warning"
            yield _explain_failure(f"{app_id}, {operation}", error, state=state)
        if isinstance(error, ApiUnreachableError) or getattr(error, "status", None) == HTTPStatus.TOO_MANY_REQUESTS:
            return
    lacking = f"; not sent, for lack of records: {', '.join(skipped)}" if skipped else ""
    yield Finding("ok", f"app {app_id}, operations", f"{len(answered)} answered{lacking}")
    yield _describe_dialect(client, app_id, has_session_counts=operations.GET_LIVESTREAM_DAYWISE in answered)


def _build_requests(
    client: ApiClient, app_id: str, listed: Sequence[Any], sessions: list[Any]
) -> dict[str, tuple[bool, Callable[[], object]]]:
    """Return, by operation, whether its request can be sent, and a function that sends it.

    `sessions` is filled with the sessions that `get-livestream` returns.
    """
    day = yesterday()
    livestream_id, meeting_id = _find_first(listed, "id"), _find_first(listed, "meeting_id")

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
        "get-session": (True, lambda: operations.get_session(client, app_id, _find_first(sessions, "id"))),
    }


def _describe_dialect(client: ApiClient, app_id: str, *, has_session_counts: bool) -> Finding:
    form = client.dialect.noted_value(DialectKey(app_id, operations.GET_OVERALL, TIME_FORM))
    times = "not known" if form is None else "Unix seconds" if form == UNIX_SECONDS else "ISO 8601"
    rows = client.dialect.rows_per_page(app_id, operations.LIST_LIVESTREAMS)
    counts = "offered" if has_session_counts else "not offered: sessions are compared by their seconds only"
    message = f"times in {times}; {rows} rows per page; livestreams/daywise {counts}"
    return Finding("ok", f"app {app_id}, dialect", message)


def _catch_api_error(send: Callable[[], object]) -> ApiError | None:
    try:
        send()
    except ApiError as error:
        return error
    return None


def _find_first(records: Sequence[Any], field: str) -> str:
    """Return the first id in a field of records, as text; "" if no record has one."""
    values = (record.get(field) for record in records if isinstance(record, dict))
    return next((str(value) for value in values if isinstance(value, str | int) and value), "")
