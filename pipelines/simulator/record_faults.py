"""Record faults: unknown fields, statuses and types, and an API that no longer returns earlier data."""

import random
from dataclasses import replace

from pipelines.simulator.api_request import ApiRequest, ApiResponse
from pipelines.simulator.dialects import OPERATIONS
from pipelines.simulator.refusals import RefusedError
from pipelines.simulator.render import JsonObject
from pipelines.simulator.response_json import PAGED, ContentFault, Handler, all_records, page_rows, visit_objects

WITH_LIVESTREAM = (*PAGED, "get-active-session", "get-meeting-livestream")
WITH_MEASURES = (
    "get-livestream",
    "get-session",
    "get-active-session",
    "get-overall-analytics",
    "get-livestream-daywise-analytics",
    "get-daywise-analytics",
)
SINGLE_RESOURCE = ("get-livestream", "get-session", "get-active-session", "get-meeting-livestream")
MEASURES = ("seconds", "minutes", "count", "minutes_consumed", "sessions", "recordings")


def unknown_fields(request: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Add undocumented fields, among them the stream key in an unusual place."""
    response = handler(request)
    for record in all_records(response.document):
        record["codec"] = "av1"
        record["tags"] = ["a", "b"]
        record["encoder"] = {"bitrate": 4_500, "stream_key": record.get("stream_key")}
    return response


def unknown_status(request: ApiRequest, handler: Handler, rng: random.Random) -> ApiResponse:
    """Set an undocumented status on one livestream."""
    response = handler(request)
    livestreams = [record for record in all_records(response.document) if "status" in record]
    if livestreams:
        rng.choice(livestreams)["status"] = "HIBERNATING"
    return response


def new_type(request: ApiRequest, handler: Handler, rng: random.Random) -> ApiResponse:
    """Set the name (or err_message) of one record to an object: no rule accepts it, so it belongs in quarantine."""
    response = handler(request)
    rows = page_rows(response.document)
    if rows:
        row = rng.choice(rows)
        row["name" if "name" in row else "err_message"] = {"en": "text no more"}
    return response


def empty_list(request: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Return an empty list with a total of zero."""
    response = handler(replace(request, visible_fraction=0.0))

    def empty(holder: JsonObject) -> None:
        if "day_stats" in holder:
            holder["day_stats"] = []

    visit_objects(response.document, empty)
    if request.operation == "get-livestream-daywise-analytics":
        response.document["data"] = []
    return response


def shorter_list(request: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Return the first half of the list with a matching total."""
    return handler(replace(request, visible_fraction=0.5))


def zeros(request: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Set every measure to 0."""
    response = handler(request)

    def clear(holder: JsonObject) -> None:
        for name, value in holder.items():
            if name.endswith(MEASURES) and not isinstance(value, dict | list) and name != "total_count":
                holder[name] = 0

    visit_objects(response.document, clear)
    return response


def not_found(_request: ApiRequest, _handler: Handler, _rng: random.Random) -> ApiResponse:
    """Raise a 404 for an existing resource."""
    raise RefusedError(404, 404, "Not found")


UNKNOWN_RECORDS = {
    "unknown_fields": ContentFault(OPERATIONS, unknown_fields),
    "unknown_status": ContentFault(WITH_LIVESTREAM, unknown_status),
    "new_type": ContentFault(PAGED, new_type),
}
FORGETTING = {
    "empty_list": ContentFault((*PAGED, "get-daywise-analytics", "get-livestream-daywise-analytics"), empty_list),
    "shorter_list": ContentFault(PAGED, shorter_list),
    "zeros": ContentFault(WITH_MEASURES, zeros),
    "not_found": ContentFault(SINGLE_RESOURCE, not_found),
}
