"""Asks, and lands what comes as it comes: livestreams, day totals, day-wise statistics. Sessions: `sessions.py`."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import polars as pl

from pipelines.clock import days_from, utc_now
from pipelines.extract import operations, shapes, sync
from pipelines.extract.paging import read_all
from pipelines.extract.parallel import Answer, ask_each, pages_ahead
from pipelines.load import raw as raw_file
from pipelines.normalize import records as normalize
from pipelines.steps.house import Counts, House, Range
from pipelines.steps.landing import BATCH, Pace, Record, forget, land, raise_first
from pipelines.steps.progress import progress
from pipelines.tables_raw import RAW_APP_ANALYTICS, RAW_LIVESTREAM_ANALYTICS, RAW_LIVESTREAMS


def extract_livestreams(house: House) -> dict[str, Counts]:
    """Page through all livestreams of each app."""

    def ask(app_id: str, counts: Counts) -> None:
        fetched_at = utc_now()

        def fetch(page_no: int) -> shapes.Page:
            return shapes.livestream_page(operations.list_livestreams(house.client, app_id, page_no=page_no))

        with pages_ahead(fetch, house.client.concurrency) as page, progress(f"{app_id} livestreams") as advance:
            for batch in _batches(read_all(f"livestreams of app {app_id}", page, normalize.identity)):
                frame = normalize.raw_livestreams(batch, app_id=app_id, fetched_at=fetched_at, run_id=house.run_id)
                land(house, RAW_LIVESTREAMS, frame, batch, counts)
                advance(len(batch))

    return house.for_each_app(RAW_LIVESTREAMS, ask, days=None, asks=True)


def _batches(pages: Iterable[list[Record]]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for page in pages:
        batch += page
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def extract_overall(house: House, days: Range) -> dict[str, Counts]:
    """Ask for the totals of each day that is not settled."""

    def ask(app_id: str, counts: Counts) -> None:
        with house.warehouse.open_raw() as connection:
            versions = raw_file.read_day_versions(connection, RAW_LIVESTREAM_ANALYTICS, app_id)
        wanted = sync.days_to_ask(
            house.days_of(app_id, days), versions, full=house.full, answered_since=house.answered_since
        )

        def overall(day: date) -> Record:
            return shapes.overall_of_day(operations.get_overall_analytics(house.client, app_id, day, day), day)

        answers: list[Answer[date, Record]] = []
        errors, pace = [], Pace()
        try:
            with progress(f"{app_id} overall", len(wanted)) as advance:
                for answer in ask_each(overall, wanted, house.client.concurrency):
                    advance(1)
                    answers += [answer] if answer.error is None else []
                    errors += [answer.error] if answer.error else []
                    if pace.due():
                        _land_days(house, app_id, answers, counts)
                        pace.landed()
                        answers = []
        finally:
            _land_days(house, app_id, answers, counts)
        raise_first(errors)
        if house.allow_shrink:
            forget(house, RAW_LIVESTREAM_ANALYTICS, app_id, days)

    return house.for_each_app(RAW_LIVESTREAM_ANALYTICS, ask, days=days, asks=True)


def _land_days(house: House, app_id: str, answers: list[Answer[date, Record]], counts: Counts) -> None:
    if answers:
        frame = pl.concat(
            normalize.raw_day(
                RAW_LIVESTREAM_ANALYTICS,
                answer.value,
                answer.question,
                app_id=app_id,
                fetched_at=answer.asked_at,
                run_id=house.run_id,
            )
            for answer in answers
        )
        land(house, RAW_LIVESTREAM_ANALYTICS, frame, [answer.value for answer in answers], counts)


def extract_daywise(house: House, days: Range) -> dict[str, Counts]:
    """Ask for meeting sessions and recordings day by day, a month in one request."""

    def ask(app_id: str, counts: Counts) -> None:
        def daywise(chunk: Range) -> dict[str, Any]:
            return operations.get_daywise_analytics(house.client, app_id, *chunk)

        errors = []
        for answer in ask_each(daywise, sync.chunks(house.days_of(app_id, days)), house.client.concurrency):
            if answer.value is None:
                errors += [answer.error] if answer.error else []
                continue
            for stats in shapes.STATS:
                entries, left_out_is_zero = shapes.daywise_entries(answer.value, stats)
                frame = normalize.raw_daywise(
                    entries,
                    left_out_is_zero,
                    days_from(*answer.question),
                    stats=stats,
                    app_id=app_id,
                    fetched_at=answer.asked_at,
                    run_id=house.run_id,
                )
                land(house, RAW_APP_ANALYTICS, frame, entries, counts)
        raise_first(errors)
        if house.allow_shrink:
            forget(house, RAW_APP_ANALYTICS, app_id, days)

    return house.for_each_app(RAW_APP_ANALYTICS, ask, days=days, asks=True)
