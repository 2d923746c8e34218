"""What every question has in common once it is answered: land the records, count them, fail at the end."""

import time
from typing import Any

import polars as pl

from pipelines.clock import utc_now
from pipelines.errors import ApiError
from pipelines.load import raw as raw_file
from pipelines.load import versions
from pipelines.memory import return_freed_memory
from pipelines.normalize.records import field_types
from pipelines.schema import Table
from pipelines.steps.house import Counts, House, Range

BATCH = 5_000
"""Records that are held before they are landed."""

Record = Any
"""A record as received: an object in every case ever seen, yet any JSON value may come."""

_EVERY_SECONDS = 1.0
"""What a killed run has to ask again is what it asked since it last landed: four requests at four a second."""

_SHARE = 0.05
"""Of a run's time goes to landing at most, however large raw has grown."""


class Pace:
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
    house: House,
    table: Table,
    frame: pl.DataFrame,
    records: list[Record],
    counts: Counts,
    synced: pl.DataFrame | None = None,
) -> None:
    """Land the raw rows made of these records, and count them."""
    types = field_types(table, records, utc_now())
    landed, repeated = house.warehouse.write_raw(
        lambda connection: versions.land(connection, table, frame, types, synced)
    )
    counts.landed += landed
    counts.duplicates += repeated
    counts.received += frame.height
    return_freed_memory()


def forget(house: House, table: Table, app_id: str, days: Range) -> None:
    """Drop what was landed of these days and did not come again in this run: `--allow-shrink`."""
    since = house.answered_since or house.started_at
    house.warehouse.write_raw(lambda connection: raw_file.forget_before(connection, table, app_id, *days, since))


def raise_first(errors: list[ApiError]) -> None:
    """Fail for the first of several failures, now that the other answers are landed."""
    if errors:
        raise errors[0]
