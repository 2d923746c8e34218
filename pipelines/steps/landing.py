"""What every question has in common once it is answered: land the records, count them, fail at the end."""

import time
from collections.abc import Iterable, Sequence
from datetime import date
from functools import partial
from typing import Any

import polars as pl

from pipelines.catalog.types import Table
from pipelines.clock import utc_now
from pipelines.errors import ApiError
from pipelines.load import raw_tables as raw_file
from pipelines.load import raw_versions as versions
from pipelines.normalize.raw_frames import field_types
from pipelines.steps.context import Counts, Failure, RunContext
from pipelines.steps.process_memory import return_freed_memory

BATCH = 5_000
"""Records that are held before they are landed."""

_NAMED = 12
"""Livestreams that a message names; of more, it says how many there are."""

Record = Any
"""A record as received: an object in every case ever seen, yet any JSON value may come."""

_EVERY_SECONDS = 1.0
"""What a killed run has to ask again is what it asked since it last landed: four requests at four a second."""

_SHARE = 0.05
"""Of a run's time goes to landing at most, however large raw has grown."""


class FlushTimer:
    """When to land what is held: so often that little is asked again, unless landing itself takes the time."""

    def __init__(self) -> None:
        """Begin to count now."""
        self._began = time.monotonic()
        self._next = self._began + _EVERY_SECONDS

    def due(self) -> bool:
        """Whether to land now; the time until `landed` is what landing takes."""
        self._began = time.monotonic()
        return self._began >= self._next

    def landed(self) -> None:
        """Count anew."""
        now = time.monotonic()
        self._next = now + max(_EVERY_SECONDS, (now - self._began) / _SHARE)


def land(
    run: RunContext,
    table: Table,
    frame: pl.DataFrame,
    records: list[Record],
    counts: Counts,
    synced: pl.DataFrame | None = None,
) -> int:
    """Land the raw rows made of these records, and count them. What is said about days to come is not landed.

    Returns the number of the landing.
    """
    if table.is_daily:
        to_come = [day for day in frame["day"].unique() if day is not None and not run.is_loadable(day)]
        frame = frame.filter(~pl.col("day").is_in(to_come) | pl.col("day").is_null())
    types = field_types(table, records, utc_now())
    landed = run.warehouse.write_raw(lambda connection: versions.land(connection, table, frame, types, synced))
    counts.landed += landed.new
    counts.duplicates += landed.repeated
    counts.received += frame.height
    return_freed_memory()
    return landed.number


def purge(run: RunContext, table: Table, app_id: str, days: Iterable[date], unread: Sequence[str] = ()) -> None:
    """Drop what was landed of these days and did not come again in this run: `--allow-shrink`.

    Only days that were answered may be given, and the livestreams that were not.
    """
    landing = run.first_landing if run.resume_from is None else run.resume_from
    run.warehouse.write_raw(
        partial(raw_file.purge_before, table=table, app_id=app_id, days=list(days), landing=landing, unread=unread)
    )


def fail_in_part(
    run: RunContext, table: Table, app_id: str, part: str, errors: Sequence[ApiError], *, answered: int
) -> None:
    """Record that a part of a table could not be fetched. Raises the first error where nothing was answered at all."""
    if not errors:
        return
    if not answered:
        raise errors[0]
    run.failures.append(Failure(app_id, table.full_name, errors[0], part))


def name_livestreams(livestream_ids: Sequence[str]) -> str:
    """Write livestreams as text: how many, and the first few by id."""
    if len(livestream_ids) == 1:
        return f"livestream {livestream_ids[0]}"
    named = sorted(livestream_ids)[:_NAMED]
    more = len(livestream_ids) - len(named)
    return f"{len(livestream_ids):,} livestreams ({', '.join(named)}{f', {more:,} more livestreams' if more else ''})"
