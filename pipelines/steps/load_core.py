"""Makes typed rows of what was landed raw, and swaps them into the warehouse, some days at a time."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import TypeVar

import polars as pl

from pipelines.catalog.core import LIVESTREAMS
from pipelines.catalog.raw import RAW_LIVESTREAMS
from pipelines.catalog.streams import DAILY_RAW, part_of, stream_of
from pipelines.catalog.types import Table
from pipelines.clock import utc_now
from pipelines.extract import selection
from pipelines.load import livestream_sync, raw_tables
from pipelines.load.days import (
    LoadedDay,
    apps_of_other_rules,
    days_of_other_rules,
    incomplete_days,
    last_loaded_landing,
    loaded_days,
    note_fingerprint,
    replace_days,
    replace_livestreams,
    replace_shrinks,
)
from pipelines.load.raw_versions import last_landing
from pipelines.normalize.fingerprint import fingerprint
from pipelines.normalize.resolve import Normalized, listed_livestreams, normalize
from pipelines.normalize.shrinks import Sums
from pipelines.steps.context import Counts, Range, RunContext
from pipelines.steps.process_memory import return_freed_memory
from pipelines.steps.progress import progress
from pipelines.steps.session_counts import with_session_counts

CHUNK_ROWS = 20_000
"""Raw rows that are normalized at once: what bounds memory, however long the range."""

_LANDED_BESIDE = timedelta(hours=1)
"""How much older than a load news may be that it did not see, where landings were not numbered yet."""

Days = list[date | None]
Part = TypeVar("Part")


def load_livestreams(run: RunContext) -> dict[str, Counts]:
    """core.livestreams, of every app."""

    def load(app_id: str, counts: Counts) -> None:
        with run.warehouse.open_raw() as connection:
            counted = dict(raw_tables.count_livestreams(connection, app_id))
        for ids in _chunks([None, *(livestream_id for livestream_id in counted if livestream_id is not None)], counted):
            with run.warehouse.open_raw() as connection:
                raw = raw_tables.read_livestreams(connection, app_id, ids)
            made = normalize(LIVESTREAMS, raw, now=run.started_at, retention_days=run.settings.retention_days)
            run.warehouse.write(
                partial(replace_livestreams, app_id=app_id, livestream_ids=ids, rows=made.rows, rejects=made.rejects)
            )
            if not made.superseded.is_empty():  # now that what stands is loaded
                run.warehouse.write_raw(
                    partial(raw_tables.purge_livestream_versions, app_id=app_id, superseded=made.superseded)
                )
            _count(counts, made)
        with run.warehouse.open_raw() as connection:
            counts.arrival, _ = last_landing(connection)
            missing = livestream_sync.livestreams_missing_upstream(connection, app_id, run.run_id)
        if run.allow_shrink:  # what is missing was accepted
            missing = missing.with_columns(pl.lit(None, dtype=pl.String).alias("run_id"))
        run.warehouse.write(partial(replace_shrinks, app_id=app_id, table=LIVESTREAMS, shrinks=missing))

    return run.for_each_app(LIVESTREAMS, load, days=None, needs=(RAW_LIVESTREAMS,))


def load_facts(run: RunContext, table: Table, days: Range) -> dict[str, Counts]:
    """The days of a range in one fact table, and days loaded before of which this run brought news."""
    stream = stream_of(table)
    made_by = fingerprint(table)

    def load(app_id: str, counts: Counts) -> None:
        with run.warehouse.open_working() as connection:
            outdated = days_of_other_rules(connection, table, app_id, made_by)
        if outdated:
            counts.note = f"columns or rules changed: {table.full_name} was rebuilt from raw, {len(outdated):,} days"
        with progress(f"{app_id} {table.full_name}, days") as advance:
            with run.warehouse.open_raw() as connection:
                counts.arrival, _ = last_landing(connection)  # before raw is read: what lands beside is not lost
            for chunk, made in current_rows(run, table, app_id, days, with_changed=True, and_of=outdated):
                replace(app_id, chunk, made, counts.arrival)
                _count(counts, made)
                advance(len(chunk))
        run.warehouse.write(partial(note_fingerprint, table=table, app_id=app_id, fingerprint=made_by, now=utc_now()))

    def rebuild(app_id: str) -> None:
        with run.warehouse.open_working() as connection:
            outdated = days_of_other_rules(connection, table, app_id, made_by)
        with run.warehouse.open_raw() as connection:
            arrival, _ = last_landing(connection)
        for chunk, made in current_rows(run, table, app_id, None, and_of=outdated) if outdated else ():
            replace(app_id, chunk, made, arrival)
        run.warehouse.write(partial(note_fingerprint, table=table, app_id=app_id, fingerprint=made_by, now=utc_now()))

    def replace(app_id: str, chunk: Days, made: Normalized, arrival: int) -> None:
        shrinks, unread = made.shrinks, None
        if not stream.is_by_day:
            with run.warehouse.open_raw() as connection:
                shrinks = shrinks.vstack(raw_tables.sessions_missing_upstream(connection, app_id, chunk, run.run_id))
            unread = _count_unread_livestreams(run, app_id, [day for day in chunk if day])
        run.warehouse.write(
            partial(
                replace_days,
                table=table,
                app_id=app_id,
                days=chunk,
                rows=made.rows,
                rejects=made.rejects,
                shrinks=shrinks,
                run_id=run.run_id,
                now=utc_now(),
                retention_days=run.settings.retention_days,
                arrival=arrival,
                fetched_at=_fetched_at(run, table, app_id, [day for day in chunk if day], days),
                unread_livestreams=unread,
            )
        )

    done = run.for_each_app(table, load, days=days, needs=(stream.raw,))
    # Marts are built of every app, also of one that this run does not fetch: because it failed, or is no longer a setting.
    with run.warehouse.open_working() as connection:
        others = [app_id for app_id in apps_of_other_rules(connection, table, made_by) if app_id not in done]
    for app_id in others:
        with run.warehouse.lock_table(table.full_name, app_id):
            rebuild(app_id)
    return done


def _fetched_at(run: RunContext, table: Table, app_id: str, chunk: Sequence[date], days: Range) -> dict[date, datetime]:
    """Return when the source last told of each of these days, some of which are in the range of this run.

    Sessions are fetched by livestream, so only a run that fetches them knows its days whole, as of its start. Of a day that
    no run has loaded yet, the daily answers of the run that landed it tell.
    """
    stream = stream_of(table)
    sources = (stream.raw,) if stream.is_by_day else DAILY_RAW
    found: dict[date, datetime] = {}
    with run.warehouse.open_raw() as connection:
        for source in sources:
            for day, at in raw_tables.last_fetched(connection, source, app_id, chunk).items():
                found[day] = min(at, found.get(day, at))
    if not stream.is_by_day:
        with run.warehouse.open_working() as connection:
            found |= {day: held.at for day, held in loaded_days(connection, table, app_id).items() if day in set(chunk)}
        if (app_id, stream.raw.full_name) in run.fetched:
            found |= dict.fromkeys(set(chunk) & set(run.days_to_load(app_id, days)), run.started_at)
    return found


def _count_unread_livestreams(run: RunContext, app_id: str, days: Sequence[date]) -> dict[date, int]:
    """Return how many livestreams whose sessions could not be read may have had one on each of these days."""
    with run.warehouse.open_raw() as connection:
        synced = livestream_sync.read_sync(connection, app_id).filter(pl.col("failed_at").is_not_null())
        if synced.is_empty():
            return {}
        raw = raw_tables.read_livestreams(connection, app_id, synced["livestream_id"].to_list())
    return selection.count_unread_livestreams(days, listed_livestreams(raw, run.started_at), synced)


def _count(counts: Counts, made: Normalized) -> None:
    counts.received += made.received
    counts.landed += made.rows.height
    counts.quarantined += made.rejects.height
    counts.duplicates += made.duplicates


def current_rows(
    run: RunContext,
    table: Table,
    app_id: str,
    days: Range | None,
    *,
    with_changed: bool = False,
    and_of: Collection[date] = (),
) -> Iterator[tuple[Days, Normalized]]:
    """What stands of a fact table by what is landed raw, in chunks of whole days.

    `with_changed` adds the days loaded before of which news were landed since, by this run or by one that was
    killed or failed before it could load them, and records without a day. `and_of` adds days outside of the range.
    """
    stream, part = stream_of(table), part_of(table)
    changed: list[tuple[date, raw_tables.News]] = []
    if with_changed:
        with run.warehouse.open_working() as connection:
            last = last_loaded_landing(connection, table, app_id)
        with run.warehouse.open_raw() as connection:
            for source in (stream.raw, *part.also_reads):
                changed += raw_tables.days_changed(connection, source, app_id, last).items()
    wanted = {*(run.days_to_load(app_id, days) if days else []), *and_of}
    if with_changed and not stream.is_by_day:
        oldest = run.started_at.date() - timedelta(days=run.settings.retention_days)
        with run.warehouse.open_working() as connection:
            wanted |= set(incomplete_days(connection, table, app_id, oldest))
    if changed:
        with run.warehouse.open_working() as connection:
            loaded = loaded_days(connection, table, app_id)
        wanted |= {day for day, news in changed if day in loaded and _is_newer(news, loaded[day])}
    ordered: Days = [None, *sorted(wanted)] if with_changed else [*sorted(wanted)]
    with run.warehouse.open_raw() as connection:
        counted = raw_tables.rows_by_day(connection, stream.raw, app_id, ordered, stats=part.stats)
    if stream.is_by_day:  # an answer about a day is a version, even an empty one: without it, unknown
        ordered = [day for day in ordered if day is None or day in counted]
    for chunk in _chunks(ordered, counted):
        with run.warehouse.open_raw() as connection:
            raw = raw_tables.read_versions_of_days(connection, stream.raw, app_id, chunk, stats=part.stats)
        made = partial(
            normalize, table, raw, now=run.started_at, retention_days=run.settings.retention_days, days=chunk
        )
        found = made()
        if part.explained_by and not found.shrinks.is_empty():
            found = made(at_hand=sum_measures(run, part.explained_by, app_id, found.shrinks["day"].to_list()))
        if table.joined_columns:
            found = with_session_counts(run, app_id, chunk, found)
        yield chunk, found
        return_freed_memory()


def sum_measures(run: RunContext, table: Table, app_id: str, days: Sequence[date]) -> dict[tuple[date, str], Sums]:
    """Sum the measures of a table's landed records by day and column; days without records are left out."""
    raw_table = stream_of(table).raw
    sums: dict[tuple[date, str], Sums] = {}
    with run.warehouse.open_raw() as connection:
        counted = raw_tables.rows_by_day(connection, raw_table, app_id, days, stats=None)
    for chunk in _chunks(sorted(days), counted):
        with run.warehouse.open_raw() as connection:
            raw = raw_tables.read_versions_of_days(connection, raw_table, app_id, chunk, stats=None)
        made = normalize(table, raw, now=run.started_at, retention_days=run.settings.retention_days, days=chunk)
        for name in table.measures:
            figure = pl.col(name)
            by_day = made.rows.group_by("day").agg(
                exact=figure.sum(), least=figure.floor().sum(), most=figure.ceil().sum()
            )
            sums |= {(day, name): Sums(*found) for day, *found in by_day.iter_rows()}
    return sums


def _is_newer(news: raw_tables.News, loaded: LoadedDay) -> bool:
    """Whether a day had news after it was loaded."""
    if loaded.arrival is None and news.at is not None:
        return news.at > loaded.at - _LANDED_BESIDE
    return news.arrival > (loaded.arrival or 0)


def _chunks(parts: Sequence[Part], counted: Mapping[Part, int]) -> Iterator[list[Part]]:
    """Days or livestreams together, as many as have `CHUNK_ROWS` versions, or one."""
    chunk: list[Part] = []
    rows = 0
    for part in parts:
        if chunk and rows + counted.get(part, 0) > CHUNK_ROWS:
            yield chunk
            chunk, rows = [], 0
        chunk.append(part)
        rows += counted.get(part, 0)
    yield chunk
