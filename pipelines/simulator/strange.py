"""Faults of content: records such as were never seen, and a source that no longer knows what it knew."""

import random
from dataclasses import replace

from pipelines.simulator.calls import Call, Reply
from pipelines.simulator.dialects import OPERATIONS
from pipelines.simulator.documents import Alteration, Answer, records_of, rows_of, walk
from pipelines.simulator.refused import RefusedError
from pipelines.simulator.render import Object

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


def unknown_fields(call: Call, answer: Answer, _rng: random.Random) -> Reply:
    """Fields of which nobody knows, among them the stream key at a place where it never was."""
    reply = answer(call)
    for record in records_of(reply.document):
        record["codec"] = "av1"
        record["tags"] = ["a", "b"]
        record["encoder"] = {"bitrate": 4_500, "stream_key": record.get("stream_key")}
    return reply


def unknown_status(call: Call, answer: Answer, rng: random.Random) -> Reply:
    """One livestream in a status that is not documented."""
    reply = answer(call)
    livestreams = [record for record in records_of(reply.document) if "status" in record]
    if livestreams:
        rng.choice(livestreams)["status"] = "HIBERNATING"
    return reply


def new_type(call: Call, answer: Answer, rng: random.Random) -> Reply:
    """One record whose name (or err_message) is an object: beyond any rule, so it belongs in quarantine."""
    reply = answer(call)
    rows = rows_of(reply.document)
    if rows:
        row = rng.choice(rows)
        row["name" if "name" in row else "err_message"] = {"en": "text no more"}
    return reply


def empty_list(call: Call, answer: Answer, _rng: random.Random) -> Reply:
    """Nothing there, and nothing ever was."""
    reply = answer(replace(call, kept=0.0))

    def empty(holder: Object) -> None:
        if "day_stats" in holder:
            holder["day_stats"] = []

    walk(reply.document, empty)
    if call.operation == "get-livestream-daywise-analytics":
        reply.document["data"] = []
    return reply


def shorter_list(call: Call, answer: Answer, _rng: random.Random) -> Reply:
    """Only the first half of the list, which says that it is whole."""
    return answer(replace(call, kept=0.5))


def zeros(call: Call, answer: Answer, _rng: random.Random) -> Reply:
    """Every figure is 0."""
    reply = answer(call)

    def clear(holder: Object) -> None:
        for name, value in holder.items():
            if name.endswith(FIGURES) and not isinstance(value, dict | list) and name != "total_count":
                holder[name] = 0

    walk(reply.document, clear)
    return reply


def not_found(_call: Call, _answer: Answer, _rng: random.Random) -> Reply:
    """404 for something that was there a moment ago."""
    raise RefusedError(404, 404, "Not found")


STRANGE = {
    "unknown_fields": Alteration(OPERATIONS, unknown_fields),
    "unknown_status": Alteration(WITH_LIVESTREAM, unknown_status),
    "new_type": Alteration(PAGED, new_type),
}
FORGETTING = {
    "empty_list": Alteration((*PAGED, "get-daywise-analytics", "get-livestream-daywise-analytics"), empty_list),
    "shorter_list": Alteration(PAGED, shorter_list),
    "zeros": Alteration(WITH_FIGURES, zeros),
    "not_found": Alteration(OF_ONE_THING, not_found),
}
