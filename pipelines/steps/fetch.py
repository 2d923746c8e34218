"""Fetches and lands livestreams and the totals of days (*overall*). Sessions: `sessions.py`; ranges: `day_ranges.py`."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import cache, partial
from typing import Any

from pipelines.catalog.raw import RAW_LIVESTREAM_ANALYTICS, RAW_LIVESTREAMS
from pipelines.clock import describe_days, utc_now
from pipelines.extract import operations, page_fetchers, parsers, selection
from pipelines.extract.concurrency import Result, fetch_concurrently, prefetch_pages
from pipelines.extract.paging import read_all
from pipelines.load import livestream_sync, raw_tables
from pipelines.load.raw_versions import last_landing
from pipelines.normalize.raw_frames import raw_days, raw_livestreams
from pipelines.normalize.record import Record, identity, read_record
from pipelines.steps.context import Range, RunContext
from pipelines.steps.landing import BATCH, LandingBuffer, fail_in_part, purge
from pipelines.steps.outcomes import Counts
from pipelines.steps.progress import progress
from pipelines.steps.side_by_side import Fetching


def extract_livestreams(run: RunContext) -> dict[str, Counts]:
    """Fetch and land the complete list of livestreams of each app."""
    landing = LandingBuffer(run, RAW_LIVESTREAMS)
    lists: list[dict[str, object]] = []

    @cache
    def find_last_landing() -> int:
        """Return the last landing before the first request of this step; the tables of all apps are locked by then."""
        with run.warehouse.open_raw() as connection:
            number, _ = last_landing(connection)
        return number

    def fetch(app_id: str, counts: Counts) -> Fetching:
        fetched_at = utc_now()
        after = find_last_landing()
        pages = _read_pages(run, app_id)
        listed: set[str] = set()
        pending: list[Any] = []
        with progress(f"{app_id} livestreams", phase="livestreams") as advance:
            while (page := (yield pages)) is not None:
                pending += page
                if len(pending) >= BATCH:
                    listed |= _add_livestreams(run, landing, app_id, pending, fetched_at, counts)
                    advance(len(pending))
                    pending = []
            listed |= _add_livestreams(run, landing, app_id, pending, fetched_at, counts)
        lists.append(
            {
                "app_id": app_id,
                "livestreams": len(listed),
                "arrival": after,
                "listed_at": fetched_at,
                "run_id": run.run_id,
            }
        )

    def flush() -> None:
        landing.flush()
        if lists:  # whose records have landed
            run.warehouse.write_raw(partial(livestream_sync.note_lists, lists=lists))
            lists.clear()

    return run.fetch_for_each_app(RAW_LIVESTREAMS, fetch, days=None, flush=flush)


def _read_pages(run: RunContext, app_id: str) -> Iterator[list[Any]]:
    fetch_page = page_fetchers.livestream_page_fetcher(run.client, app_id)
    with prefetch_pages(fetch_page, run.client.concurrency) as page:
        yield from read_all(f"livestreams of app {app_id}", page, identity)


def _add_livestreams(
    run: RunContext, landing: LandingBuffer, app_id: str, values: list[Any], fetched_at: datetime, counts: Counts
) -> set[str]:
    """Add livestreams to what is landed together, and return their ids."""
    if not values:
        return set()
    # A page may quote a stream key that only a later page names as one.
    records = [read_record(value) for value in run.client.redact(values)]
    frame = raw_livestreams(records, app_id=app_id, fetched_at=fetched_at, run_id=run.run_id)
    landing.add(frame, records, counts)
    return set(frame["livestream_id"].drop_nulls())


def extract_overall(run: RunContext, days: Range) -> dict[str, Counts]:
    """Fetch and land the totals of each day that is not settled."""
    landing = LandingBuffer(run, RAW_LIVESTREAM_ANALYTICS)

    @cache
    def find_unsettled() -> dict[str, list[date]]:
        """Return the days of all apps, whose tables are locked by then."""
        return unsettled_days(run, run.settings.app_ids, days)

    def fetch(app_id: str, counts: Counts) -> Fetching:
        yield from fetch_overall(run, landing, app_id, find_unsettled()[app_id], counts)

    return run.fetch_for_each_app(RAW_LIVESTREAM_ANALYTICS, fetch, days=days, flush=landing.flush)


def unsettled_days(run: RunContext, app_ids: Sequence[str], days: Range) -> dict[str, list[date]]:
    """Return, by app, the days of a range whose *overall* this run has to fetch."""
    with run.warehouse.open_raw() as connection:
        versions = raw_tables.read_day_versions(connection, RAW_LIVESTREAM_ANALYTICS, app_ids)
    wanted = {app_id: run.days_to_load(app_id, days) for app_id in app_ids}
    return selection.days_to_fetch(wanted, versions, full=run.full, resume_from=run.resume_from, now=utc_now())


def fetch_overall(
    run: RunContext,
    landing: LandingBuffer,
    app_id: str,
    days: Sequence[date],
    counts: Counts,
    *,
    is_whole_table: bool = True,
) -> Fetching:
    """Fetch and land the totals of these days. Days that fail become a failure of the run.

    `is_whole_table`: the run fetches no other days, so if all of these fail the whole table has failed.
    """

    def overall(day: date) -> Record:
        return read_record(parsers.parse_overall(operations.get_overall_analytics(run.client, app_id, day, day), day))

    results: list[Result[date, Record]] = []
    failed: list[Result[date, Record]] = []
    # Newest first: an old day may be refused in any form of time, which reveals nothing about the dialect.
    replies = fetch_concurrently(overall, days[::-1], run.client.concurrency)
    try:
        with progress(f"{app_id} overall", len(days), phase="overall") as advance:
            while result := (yield replies):
                advance(1)
                (failed if result.error else results).append(result)
                if landing.is_due():
                    _add_days(run, landing, app_id, results, counts)
                    results = []
    finally:
        _add_days(run, landing, app_id, results, counts)
    if run.allow_shrink:
        landing.flush()
        purge(run, RAW_LIVESTREAM_ANALYTICS, app_id, set(days) - {result.item for result in failed})
    part = f"overall of {describe_days(result.item for result in failed)}"
    errors = [result.error for result in failed if result.error]
    fail_in_part(
        run, RAW_LIVESTREAM_ANALYTICS, app_id, part, errors, answered=len(days) - len(failed) + (not is_whole_table)
    )


def _add_days(
    run: RunContext, landing: LandingBuffer, app_id: str, results: list[Result[date, Record]], counts: Counts
) -> None:
    fetched = [(result, result.value) for result in results if result.value]
    if fetched:
        records = [record for _, record in fetched]
        frame = raw_days(
            RAW_LIVESTREAM_ANALYTICS,
            records,
            [result.item for result, _ in fetched],
            app_id=app_id,
            fetched_at=[result.requested_at for result, _ in fetched],
            run_id=run.run_id,
        )
        landing.add(frame, records, counts)
