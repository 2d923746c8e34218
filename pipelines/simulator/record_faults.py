"""Faults of content: records such as were never seen, and a source that no longer knows what it knew."""

import random
from dataclasses import replace

from pipelines.simulator.api_request import ApiRequest, ApiResponse
from pipelines.simulator.dialects import OPERATIONS
from pipelines.simulator.refusals import RefusedError
from pipelines.simulator.render import JsonObject
from pipelines.simulator.response_json import ContentFault, Handler, all_records, page_rows, visit_objects

PAGED = ("list-livestreams", "get-livestream")
WITH_LIVESTREAM = (*PAGED, "get-active-session", "get-meeting-livestream")
WITH_FIGURES = (
    "get-livestream",
    "get-session",
    "get-active-session",
    "get-overall-analytics",
    "get-livestream-daywise-analytics",
    "get-daywise-analytics",
)
OF_ONE_THING = ("get-livestream", "get-session", "get-active-session", "get-meeting-livestream")
FIGURES = ("seconds", "minutes", "count", "minutes_consumed", "sessions", "recordings")


def unknown_fields(call: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Fields of which nobody knows, among them the stream key at a place where it never was."""
    reply = handler(call)
    for record in all_records(reply.document):
        record["codec"] = "av1"
        record["tags"] = ["a", "b"]
        record["encoder"] = {"bitrate": 4_500, "stream_key": record.get("stream_key")}
    return reply


def unknown_status(call: ApiRequest, handler: Handler, rng: random.Random) -> ApiResponse:
    """One livestream in a status that is not documented."""
    reply = handler(call)
    livestreams = [record for record in all_records(reply.document) if "status" in record]
    if livestreams:
        rng.choice(livestreams)["status"] = "HIBERNATING"
    return reply


def new_type(call: ApiRequest, handler: Handler, rng: random.Random) -> ApiResponse:
    """One record whose name (or err_message) is an object: beyond any rule, so it belongs in quarantine."""
    reply = handler(call)
    rows = page_rows(reply.document)
    if rows:
        row = rng.choice(rows)
        row["name" if "name" in row else "err_message"] = {"en": "text no more"}
    return reply


def empty_list(call: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Nothing there, and nothing ever was."""
    reply = handler(replace(call, visible_fraction=0.0))

    def empty(holder: JsonObject) -> None:
        if "day_stats" in holder:
            holder["day_stats"] = []

    visit_objects(reply.document, empty)
    if call.operation == "get-livestream-daywise-analytics":
        reply.document["data"] = []
    return reply


def shorter_list(call: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Only the first half of the list, which says that it is whole."""
    return handler(replace(call, visible_fraction=0.5))


def zeros(call: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Every figure is 0."""
    reply = handler(call)

    def clear(holder: JsonObject) -> None:
        for name, value in holder.items():
            if name.endswith(FIGURES) and not isinstance(value, dict | list) and name != "total_count":
                holder[name] = 0

    visit_objects(reply.document, clear)
    return reply


def not_found(_call: ApiRequest, _answer: Handler, _rng: random.Random) -> ApiResponse:
    """404 for something that was there a moment ago."""
    raise RefusedError(404, 404, "Not found")


STRANGE = {
    "unknown_fields": ContentFault(OPERATIONS, unknown_fields),
    "unknown_status": ContentFault(WITH_LIVESTREAM, unknown_status),
    "new_type": ContentFault(PAGED, new_type),
}
FORGETTING = {
    "empty_list": ContentFault((*PAGED, "get-daywise-analytics", "get-livestream-daywise-analytics"), empty_list),
    "shorter_list": ContentFault(PAGED, shorter_list),
    "zeros": ContentFault(WITH_FIGURES, zeros),
    "not_found": ContentFault(OF_ONE_THING, not_found),
}
