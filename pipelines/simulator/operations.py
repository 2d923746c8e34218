"""The eleven operations of the specification: their routes, responses and effects on the world."""

import re
from collections.abc import Callable

from pipelines.simulator.api_request import ApiRequest, ApiResponse, days_before
from pipelines.simulator.dialects import TimeFormat
from pipelines.simulator.records import Livestream, to_day
from pipelines.simulator.refusals import RefusedError
from pipelines.simulator.render import JsonObject

STATUSES = ("LIVE", "IDLE", "ERRORED", "INVOKED")
NAME = re.compile(r"[a-zA-Z0-9-_]*")
_UNPAIRED = re.compile(r"[\ud800-\udfff]")
MIN_TIME_MS, MAX_TIME_MS = 0, 7_258_118_400_000
CREATED_FIELDS = (
    "id",
    "name",
    "meeting_id",
    "status",
    "disabled",
    "ingest_server",
    "stream_key",
    "playback_url",
)
STARTED_FIELDS = ("id", "status", "ingest_server", "stream_key", "playback_url")


def list_livestreams(request: ApiRequest) -> ApiResponse:
    """Return a page of the app's livestreams, newest first unless `sort_order=ASC`; time filters apply to created_at."""
    rows = request.world.apps[request.app_id].livestreams
    order, status = request.enum_param("sort_order", ("ASC", "DSC")), request.enum_param("status", STATUSES)
    times: TimeFormat = "iso" if request.dialect.is_strict else "both"
    without_meetings = request.enum_param("exclude_meetings", ("true", "false")) == "true"
    first, last = (
        request.time_param("start_time", MIN_TIME_MS, times),
        request.time_param("end_time", MAX_TIME_MS, times),
    )
    if status or without_meetings or "start_time" in request.query or "end_time" in request.query:
        rows = [
            row
            for row in rows
            if (status is None or row.status == status)
            and (row.meeting_id is None or not without_meetings)
            and first <= row.created_ms <= last
        ]
    if request.order_by == "updated_at":
        rows = sorted(rows, key=lambda row: (row.updated_ms, row.id))
    rows = rows if order == "ASC" else rows[::-1]
    return ApiResponse(
        request.renderer.livestream_list(request.paginate(rows, single=request.shapes.livestreams == "document"))
    )


def get_livestream(request: ApiRequest) -> ApiResponse:
    """Return one livestream and a page of its sessions, newest first."""
    livestream = _livestream(request)
    page = request.paginate(livestream.sessions[::-1], single=request.shapes.detail == "document")
    return ApiResponse(request.renderer.livestream_detail(livestream, page))


def get_session(request: ApiRequest) -> ApiResponse:
    """Return one session by its id."""
    session = request.world.apps[request.app_id].session(request.path["session_id"])
    if session is None:
        raise RefusedError(404, 404, "Livestream session not found")
    return ApiResponse(request.renderer.single_session(session))


def get_active_session(request: ApiRequest) -> ApiResponse:
    """Return the session of a livestream that is invoked or live; 404 without one."""
    livestream = _livestream(request)
    session = livestream.open_session
    if session is None:
        raise RefusedError(404, 404, "No active livestream session found")
    return ApiResponse(request.renderer.active_session(livestream, session))


def get_meeting_livestream(request: ApiRequest) -> ApiResponse:
    """Return the livestream of a meeting that is invoked or live; 404 without one."""
    livestream = _active_livestream_of_meeting(request)
    if livestream is None:
        raise RefusedError(404, 404, "No active livestream found for this meeting")
    return ApiResponse({"success": True, "data": request.renderer.meeting_livestream(livestream)})


def get_overall_analytics(request: ApiRequest) -> ApiResponse:
    """Return totals of the sessions created from start_time to end_time, both inclusive."""
    first, last = _time_range(request)
    if request.shapes.overall == "array":
        request.check_range_length(to_day(first), to_day(last))
    return ApiResponse(request.renderer.overall_analytics(request.app_id, first, last))


def get_livestream_daywise_analytics(request: ApiRequest) -> ApiResponse:
    """Return totals and the number of sessions for each day of the range."""
    first, last = _time_range(request)
    if request.shapes.idle_days == "zeros":
        request.check_range_length(to_day(first), to_day(last))
    return ApiResponse({"success": True, "data": request.renderer.livestreams_by_day(request.app_id, first, last)})


def get_daywise_analytics(request: ApiRequest) -> ApiResponse:
    """Return meetings and recordings for each day; the last 30 days by default."""
    now = request.world.now
    first, last = request.day_param("start_date", days_before(now, 30)), request.day_param("end_date", now.date())
    if request.shapes.idle_days == "zeros":
        request.check_range_length(first, last)
    return ApiResponse(request.renderer.daywise_analytics(request.app_id, first, last))


def create_livestream(request: ApiRequest) -> ApiResponse:
    """Create a livestream without a meeting."""
    name = _name(request)
    if request.dialect.is_strict and name is not None and not NAME.fullmatch(name):
        raise RefusedError(request.dialect.invalid_status, 10_006, f"name must match {NAME.pattern}")
    livestream = request.world.add_livestream(request.app_id, name=name, status="INVOKED")
    return ApiResponse(
        {"success": True, "data": _select_fields(request, livestream, CREATED_FIELDS)}, request.dialect.created_status
    )


def start_livestream(request: ApiRequest) -> ApiResponse:
    """Start streaming a meeting: create its livestream, INVOKED now and LIVE a few seconds later."""
    _check_video_config(request)
    if _active_livestream_of_meeting(request) is not None:
        raise RefusedError(409, 409, "Meeting is already being livestreamed")
    world = request.world
    livestream = world.add_livestream(request.app_id, name=_name(request), meeting_id=request.path["meeting_id"])
    world.invoke(request.app_id, livestream.id)
    return ApiResponse(
        {"success": True, "data": _select_fields(request, livestream, STARTED_FIELDS)}, request.dialect.created_status
    )


def stop_livestream(request: ApiRequest) -> ApiResponse:
    """Stop streaming a meeting."""
    livestream = _active_livestream_of_meeting(request)
    if livestream is None:
        raise RefusedError(404, 404, "No active livestream found for this meeting")
    request.world.end_session(request.app_id, livestream.id)
    return ApiResponse({"success": True, "data": {"message": "Stopped live stream successfully"}})


def _time_range(request: ApiRequest) -> tuple[int, int]:
    """Return the first and last millisecond of the requested range."""
    times = request.dialect.times
    return request.time_param("start_time", MIN_TIME_MS, times), request.time_param(
        "end_time", request.world.now_ms, times
    )


def _livestream(request: ApiRequest) -> Livestream:
    livestream = request.world.apps[request.app_id].by_id.get(request.path["livestream_id"])
    if livestream is None:
        raise RefusedError(404, 404, "Livestream not found")
    return livestream


def _active_livestream_of_meeting(request: ApiRequest) -> Livestream | None:
    """Return the live or starting livestream of the meeting in the path."""
    app, meeting_id = request.world.apps[request.app_id], request.path["meeting_id"]
    if meeting_id not in app.meetings:
        raise RefusedError(404, 404, "Meeting not found")
    return next((row for row in reversed(app.livestreams) if row.meeting_id == meeting_id and row.open_session), None)


def _name(request: ApiRequest) -> str | None:
    name = request.body.get("name")
    if name is not None and not isinstance(name, str):
        raise RefusedError(request.dialect.invalid_status, 10_006, "name must be a string")
    if name is not None and _UNPAIRED.search(name):
        raise RefusedError(request.dialect.invalid_status, 10_006, "name must be Unicode")
    return name


def _check_video_config(request: ApiRequest) -> None:
    """Raise `RefusedError` for a `video_config` without whole numbers."""
    video = request.body.get("video_config", {})
    sizes = [video.get(side, 0) for side in ("height", "width")] if isinstance(video, dict) else [None]
    if request.dialect.is_strict and not all(type(size) is int for size in sizes):
        raise RefusedError(
            request.dialect.invalid_status, 10_006, "video_config must have whole numbers as height and width"
        )


def _select_fields(request: ApiRequest, livestream: Livestream, fields: tuple[str, ...]) -> JsonObject:
    """Return the fields of a response to a creation; its `disabled` is always a boolean."""
    record: JsonObject = {**request.renderer.livestream(livestream), "disabled": livestream.disabled}
    return {field: record[field] for field in fields}


ROUTES: dict[str, tuple[str, str, Callable[[ApiRequest], ApiResponse]]] = {
    "list-livestreams": ("GET", "/livestreams", list_livestreams),
    "create-livestream": ("POST", "/livestreams", create_livestream),
    "get-session": ("GET", "/livestreams/sessions/{session_id}", get_session),
    "get-livestream": ("GET", "/livestreams/{livestream_id}", get_livestream),
    "get-active-session": (
        "GET",
        "/livestreams/{livestream_id}/active-livestream-session",
        get_active_session,
    ),
    "get-meeting-livestream": ("GET", "/meetings/{meeting_id}/active-livestream", get_meeting_livestream),
    "start-livestream": ("POST", "/meetings/{meeting_id}/livestreams", start_livestream),
    "stop-livestream": ("POST", "/meetings/{meeting_id}/active-livestream/stop", stop_livestream),
    "get-overall-analytics": ("GET", "/analytics/livestreams/overall", get_overall_analytics),
    "get-daywise-analytics": ("GET", "/analytics/daywise", get_daywise_analytics),
    "get-livestream-daywise-analytics": (
        "GET",
        "/analytics/livestreams/daywise",
        get_livestream_daywise_analytics,
    ),
}
"""Method, path below the app, and handler of each operation, in the order in which paths are matched."""
