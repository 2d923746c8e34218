"""Lands records of any stream, counts them, and records partial failures."""

import time
from collections.abc import Iterable, Sequence
from datetime import date
from functools import partial
from typing import NamedTuple

import polars as pl

from pipelines.catalog.types import Table
from pipelines.clock import utc_now
from pipelines.errors import ApiError
from pipelines.load import raw_tables, raw_versions
from pipelines.normalize.raw_frames import field_types
from pipelines.normalize.record import Record
from pipelines.steps.context import RunContext
from pipelines.steps.outcomes import Counts, Failure
from pipelines.steps.process_memory import return_freed_memory

BATCH = 5_000
"""Records that are landed together."""

_NAMED = 12
"""Livestreams that a message names; it counts the rest."""

_EVERY_SECONDS = 1.0
"""A killed run has to repeat its requests since the last landing: four, at four per second."""

_SHARE = 0.05
"""Landing takes at most this share of a run's time, however large the raw tables have grown."""


class FlushTimer:
    """Decides when to land pending records: often, so that a killed run repeats little, unless landing itself is slow."""

    def __init__(self) -> None:
        """Start the interval now."""
        self._began = time.monotonic()
        self._next = self._began + _EVERY_SECONDS

    def is_due(self) -> bool:
        """Return whether to land now. The time from here to `reset` counts as the duration of landing."""
        self._began = time.monotonic()
        return self._began >= self._next

    def reset(self) -> None:
        """Start the next interval, after landing."""
        now = time.monotonic()
        self._next = now + max(_EVERY_SECONDS, (now - self._began) / _SHARE)


class _Batch(NamedTuple):
    frame: pl.DataFrame
    records: list[Record]
    counts: Counts


class LandingBuffer:
    """Collects the batches of several apps, which are small in a night, and lands them in one transaction."""

    def __init__(self, run: RunContext, table: Table) -> None:
        """Take the raw table. The step that fills it flushes the buffer at its end."""
        self._run = run
        self._table = table
        self._pending: list[_Batch] = []
        self._timer = FlushTimer()

    def add(self, frame: pl.DataFrame, records: list[Record], counts: Counts) -> None:
        """Add the rows of an app; land all that is pending if that is much, or has waited long enough."""
        self._pending.append(_Batch(frame, records, counts))
        if sum(len(batch.frame) for batch in self._pending) >= BATCH or self.is_due():
            self.flush()

    def is_due(self) -> bool:
        """Return whether what was received has waited long enough."""
        return self._timer.is_due()

    def flush(self) -> None:
        """Land what is pending."""
        pending, self._pending = self._pending, []
        if pending:
            _land_batches(self._run, self._table, pending)
        self._timer.reset()


def land(
    run: RunContext,
    table: Table,
    frame: pl.DataFrame,
    records: list[Record],
    counts: Counts,
    synced: pl.DataFrame | None = None,
) -> int:
    """Land raw rows and the JSON types of their records, and count them. Rows about future days are not landed.

    `synced`: rows of ops.livestream_sync that commit with them. Returns the number of the landing.
    """
    return _land_batches(run, table, [_Batch(frame, records, counts)], synced)


def _land_batches(run: RunContext, table: Table, batches: list[_Batch], synced: pl.DataFrame | None = None) -> int:
    frame = pl.concat([batch.frame for batch in batches])
    if table.is_daily:
        future_days = [day for day in frame["day"].unique() if day is not None and not run.is_loadable(day)]
        frame = frame.filter(~pl.col("day").is_in(future_days) | pl.col("day").is_null())
    types = field_types(table, [record for batch in batches for record in batch.records], utc_now())
    landed = run.warehouse.write_raw(lambda connection: raw_versions.land(connection, table, frame, types, synced))
    run.own_landings += 1
    run.forget_results({*frame["app_id"].unique(), *(synced["app_id"] if synced is not None else ())})
    counts_by_app = {batch.frame["app_id"][0]: batch.counts for batch in batches if not batch.frame.is_empty()}
    for app_id, received in frame.group_by("app_id").len().iter_rows():
        counts, new = counts_by_app[app_id], landed.new_by_app.get(app_id, 0)
        counts.received += received
        counts.landed += new
        counts.duplicates += received - new
    return_freed_memory()
    return landed.number


def purge(run: RunContext, table: Table, app_id: str, days: Iterable[date], unread: Sequence[str] = ()) -> None:
    """Delete raw records of these days that this run did not receive again: `--allow-shrink`.

    `days`: only days whose requests succeeded. `unread`: the livestreams whose requests failed.
    """
    run.warehouse.write_raw(
        partial(
            raw_tables.purge_before,
            table=table,
            app_id=app_id,
            days=list(days),
            landing=run.landing_before,
            unread=unread,
        )
    )
    run.forget_results([app_id])


def fail_in_part(
    run: RunContext, table: Table, app_id: str, part: str, errors: Sequence[ApiError], *, answered: int
) -> None:
    """Record that part of a table could not be fetched. Raises the first error if no request was `answered`."""
    if not errors:
        return
    if not answered:
        raise errors[0]
    run.failures.append(Failure(app_id, table.full_name, errors[0], part))


def name_livestreams(livestream_ids: Sequence[str]) -> str:
    """Return a text that counts livestreams and names the first few by id."""
    if len(livestream_ids) == 1:
        return f"livestream {livestream_ids[0]}"
    named = sorted(livestream_ids)[:_NAMED]
    more = len(livestream_ids) - len(named)
    return f"{len(livestream_ids):,} livestreams ({', '.join(named)}{f', {more:,} more livestreams' if more else ''})"
