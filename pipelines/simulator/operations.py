"""The eleven operations of the specification: what each answers about the world, and what it changes in it."""

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


def list_livestreams(call: ApiRequest) -> ApiResponse:
    """All livestreams of the app, newest first unless `sort_order=ASC`; the filters apply to created_at."""
    rows = call.world.apps[call.app_id].livestreams
    order, status = call.enum_param("sort_order", ("ASC", "DSC")), call.enum_param("status", STATUSES)
    times: TimeFormat = "iso" if call.dialect.is_strict else "both"
    without_meetings = call.enum_param("exclude_meetings", ("true", "false")) == "true"
    first, last = call.time_param("start_time", MIN_TIME_MS, times), call.time_param("end_time", MAX_TIME_MS, times)
    if status or without_meetings or "start_time" in call.query or "end_time" in call.query:
        rows = [
            row
            for row in rows
            if (status is None or row.status == status)
            and (row.meeting_id is None or not without_meetings)
            and first <= row.created_ms <= last
        ]
    if call.order_by == "updated_at":
        rows = sorted(rows, key=lambda row: (row.updated_ms, row.id))
    rows = rows if order == "ASC" else rows[::-1]
    return ApiResponse(call.renderer.livestream_list(call.paginate(rows, single=call.shapes.livestreams == "document")))


def get_livestream(call: ApiRequest) -> ApiResponse:
    """One livestream and its sessions, newest first."""
    livestream = _livestream(call)
    page = call.paginate(livestream.sessions[::-1], single=call.shapes.detail == "document")
    return ApiResponse(call.renderer.livestream_detail(livestream, page))


def get_session(call: ApiRequest) -> ApiResponse:
    """One session by its id."""
    session = call.world.apps[call.app_id].session(call.path["session_id"])
    if session is None:
        raise RefusedError(404, 404, "Livestream session not found")
    return ApiResponse(call.renderer.single_session(session))


def get_active_session(call: ApiRequest) -> ApiResponse:
    """Return the session of a livestream that is invoked or live; 404 when none is."""
    livestream = _livestream(call)
    session = livestream.open_session
    if session is None:
        raise RefusedError(404, 404, "No active livestream session found")
    return ApiResponse(call.renderer.active_session(livestream, session))


def get_meeting_livestream(call: ApiRequest) -> ApiResponse:
    """Return the livestream of a meeting that is invoked or live; 404 when none is."""
    livestream = _active_livestream_of_meeting(call)
    if livestream is None:
        raise RefusedError(404, 404, "No active livestream found for this meeting")
    return ApiResponse({"success": True, "data": call.renderer.meeting_livestream(livestream)})


def get_overall_analytics(call: ApiRequest) -> ApiResponse:
    """Return sums over the sessions created from start_time to end_time, both included."""
    first, last = _time_range(call)
    if call.shapes.overall == "array":
        call.check_range_length(to_day(first), to_day(last))
    return ApiResponse(call.renderer.overall_analytics(call.app_id, first, last))


def get_livestream_daywise_analytics(call: ApiRequest) -> ApiResponse:
    """Return sums over the sessions of the range day by day, and how many sessions there were."""
    first, last = _time_range(call)
    if call.shapes.idle_days == "zeros":
        call.check_range_length(to_day(first), to_day(last))
    return ApiResponse({"success": True, "data": call.renderer.livestreams_by_day(call.app_id, first, last)})


def get_daywise_analytics(call: ApiRequest) -> ApiResponse:
    """Meetings and recordings day by day; the last 30 days unless told."""
    now = call.world.now
    first, last = call.day_param("start_date", days_before(now, 30)), call.day_param("end_date", now.date())
    if call.shapes.idle_days == "zeros":
        call.check_range_length(first, last)
    return ApiResponse(call.renderer.daywise_analytics(call.app_id, first, last))


def create_livestream(call: ApiRequest) -> ApiResponse:
    """Make an independent livestream, ready to be fed."""
    name = _name(call)
    if call.dialect.is_strict and name is not None and not NAME.fullmatch(name):
        raise RefusedError(call.dialect.invalid_status, 10_006, f"name must match {NAME.pattern}")
    livestream = call.world.add_livestream(call.app_id, name=name, status="INVOKED")
    return ApiResponse(
        {"success": True, "data": _select_fields(call, livestream, CREATED_FIELDS)}, call.dialect.created_status
    )


def start_livestream(call: ApiRequest) -> ApiResponse:
    """Start streaming a meeting: a livestream of its own, INVOKED, live a little later."""
    _check_video_config(call)
    if _active_livestream_of_meeting(call) is not None:
        raise RefusedError(409, 409, "Meeting is already being livestreamed")
    world = call.world
    livestream = world.add_livestream(call.app_id, name=_name(call), meeting_id=call.path["meeting_id"])
    world.invoke(call.app_id, livestream.id)
    return ApiResponse(
        {"success": True, "data": _select_fields(call, livestream, STARTED_FIELDS)}, call.dialect.created_status
    )


def stop_livestream(call: ApiRequest) -> ApiResponse:
    """Stop streaming a meeting."""
    livestream = _active_livestream_of_meeting(call)
    if livestream is None:
        raise RefusedError(404, 404, "No active livestream found for this meeting")
    call.world.end_session(call.app_id, livestream.id)
    return ApiResponse({"success": True, "data": {"message": "Stopped live stream successfully"}})


def _time_range(call: ApiRequest) -> tuple[int, int]:
    """Return the first and last millisecond that *overall* and *livestreams/daywise* are asked for."""
    times = call.dialect.times
    return call.time_param("start_time", MIN_TIME_MS, times), call.time_param("end_time", call.world.now_ms, times)


def _livestream(call: ApiRequest) -> Livestream:
    livestream = call.world.apps[call.app_id].by_id.get(call.path["livestream_id"])
    if livestream is None:
        raise RefusedError(404, 404, "Livestream not found")
    return livestream


def _active_livestream_of_meeting(call: ApiRequest) -> Livestream | None:
    """Return the livestream of the call's meeting that is on, or starting."""
    app, meeting_id = call.world.apps[call.app_id], call.path["meeting_id"]
    if meeting_id not in app.meetings:
        raise RefusedError(404, 404, "Meeting not found")
    return next((row for row in reversed(app.livestreams) if row.meeting_id == meeting_id and row.open_session), None)


def _name(call: ApiRequest) -> str | None:
    name = call.body.get("name")
    if name is not None and not isinstance(name, str):
        raise RefusedError(call.dialect.invalid_status, 10_006, "name must be a string")
    if name is not None and _UNPAIRED.search(name):
        raise RefusedError(call.dialect.invalid_status, 10_006, "name must be Unicode")
    return name


def _check_video_config(call: ApiRequest) -> None:
    """Refuse a `video_config` that is not of whole numbers."""
    video = call.body.get("video_config", {})
    sizes = [video.get(side, 0) for side in ("height", "width")] if isinstance(video, dict) else [None]
    if call.dialect.is_strict and not all(type(size) is int for size in sizes):
        raise RefusedError(
            call.dialect.invalid_status, 10_006, "video_config must have whole numbers as height and width"
        )


def _select_fields(call: ApiRequest, livestream: Livestream, fields: tuple[str, ...]) -> JsonObject:
    """Return the fields that a reply to a creation has; its `disabled` is a boolean in the document too."""
    record: JsonObject = {**call.renderer.livestream(livestream), "disabled": livestream.disabled}
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
"""Method, path below the app, and what answers; in the order in which paths are tried."""
