"""Finds rows and paging objects in a response of any shape, so that faults can change them."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from pipelines.simulator.api_request import ApiRequest, ApiResponse
from pipelines.simulator.render import JsonObject
from pipelines.simulator.value_styles import Json

Handler = Callable[[ApiRequest], ApiResponse]

PAGED = ("list-livestreams", "get-livestream")
"""Operations that return pages."""


@dataclass(frozen=True, slots=True)
class ContentFault:
    """A fault that changes the content of a response: the operations it applies to, and the change."""

    operations: tuple[str, ...]
    apply: Callable[[ApiRequest, Handler, random.Random], ApiResponse]


def page_row_list(document: JsonObject) -> list[Json] | None:
    """Return the list of livestreams or sessions of a page; None in the shapes without one."""
    data = document.get("data")
    if isinstance(data, dict):
        data = data.get("livestreams", data.get("sessions"))
    return data if isinstance(data, list) else None


def page_rows(document: JsonObject) -> list[JsonObject]:
    """Return the records of a page."""
    rows, data = page_row_list(document), document.get("data")
    if rows is None and isinstance(data, dict):
        rows = [data["session"]] if "session" in data else [data] if "id" in data else []
    return [row for row in rows or [] if isinstance(row, dict)]


def all_records(document: JsonObject) -> list[JsonObject]:
    """Return the records of a page, and the livestream next to its sessions."""
    data = document.get("data")
    livestream = data.get("livestream") if isinstance(data, dict) else None
    return [*page_rows(document), *([livestream] if isinstance(livestream, dict) else [])]


def paging_objects(document: JsonObject) -> list[JsonObject]:
    """Return every paging object: next to the data, inside it, or per row."""
    holders = [document, document.get("data"), *page_rows(document)]
    pagings = [holder.get("paging") for holder in holders if isinstance(holder, dict)]
    unique = {id(paging): paging for paging in pagings if isinstance(paging, dict)}
    return list(unique.values())


def change_total_count(document: JsonObject, change: Callable[[int], int | None]) -> None:
    """Change total_count in every paging object, keeping its type; None removes it."""
    for paging in paging_objects(document):
        was = paging["total_count"]
        if not isinstance(was, int | str):
            continue
        total = change(int(was))
        if total is None:
            del paging["total_count"]
        else:
            paging["total_count"] = str(total) if isinstance(was, str) else total


def visit_objects(value: Json, visit: Callable[[JsonObject], None]) -> None:
    """Call `visit` for every object of a document, outermost first."""
    if isinstance(value, dict):
        visit(value)
        for inner in value.values():
            visit_objects(inner, visit)
    elif isinstance(value, list):
        for inner in value:
            visit_objects(inner, visit)
