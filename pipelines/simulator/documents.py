"""Finds rows and paging in a reply, whatever its shape, so that faults can alter them."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from pipelines.simulator.calls import Call, Reply
from pipelines.simulator.render import Object
from pipelines.simulator.value_styles import Json

Answer = Callable[[Call], Reply]


@dataclass(frozen=True, slots=True)
class Alteration:
    """A fault of content: for which operations it makes sense, and what it makes of the reply."""

    operations: tuple[str, ...]
    alter: Callable[[Call, Answer, random.Random], Reply]


def row_list(document: Object) -> list[Json] | None:
    """Return the list of livestreams or sessions of a page; None in the shapes without one."""
    data = document.get("data")
    if isinstance(data, dict):
        data = data.get("livestreams", data.get("sessions"))
    return data if isinstance(data, list) else None


def rows_of(document: Object) -> list[Object]:
    """Return the records of a page."""
    rows, data = row_list(document), document.get("data")
    if rows is None and isinstance(data, dict):
        rows = [data["session"]] if "session" in data else [data] if "id" in data else []
    return [row for row in rows or [] if isinstance(row, dict)]


def records_of(document: Object) -> list[Object]:
    """Return the records of a page, and the livestream beside the sessions."""
    data = document.get("data")
    livestream = data.get("livestream") if isinstance(data, dict) else None
    return [*rows_of(document), *([livestream] if isinstance(livestream, dict) else [])]


def pagings_of(document: Object) -> list[Object]:
    """Every paging object: beside, inside or per row."""
    holders = [document, document.get("data"), *rows_of(document)]
    pagings = [holder.get("paging") for holder in holders if isinstance(holder, dict)]
    unique = {id(paging): paging for paging in pagings if isinstance(paging, dict)}
    return list(unique.values())


def change_total(document: Object, change: Callable[[int], int | None]) -> None:
    """Give every paging another total_count (None: take it away), as number or text as it was."""
    for paging in pagings_of(document):
        was = paging["total_count"]
        if not isinstance(was, int | str):
            continue
        total = change(int(was))
        if total is None:
            del paging["total_count"]
        else:
            paging["total_count"] = str(total) if isinstance(was, str) else total


def walk(value: Json, visit: Callable[[Object], None]) -> None:
    """Visit every object of a document, outermost first."""
    if isinstance(value, dict):
        visit(value)
        for inner in value.values():
            walk(inner, visit)
    elif isinstance(value, list):
        for inner in value:
            walk(inner, visit)
