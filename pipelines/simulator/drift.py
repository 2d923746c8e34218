"""Faults of paging: pages that repeat or never end, wrong totals, rows that come, go and move meanwhile."""

import random
from dataclasses import replace

from pipelines.simulator.calls import DEFAULT_PAGE_SIZE, Call, Reply
from pipelines.simulator.documents import Alteration, Answer, change_total, row_list, rows_of
from pipelines.simulator.seed import new_id

PAGED = ("list-livestreams", "get-livestream")
LIST = ("list-livestreams",)


def _page(call: Call, number: int) -> Call:
    return replace(call, query={**call.query, "page_no": str(number)})


def page_no_ignored(call: Call, answer: Answer, _rng: random.Random) -> Reply:
    """Page 1, whatever was asked for; total_count is right."""
    return answer(_page(call, 1))


def repeat_page(call: Call, answer: Answer, _rng: random.Random) -> Reply:
    """Page 1 for ever, and a total_count that promises a thousand more."""
    reply = answer(_page(call, 1))
    change_total(reply.document, lambda total: total + 1_000)
    return reply


def endless_pages(call: Call, answer: Answer, rng: random.Random) -> Reply:
    """Every page full of records with new ids, and always one more page."""
    reply = answer(_page(call, 1))
    rows = rows_of(reply.document)
    for row in rows:
        row["id"] = new_id(rng)
    ahead = (call.number("page_no", 1) + 1) * max(len(rows), DEFAULT_PAGE_SIZE)
    change_total(reply.document, lambda total: total + ahead)
    return reply


def total_high(call: Call, answer: Answer, _rng: random.Random) -> Reply:
    """total_count is 7 too high."""
    reply = answer(call)
    change_total(reply.document, lambda total: total + 7)
    return reply


def total_low(call: Call, answer: Answer, _rng: random.Random) -> Reply:
    """total_count is half of what there is."""
    reply = answer(call)
    change_total(reply.document, lambda total: total // 2)
    return reply


def total_absent(call: Call, answer: Answer, _rng: random.Random) -> Reply:
    """No total_count."""
    reply = answer(call)
    change_total(reply.document, lambda _total: None)
    return reply


def same_record_twice(call: Call, answer: Answer, _rng: random.Random) -> Reply:
    """Repeat the last record of the page before (on page 1: its own first record)."""
    number = call.number("page_no", 1)
    reply, before = answer(call), answer(_page(call, max(1, number - 1)))
    rows, repeated = row_list(reply.document), rows_of(before.document)
    if rows is None:
        return before
    if repeated:
        rows.insert(0, repeated[-1] if number > 1 else repeated[0])
    return reply


def row_inserted(call: Call, answer: Answer, _rng: random.Random) -> Reply:
    """Add a livestream (or session) before page 2 and on; it is real, the truth has it."""
    if call.number("page_no", 1) > 1 and call.operation == "list-livestreams":
        call.world.add_livestream(call.app_id, name="came while paging")
    elif call.number("page_no", 1) > 1:
        livestream_id, now = call.path["livestream_id"], call.world.now
        if livestream_id in call.world.apps[call.app_id].by_id:
            call.world.add_session(call.app_id, livestream_id, created_at=now, ingest_seconds=60, viewer_seconds=90)
    return answer(call)


def row_removed(call: Call, answer: Answer, _rng: random.Random) -> Reply:
    """Remove the newest livestream that never ran before page 2 and on; the truth no longer has it."""
    if call.number("page_no", 1) > 1:
        rows = reversed(call.world.apps[call.app_id].livestreams)
        never_ran = next((row for row in rows if not row.sessions), None)
        if never_ran is not None:
            call.world.forget_livestream(call.app_id, never_ran.id)
    return answer(call)


def row_moved(call: Call, answer: Answer, _rng: random.Random) -> Reply:
    """Touch the livestream untouched for longest before page 2 and on: by updated_at, it moves."""
    if call.number("page_no", 1) > 1:
        livestreams = call.world.apps[call.app_id].livestreams
        oldest = min(livestreams, key=lambda row: (row.updated_ms, row.id), default=None)
        if oldest is not None:
            oldest.updated_ms = call.world.now_ms
    return answer(call)


DRIFT = {
    "page_no_ignored": Alteration(PAGED, page_no_ignored),
    "repeat_page": Alteration(PAGED, repeat_page),
    "endless_pages": Alteration(PAGED, endless_pages),
    "total_high": Alteration(PAGED, total_high),
    "total_low": Alteration(PAGED, total_low),
    "total_absent": Alteration(PAGED, total_absent),
    "same_record_twice": Alteration(PAGED, same_record_twice),
    "row_inserted": Alteration(PAGED, row_inserted),
    "row_removed": Alteration(LIST, row_removed),
    "row_moved": Alteration(LIST, row_moved),
}
