"""Fetches a stream by ranges of days, and lands it: the operations of `catalog/streams.py` that take two dates."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import polars as pl

from pipelines.catalog.streams import Stream
from pipelines.clock import days_from, describe_days, utc_now
from pipelines.errors import ApiError, ApiRefusedError, UnexpectedReplyError
from pipelines.extract import operations, selection
from pipelines.extract.concurrency import fetch_concurrently
from pipelines.extract.day_parsers import DAY_PARSERS
from pipelines.normalize.raw_frames import raw_day_entries
from pipelines.normalize.record import Record, read_record
from pipelines.steps.context import Range, RunContext
from pipelines.steps.landing import LandingBuffer, fail_in_part, purge
from pipelines.steps.outcomes import Counts
from pipelines.steps.side_by_side import Fetching

_REFUSALS_TO_GIVE_UP = 8
"""Ranges of a chunk refused in a row, after which the rest is not sent: a month is down to single days after five."""

_OF_THE_TOKEN = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@dataclass(frozen=True)
class _Part:
    """The result of one range of days: rows and records of each part of the reply, or the error."""

    days: Range
    landing: list[tuple[pl.DataFrame, list[Record]]]
    error: ApiError | None = None


def extract_day_ranges(run: RunContext, stream: Stream, days: Range) -> dict[str, Counts]:
    """Fetch and land the days of a range, a month in one request."""
    landing = LandingBuffer(run, stream.raw)

    def fetch(app_id: str, counts: Counts) -> Fetching:
        parts: list[_Part] = []
        chunks = selection.split_days(run.days_to_load(app_id, days))
        replies = fetch_concurrently(
            lambda chunk: _fetch_chunk(run, stream, app_id, chunk), chunks, run.client.concurrency
        )
        while result := (yield replies):
            found = result.value or [_Part(result.item, [], result.error)]
            for frame, records in (landed for part in found for landed in part.landing):
                landing.add(frame, records, counts)
            parts += [replace(part, landing=[]) for part in found]
        failed = [part for part in parts if part.error]
        if run.allow_shrink:
            landing.flush()
            answered = [day for part in parts if not part.error for day in days_from(*part.days)]
            purge(run, stream.raw, app_id, answered)
        missing = f"{stream.label} of {describe_days(day for part in failed for day in days_from(*part.days))}"
        errors = [part.error for part in failed if part.error]
        fail_in_part(run, stream.raw, app_id, missing, errors, answered=len(parts) - len(failed))

    return run.fetch_for_each_app(stream.raw, fetch, days=days, flush=landing.flush)


def _fetch_chunk(run: RunContext, stream: Stream, app_id: str, chunk: Range) -> list[_Part]:
    """Fetch a range of days; where the API refuses it, its halves, the newer one first, down to single days.

    One day that the API does not answer, such as one older than it keeps, must not take the others with it.
    """
    parts: list[_Part] = []
    waiting, refused = [chunk], 0
    while waiting:
        first, last = waiting.pop()
        fetched_at = utc_now()
        try:
            reply = operations.get_days(run.client, app_id, stream.path, first, last)
            parts.append(_Part((first, last), _read_reply(run, stream, app_id, reply, (first, last), fetched_at)))
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


def _read_reply(
    run: RunContext, stream: Stream, app_id: str, reply: dict[str, Any], days: Range, fetched_at: datetime
) -> list[tuple[pl.DataFrame, list[Record]]]:
    landing = []
    for part in DAY_PARSERS[stream.operation](reply):
        records = [read_record(value) for value in part.records]
        frame = raw_day_entries(
            stream,
            records,
            days_from(*days),
            omitted_is_zero=part.omitted_is_zero,
            stats=part.stats,
            app_id=app_id,
            fetched_at=fetched_at,
            run_id=run.run_id,
        )
        landing.append((frame, records))
    return landing
