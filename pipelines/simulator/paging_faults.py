"""Paging faults: pages that repeat or never end, wrong totals, and rows added, deleted or moved between pages."""

import random
from dataclasses import replace

from pipelines.simulator.api_request import DEFAULT_PAGE_SIZE, ApiRequest, ApiResponse
from pipelines.simulator.response_json import (
    PAGED,
    ContentFault,
    Handler,
    change_total_count,
    page_row_list,
    page_rows,
)
from pipelines.simulator.seed import new_id

LIST = ("list-livestreams",)


def _page(request: ApiRequest, number: int) -> ApiRequest:
    return replace(request, query={**request.query, "page_no": str(number)})


def page_no_ignored(request: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Return page 1 for every page; total_count is right."""
    return handler(_page(request, 1))


def repeat_page(request: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Return page 1 for every page, with a total_count that is 1,000 too high."""
    response = handler(_page(request, 1))
    change_total_count(response.document, lambda total: total + 1_000)
    return response


def endless_pages(request: ApiRequest, handler: Handler, rng: random.Random) -> ApiResponse:
    """Return a full page of new ids for every page, and always announce one more."""
    response = handler(_page(request, 1))
    rows = page_rows(response.document)
    for row in rows:
        row["id"] = new_id(rng)
    ahead = (request.int_param("page_no", 1) + 1) * max(len(rows), DEFAULT_PAGE_SIZE)
    change_total_count(response.document, lambda total: total + ahead)
    return response


def total_high(request: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Return a total_count that is 7 too high."""
    response = handler(request)
    change_total_count(response.document, lambda total: total + 7)
    return response


def total_low(request: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Return half of the real total_count."""
    response = handler(request)
    change_total_count(response.document, lambda total: total // 2)
    return response


def total_absent(request: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Return no total_count."""
    response = handler(request)
    change_total_count(response.document, lambda _total: None)
    return response


def same_record_twice(request: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Repeat the last record of the previous page (on page 1: its own first record)."""
    number = request.int_param("page_no", 1)
    response, before = handler(request), handler(_page(request, max(1, number - 1)))
    rows, repeated = page_row_list(response.document), page_rows(before.document)
    if rows is None:
        return before
    if repeated:
        rows.insert(0, repeated[-1] if number > 1 else repeated[0])
    return response


def row_inserted(request: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Add a livestream (or session) before each page from 2 on; the expected rows include it."""
    if request.int_param("page_no", 1) > 1 and request.operation == "list-livestreams":
        request.world.add_livestream(request.app_id, name="added while paging")
    elif request.int_param("page_no", 1) > 1:
        livestream_id, now = request.path["livestream_id"], request.world.now
        if livestream_id in request.world.apps[request.app_id].by_id:
            request.world.add_session(
                request.app_id, livestream_id, created_at=now, ingest_seconds=60, viewer_seconds=90
            )
    return handler(request)


def row_removed(request: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Delete the newest livestream without sessions before each page from 2 on; the expected rows no longer have it."""
    if request.int_param("page_no", 1) > 1:
        rows = reversed(request.world.apps[request.app_id].livestreams)
        never_ran = next((row for row in rows if not row.sessions), None)
        if never_ran is not None:
            request.world.delete_livestream(request.app_id, never_ran.id)
    return handler(request)


def row_moved(request: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Update the least recently updated livestream before each page from 2 on, so that it moves in that order."""
    if request.int_param("page_no", 1) > 1:
        livestreams = request.world.apps[request.app_id].livestreams
        oldest = min(livestreams, key=lambda row: (row.updated_ms, row.id), default=None)
        if oldest is not None:
            oldest.updated_ms = request.world.now_ms
    return handler(request)


DRIFT = {
    "page_no_ignored": ContentFault(PAGED, page_no_ignored),
    "repeat_page": ContentFault(PAGED, repeat_page),
    "endless_pages": ContentFault(PAGED, endless_pages),
    "total_high": ContentFault(PAGED, total_high),
    "total_low": ContentFault(PAGED, total_low),
    "total_absent": ContentFault(PAGED, total_absent),
    "same_record_twice": ContentFault(PAGED, same_record_twice),
    "row_inserted": ContentFault(PAGED, row_inserted),
    "row_removed": ContentFault(LIST, row_removed),
    "row_moved": ContentFault(LIST, row_moved),
}
