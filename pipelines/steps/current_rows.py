"""Reads the current rows of a core table: normalized from its raw table, in chunks of whole days that fit in memory."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from typing import TypeVar

import polars as pl

from pipelines.catalog.streams import part_of, stream_of
from pipelines.catalog.types import Table
from pipelines.load import raw_tables
from pipelines.load.loaded_days import days_of_other_rules, find_loaded_days, to_frame
from pipelines.load.raw_changes import AppDay
from pipelines.normalize.fingerprint import fingerprint
from pipelines.normalize.resolve import Normalized, normalize
from pipelines.normalize.shrinks import Sums
from pipelines.steps.context import RunContext
from pipelines.steps.kept_results import Days
from pipelines.steps.load_plan import changed_days
from pipelines.steps.process_memory import return_freed_memory
from pipelines.steps.session_counts import with_session_counts

CHUNK_ROWS = 20_000
"""Raw rows that are normalized together. This bounds memory, however long the range."""

Part = TypeVar("Part")


def days_in_core(run: RunContext, table: Table, days: Collection[AppDay]) -> set[AppDay]:
    """Return those of the days whose rows in a fact table are current: loaded by these rules, and unchanged in raw since."""
    changed = changed_days(run, table, sorted({app_id for app_id, _ in days}))
    with run.warehouse.open_working() as connection:
        loaded = find_loaded_days(connection, table, to_frame(days))
        outdated = days_of_other_rules(connection, table, fingerprint(table))
    return {(app_id, day) for app_id, day in loaded.keys() - changed if day not in outdated.get(app_id, ())}


def normalize_days(
    run: RunContext, table: Table, app_id: str, days: Days, *, keep: bool = False
) -> Iterator[tuple[Days, Normalized]]:
    """Yield chunks of these days with the current rows of a fact table, normalized from raw. None: records without a day.

    `keep`: a later call for the same days takes the rows of this one, if they are few and still current.
    """
    if not days:
        return
    place = (table.full_name, app_id, days)
    landings = run.landings_of_others() if keep or run.kept_rows.holds(*place[:2]) else 0
    if found := run.kept_rows.take(*place, landings_of_others=landings):
        yield days, found
        return
    for chunk, found in _normalize_chunks(run, table, app_id, days):
        if keep and chunk == days:
            run.kept_rows.keep(*place, found, rows=found.rows.height, landings_of_others=landings)
        yield chunk, found


def _normalize_chunks(run: RunContext, table: Table, app_id: str, days: Days) -> Iterator[tuple[Days, Normalized]]:
    stream, part = stream_of(table), part_of(table)
    with run.warehouse.open_raw() as connection:
        counted = raw_tables.rows_by_day(connection, stream.raw, app_id, days, stats=part.stats)
    if stream.is_by_day:  # a fetched day has a version, even if an empty one; without one it is unknown
        days = [day for day in days if day is None or day in counted]
    for chunk in split_chunks(days, counted):
        with run.warehouse.open_raw() as connection:
            raw = raw_tables.read_versions_of_days(connection, stream.raw, app_id, chunk, stats=part.stats)
        resolve = partial(
            normalize, table, raw, now=run.started_at, retention_days=run.settings.retention_days, days=chunk
        )
        found = resolve()
        if part.explained_by and not found.shrinks.is_empty():
            found = resolve(session_sums=_sum_measures(run, part.explained_by, app_id, found.shrinks["day"].to_list()))
        if table.joined_columns:
            found = with_session_counts(run, app_id, chunk, found)
        yield chunk, found
        return_freed_memory()


def _sum_measures(run: RunContext, table: Table, app_id: str, days: Sequence[date]) -> dict[tuple[date, str], Sums]:
    """Sum the measures of a table's landed records by day and column. Days without records are omitted."""
    sums: dict[tuple[date, str], Sums] = {}
    for _, found in normalize_days(run, table, app_id, [*sorted(days)]):
        for name in table.measures:
            measure = pl.col(name)
            by_day = found.rows.group_by("day").agg(
                exact=measure.sum(), least=measure.floor().sum(), most=measure.ceil().sum()
            )
            sums |= {(day, name): Sums(*values) for day, *values in by_day.iter_rows()}
    return sums


def split_chunks(parts: Sequence[Part], counted: Mapping[Part, int]) -> Iterator[list[Part]]:
    """Split days or livestreams into chunks with at most `CHUNK_ROWS` versions each; a larger part is a chunk of its own."""
    chunk: list[Part] = []
    rows = 0
    for part in parts:
        if chunk and rows + counted.get(part, 0) > CHUNK_ROWS:
            yield chunk
            chunk, rows = [], 0
        chunk.append(part)
        rows += counted.get(part, 0)
    yield chunk
