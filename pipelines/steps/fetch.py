"""Asks, and lands what comes as it comes: livestreams, day totals, day-wise statistics. Sessions: `sessions.py`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any

import polars as pl

from pipelines.catalog.raw import RAW_APP_ANALYTICS, RAW_LIVESTREAM_ANALYTICS, RAW_LIVESTREAMS
from pipelines.clock import days_from, describe_days, utc_now
from pipelines.errors import ApiError, ApiRefusedError, UnexpectedReplyError
from pipelines.extract import operations, page_fetchers, parsers
from pipelines.extract import selection as sync
from pipelines.extract.concurrency import Result, fetch_concurrently, prefetch_pages
from pipelines.extract.paging import read_all
from pipelines.load import raw_tables as raw_file
from pipelines.load import selection
from pipelines.load.raw_versions import last_landing
from pipelines.normalize import raw_frames as normalize
from pipelines.steps.context import Counts, Range, RunContext
from pipelines.steps.landing import BATCH, FlushTimer, Record, fail_in_part, land, purge
from pipelines.steps.progress import progress

_REFUSALS_TO_GIVE_UP = 8
"""Ranges of a chunk refused in a row, after which the rest is not sent: a month is down to single days after five."""

_OF_THE_TOKEN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def extract_livestreams(run: RunContext) -> dict[str, Counts]:
    """Page through all livestreams of each app."""

    def fetch(app_id: str, counts: Counts) -> None:
        fetched_at = utc_now()
        fetch = page_fetchers.livestream_page_fetcher(run.client, app_id)
        listed: set[str] = set()
        with run.warehouse.open_raw() as connection:
            after, _ = last_landing(connection)
        with prefetch_pages(fetch, run.client.concurrency) as page, progress(f"{app_id} livestreams") as advance:
            for received in _batches(read_all(f"livestreams of app {app_id}", page, normalize.identity)):
                batch = run.client.redact(received)  # a page may quote a key that only a later page names as one
                frame = normalize.raw_livestreams(batch, app_id=app_id, fetched_at=fetched_at, run_id=run.run_id)
                land(run, RAW_LIVESTREAMS, frame, batch, counts)
                listed.update(frame["livestream_id"].drop_nulls())
                advance(len(batch))
        run.warehouse.write_raw(
            partial(
                selection.note_list,
                app_id=app_id,
                livestreams=len(listed),
                after=after,
                run_id=run.run_id,
                now=fetched_at,
            )
        )

    return run.for_each_app(RAW_LIVESTREAMS, fetch, days=None, uses_api=True)


def _batches(pages: Iterable[list[Record]]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for page in pages:
        batch += page
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def extract_overall(run: RunContext, days: Range) -> dict[str, Counts]:
    """Fetch the totals of each day that is not settled."""

    def fetch(app_id: str, counts: Counts) -> None:
        fetch_overall(run, app_id, unsettled_days(run, app_id, days), counts)

    return run.for_each_app(RAW_LIVESTREAM_ANALYTICS, fetch, days=days, uses_api=True)


def unsettled_days(run: RunContext, app_id: str, days: Range) -> list[date]:
    """Return the days of a range whose *overall* this run has to fetch."""
    with run.warehouse.open_raw() as connection:
        versions = raw_file.read_day_versions(connection, RAW_LIVESTREAM_ANALYTICS, app_id)
    return sync.days_to_fetch(
        run.days_to_load(app_id, days), versions, full=run.full, resume_from=run.resume_from, now=utc_now()
    )


def fetch_overall(run: RunContext, app_id: str, days: Sequence[date], counts: Counts, *, are_all: bool = True) -> None:
    """Fetch and land the totals of these days. Those that could not be fetched are a failure of the run.

    `are_all`: the run fetches no others, so that a failure of all of them is one of the whole table.
    """

    def overall(day: date) -> Record:
        return parsers.parse_overall(operations.get_overall_analytics(run.client, app_id, day, day), day)

    results: list[Result[date, Record]] = []
    failed: list[Result[date, Record]] = []
    pace = FlushTimer()
    try:
        with progress(f"{app_id} overall", len(days)) as advance:
            # The newest first: an old one may be refused whatever its form, and tells nothing of the dialect.
            for result in fetch_concurrently(overall, days[::-1], run.client.concurrency):
                advance(1)
                (failed if result.error else results).append(result)
                if pace.due():
                    _land_days(run, app_id, results, counts)
                    pace.landed()
                    results = []
    finally:
        _land_days(run, app_id, results, counts)
    if run.allow_shrink:
        purge(run, RAW_LIVESTREAM_ANALYTICS, app_id, set(days) - {result.item for result in failed})
    part = f"overall of {describe_days(result.item for result in failed)}"
    errors = [result.error for result in failed if result.error]
    fail_in_part(run, RAW_LIVESTREAM_ANALYTICS, app_id, part, errors, answered=len(days) - len(failed) + (not are_all))


def _land_days(run: RunContext, app_id: str, results: list[Result[date, Record]], counts: Counts) -> None:
    if results:
        frame = pl.concat(
            normalize.raw_day(
                RAW_LIVESTREAM_ANALYTICS,
                result.value,
                result.item,
                app_id=app_id,
                fetched_at=result.requested_at,
                run_id=run.run_id,
            )
            for result in results
        )
        land(run, RAW_LIVESTREAM_ANALYTICS, frame, [result.value for result in results], counts)


@dataclass(frozen=True)
class _Part:
    """What came of one range of days: its rows and records by `shapes.STATS`, or why there are none."""

    days: Range
    landing: list[tuple[pl.DataFrame, list[Record]]]
    error: ApiError | None = None


def extract_daywise(run: RunContext, days: Range) -> dict[str, Counts]:
    """Fetch meeting sessions and recordings day by day, a month in one request."""

    def fetch(app_id: str, counts: Counts) -> None:
        parts: list[_Part] = []
        chunks = sync.chunks(run.days_to_load(app_id, days))
        for result in fetch_concurrently(
            lambda chunk: _fetch_daywise(run, app_id, chunk), chunks, run.client.concurrency
        ):
            found = result.value or [_Part(result.item, [], result.error)]
            for frame, records in (landing for part in found for landing in part.landing):
                land(run, RAW_APP_ANALYTICS, frame, records, counts)
            parts += [replace(part, landing=[]) for part in found]
        failed = [part for part in parts if part.error]
        if run.allow_shrink:
            answered = [day for part in parts if not part.error for day in days_from(*part.days)]
            purge(run, RAW_APP_ANALYTICS, app_id, answered)
        missing = f"daywise of {describe_days(day for part in failed for day in days_from(*part.days))}"
        errors = [part.error for part in failed if part.error]
        fail_in_part(run, RAW_APP_ANALYTICS, app_id, missing, errors, answered=len(parts) - len(failed))

    return run.for_each_app(RAW_APP_ANALYTICS, fetch, days=days, uses_api=True)


def _fetch_daywise(run: RunContext, app_id: str, chunk: Range) -> list[_Part]:
    """Fetch a range of days; where the API refuses it, its halves, the newer one first, down to single days.

    One day that the API does not answer, such as one older than it keeps, must not take the others with it.
    """
    parts: list[_Part] = []
    waiting, refused = [chunk], 0
    while waiting:
        first, last = waiting.pop()
        fetched_at = utc_now()
        try:
            reply = operations.get_daywise_analytics(run.client, app_id, first, last)
            parts.append(_Part((first, last), _read_daywise(reply, (first, last), app_id, fetched_at, run.run_id)))
            refused = 0
        except (ApiRefusedError, UnexpectedReplyError) as error:
            refused += 1
            middle = first + (last - first) // 2
            if refused >= _REFUSALS_TO_GIVE_UP or getattr(error, "status", None) in _OF_THE_TOKEN:
                parts += [_Part(days, [], error) for days in ((first, last), *waiting)]
                break
            if first < last:
                waiting += [(first, middle), (middle + timedelta(days=1), last)]
            else:
                parts.append(_Part((first, last), [], error))
        except ApiError as error:
            parts.append(_Part((first, last), [], error))
    if len(parts) == 1 and parts[0].error:
        raise parts[0].error
    return parts


def _read_daywise(
    reply: dict[str, Any], days: Range, app_id: str, fetched_at: datetime, run_id: str
) -> list[tuple[pl.DataFrame, list[Record]]]:
    landing = []
    for stats in parsers.STATS:
        entries, left_out_is_zero = parsers.parse_daywise(reply, stats)
        frame = normalize.raw_daywise(
            entries,
            left_out_is_zero,
            days_from(*days),
            stats=stats,
            app_id=app_id,
            fetched_at=fetched_at,
            run_id=run_id,
        )
        landing.append((frame, entries))
    return landing
