"""Loads the core tables: normalizes raw records and replaces whole days, a chunk of days per transaction."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import partial

import polars as pl

from pipelines.catalog.core import LIVESTREAMS
from pipelines.catalog.raw import RAW_LIVESTREAMS
from pipelines.catalog.streams import DAILY_RAW, stream_of
from pipelines.catalog.types import Table
from pipelines.clock import utc_now
from pipelines.extract import selection
from pipelines.load import livestream_sync, raw_tables
from pipelines.load.days import (
    apps_of_other_rules,
    days_of_other_rules,
    loaded_days,
    note_fingerprint,
    replace_days,
    replace_livestreams,
    replace_shrinks,
)
from pipelines.load.raw_versions import last_landing
from pipelines.normalize.fingerprint import fingerprint
from pipelines.normalize.resolve import Normalized, listed_livestreams, normalize
from pipelines.steps.context import Counts, Range, RunContext
from pipelines.steps.current_rows import Days, current_rows, split_chunks
from pipelines.steps.progress import progress


def load_livestreams(run: RunContext) -> dict[str, Counts]:
    """Load core.livestreams for every app."""

    def load(app_id: str, counts: Counts) -> None:
        with run.warehouse.open_raw() as connection:
            counted = dict(raw_tables.count_livestreams(connection, app_id))
        for ids in split_chunks(
            [None, *(livestream_id for livestream_id in counted if livestream_id is not None)], counted
        ):
            with run.warehouse.open_raw() as connection:
                raw = raw_tables.read_livestreams(connection, app_id, ids)
            found = normalize(LIVESTREAMS, raw, now=run.started_at, retention_days=run.settings.retention_days)
            run.warehouse.write(
                partial(replace_livestreams, app_id=app_id, livestream_ids=ids, rows=found.rows, rejects=found.rejects)
            )
            if not found.superseded.is_empty():  # after the current version is loaded
                run.warehouse.write_raw(
                    partial(raw_tables.purge_livestream_versions, app_id=app_id, superseded=found.superseded)
                )
            _count(counts, found)
        with run.warehouse.open_raw() as connection:
            counts.arrival, _ = last_landing(connection)
            missing = livestream_sync.livestreams_missing_upstream(connection, app_id, run.run_id)
        if run.allow_shrink:  # the user accepts what is missing
            missing = missing.with_columns(pl.lit(None, dtype=pl.String).alias("run_id"))
        run.warehouse.write(partial(replace_shrinks, app_id=app_id, table=LIVESTREAMS, shrinks=missing))

    return run.for_each_app(LIVESTREAMS, load, days=None, needs=(RAW_LIVESTREAMS,))


def load_facts(run: RunContext, table: Table, days: Range) -> dict[str, Counts]:
    """Load the days of a range into a fact table, and days loaded before that changed since."""
    stream = stream_of(table)
    rules = fingerprint(table)

    def load(app_id: str, counts: Counts) -> None:
        with run.warehouse.open_working() as connection:
            outdated = days_of_other_rules(connection, table, app_id, rules)
        if outdated:
            counts.note = f"columns or rules changed: {table.full_name} was rebuilt from raw, {len(outdated):,} days"
        with progress(f"{app_id} {table.full_name}, days") as advance:
            with run.warehouse.open_raw() as connection:
                counts.arrival, _ = last_landing(connection)  # read before raw: the next load sees what lands meanwhile
            for chunk, found in current_rows(run, table, app_id, days, with_changed=True, extra_days=outdated):
                replace(app_id, chunk, found, counts.arrival)
                _count(counts, found)
                advance(len(chunk))
        run.warehouse.write(partial(note_fingerprint, table=table, app_id=app_id, fingerprint=rules, now=utc_now()))

    def rebuild_outdated(app_id: str) -> None:
        with run.warehouse.open_working() as connection:
            outdated = days_of_other_rules(connection, table, app_id, rules)
        with run.warehouse.open_raw() as connection:
            arrival, _ = last_landing(connection)
        for chunk, found in current_rows(run, table, app_id, None, extra_days=outdated) if outdated else ():
            replace(app_id, chunk, found, arrival)
        run.warehouse.write(partial(note_fingerprint, table=table, app_id=app_id, fingerprint=rules, now=utc_now()))

    def replace(app_id: str, chunk: Days, found: Normalized, arrival: int) -> None:
        shrinks, unread = found.shrinks, None
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
                rows=found.rows,
                rejects=found.rejects,
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
    # Marts cover every app, also one that this run does not fetch because it failed or is no longer in the settings.
    with run.warehouse.open_working() as connection:
        others = [app_id for app_id in apps_of_other_rules(connection, table, rules) if app_id not in done]
    for app_id in others:
        with run.warehouse.lock_table(table.full_name, app_id):
            rebuild_outdated(app_id)
    return done


def _fetched_at(run: RunContext, table: Table, app_id: str, chunk: Sequence[date], days: Range) -> dict[date, datetime]:
    """Return as of when each of these days is known. Some of them are in the range of this run.

    Sessions are fetched by livestream, so a run that fetches them knows the days of its range as of its start. For a day that
    no run has loaded yet, the daily replies of the run that landed it are the evidence.
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
            loaded = loaded_days(connection, table, app_id)
        found |= {day: loaded[day].at for day in chunk if day in loaded}
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


def _count(counts: Counts, found: Normalized) -> None:
    counts.received += found.received
    counts.landed += found.rows.height
    counts.quarantined += found.rejects.height
    counts.duplicates += found.duplicates
