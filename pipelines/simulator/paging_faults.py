"""Faults of paging: pages that repeat or never end, wrong totals, rows that come, go and move meanwhile."""

import random
from dataclasses import replace

from pipelines.simulator.api_request import DEFAULT_PAGE_SIZE, ApiRequest, ApiResponse
from pipelines.simulator.response_json import ContentFault, Handler, change_total_count, page_row_list, page_rows
from pipelines.simulator.seed import new_id

PAGED = ("list-livestreams", "get-livestream")
LIST = ("list-livestreams",)


def _page(call: ApiRequest, number: int) -> ApiRequest:
    return replace(call, query={**call.query, "page_no": str(number)})


def page_no_ignored(call: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Page 1, whatever was asked for; total_count is right."""
    return handler(_page(call, 1))


def repeat_page(call: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Page 1 for ever, and a total_count that promises a thousand more."""
    reply = handler(_page(call, 1))
    change_total_count(reply.document, lambda total: total + 1_000)
    return reply


def endless_pages(call: ApiRequest, handler: Handler, rng: random.Random) -> ApiResponse:
    """Every page full of records with new ids, and always one more page."""
    reply = handler(_page(call, 1))
    rows = page_rows(reply.document)
    for row in rows:
        row["id"] = new_id(rng)
    ahead = (call.int_param("page_no", 1) + 1) * max(len(rows), DEFAULT_PAGE_SIZE)
    change_total_count(reply.document, lambda total: total + ahead)
    return reply


def total_high(call: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """total_count is 7 too high."""
    reply = handler(call)
    change_total_count(reply.document, lambda total: total + 7)
    return reply


def total_low(call: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """total_count is half of what there is."""
    reply = handler(call)
    change_total_count(reply.document, lambda total: total // 2)
    return reply


def total_absent(call: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """No total_count."""
    reply = handler(call)
    change_total_count(reply.document, lambda _total: None)
    return reply


def same_record_twice(call: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Repeat the last record of the page before (on page 1: its own first record)."""
    number = call.int_param("page_no", 1)
    reply, before = handler(call), handler(_page(call, max(1, number - 1)))
    rows, repeated = page_row_list(reply.document), page_rows(before.document)
    if rows is None:
        return before
    if repeated:
        rows.insert(0, repeated[-1] if number > 1 else repeated[0])
    return reply


def row_inserted(call: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Add a livestream (or session) before page 2 and on; it is real, the truth has it."""
    if call.int_param("page_no", 1) > 1 and call.operation == "list-livestreams":
        call.world.add_livestream(call.app_id, name="came while paging")
    elif call.int_param("page_no", 1) > 1:
        livestream_id, now = call.path["livestream_id"], call.world.now
        if livestream_id in call.world.apps[call.app_id].by_id:
            call.world.add_session(call.app_id, livestream_id, created_at=now, ingest_seconds=60, viewer_seconds=90)
    return handler(call)


def row_removed(call: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Remove the newest livestream that never ran before page 2 and on; the truth no longer has it."""
    if call.int_param("page_no", 1) > 1:
        rows = reversed(call.world.apps[call.app_id].livestreams)
        never_ran = next((row for row in rows if not row.sessions), None)
        if never_ran is not None:
            call.world.delete_livestream(call.app_id, never_ran.id)
    return handler(call)


def row_moved(call: ApiRequest, handler: Handler, _rng: random.Random) -> ApiResponse:
    """Touch the livestream untouched for longest before page 2 and on: by updated_at, it moves."""
    if call.int_param("page_no", 1) > 1:
        livestreams = call.world.apps[call.app_id].livestreams
        oldest = min(livestreams, key=lambda row: (row.updated_ms, row.id), default=None)
        if oldest is not None:
            oldest.updated_ms = call.world.now_ms
    return handler(call)


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
