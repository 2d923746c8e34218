"""Loads the core tables: normalizes raw records and replaces whole days, a chunk of days per transaction."""

from collections.abc import Iterator, Sequence
from datetime import date
from functools import partial

import polars as pl

from pipelines.catalog.core import LIVESTREAMS
from pipelines.catalog.ops import LANDINGS
from pipelines.catalog.raw import RAW_LIVESTREAMS
from pipelines.catalog.streams import stream_of
from pipelines.catalog.types import Table
from pipelines.clock import utc_now
from pipelines.extract import selection
from pipelines.load import livestream_sync, livestreams, loaded_days, raw_changes, raw_tables
from pipelines.load.days import replace_days, replace_livestreams, replace_shrinks
from pipelines.load.raw_versions import last_landing
from pipelines.normalize.fingerprint import fingerprint
from pipelines.normalize.resolve import Normalized, listed_livestreams, normalize
from pipelines.steps.context import Range, RunContext
from pipelines.steps.current_rows import normalize_days, split_chunks
from pipelines.steps.kept_results import Days
from pipelines.steps.load_plan import LoadPlan, confirm_unchanged, plan_load, tables_of_plan
from pipelines.steps.outcomes import Counts
from pipelines.steps.progress import progress

_CAN_CHANGE = "{rules}, and with the time"
"""Fingerprint of livestreams with a rejected time, which can become plausible: the next load builds all of them again."""


def load_livestreams(run: RunContext) -> dict[str, Counts]:
    """Load core.livestreams for every app: those that changed. Of the others, set when they were last seen.

    A row depends on the raw versions of its livestream, which are not changed but by landings, on the rules, and, if a version
    has a rejected time, on the present time. Its record in ops.quarantine names the run that last received it.
    """
    rules = fingerprint(LIVESTREAMS)
    apps = run.apps_with_data((RAW_LIVESTREAMS,))
    with run.warehouse.snapshot([LANDINGS.full_name, RAW_LIVESTREAMS.full_name]):
        with run.warehouse.open_raw() as connection:
            arrival, _ = last_landing(connection)  # read before raw: the next load sees what lands meanwhile
        after = _last_loaded(run, apps, rules)
        with run.warehouse.open_working() as connection:
            quarantined = livestreams.quarantined_livestreams(connection)
        with run.warehouse.open_raw() as connection:
            changed = raw_changes.changed_livestreams(connection, after)
            known = {app_id: number for app_id, number in after.items() if number is not None}
            received = raw_changes.livestreams_received(connection, known)
        if not received.is_empty():
            run.warehouse.write(partial(livestreams.confirm_livestreams, received=received))
        to_build = {app_id: {*changed.get(app_id, ()), *quarantined.get(app_id, ())} for app_id in apps}
        keys = [(app_id, livestream_id) for app_id, ids in to_build.items() for livestream_id in ids]
        with run.warehouse.open_working() as connection:
            unchanged = livestreams.count_others(connection, pl.DataFrame(keys, schema=livestreams.KEYS, orient="row"))
    built_with = {app_id: rules if after[app_id] is not None else "" for app_id in apps}

    def load(app_id: str, counts: Counts) -> None:
        counts.arrival = arrival
        counts.received = counts.landed = unchanged.get(app_id, 0)
        found_rules = rules
        for found in _replace_livestreams(run, app_id, to_build[app_id]):
            _count(counts, found)
            if found.has_rejected_time:
                found_rules = _CAN_CHANGE.format(rules=rules)
        if found_rules != built_with[app_id]:
            run.warehouse.write(
                partial(
                    loaded_days.note_fingerprints,
                    table=LIVESTREAMS,
                    app_ids=[app_id],
                    fingerprint=found_rules,
                    now=utc_now(),
                )
            )

    current = [app_id for app_id in apps if not to_build[app_id] and built_with[app_id] == rules]
    done = run.for_each_app(LIVESTREAMS, load, days=None, needs=(RAW_LIVESTREAMS,), unchanged=current)
    with run.warehouse.open_raw() as connection:
        missing = livestream_sync.livestreams_missing_upstream(connection, list(done), run.run_id)
    if run.allow_shrink:  # the user accepts what is missing
        missing = missing.with_columns(pl.lit(None, dtype=pl.String).alias("run_id"))
    run.warehouse.write(partial(replace_shrinks, table=LIVESTREAMS, app_ids=list(done), shrinks=missing))
    return done


def _last_loaded(run: RunContext, apps: list[str], rules: str) -> dict[str, int | None]:
    """Return the last landing that each app's livestreams are known to be built from; None: build all of them."""
    with run.warehouse.open_working() as connection:
        last = loaded_days.last_loaded_landings(connection, LIVESTREAMS)
        built = loaded_days.apps_of_rules(connection, LIVESTREAMS, rules)
    if run.full or run.allow_shrink or run.rebuilt is not None:
        built = set()
    # Numbers above the last landing are of raw tables that were since replaced by a backup.
    known = {app_id: number for app_id, number in last.items() if number is not None and number <= run.first_landing}
    return {app_id: known.get(app_id) if app_id in built else None for app_id in apps}


def _replace_livestreams(run: RunContext, app_id: str, livestream_ids: set[str | None]) -> Iterator[Normalized]:
    """Build livestreams of an app from raw, in chunks that fit in memory, and yield each."""
    if not livestream_ids:
        return
    with run.warehouse.open_raw() as connection:
        counted = dict(raw_tables.count_livestreams(connection, app_id))
    named = sorted(livestream_id for livestream_id in livestream_ids if livestream_id is not None)
    for ids in split_chunks([*([None] if None in livestream_ids else []), *named], counted):
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
        yield found


def load_facts(run: RunContext, table: Table, days: Range) -> dict[str, Counts]:
    """Load the days of a range into a fact table, and days loaded before that changed since."""
    stream = stream_of(table)
    with run.warehouse.snapshot(tables_of_plan(table)):
        plan = plan_load(run, table, days, run.apps_with_data((stream.raw,)))
        with run.warehouse.open_working() as connection:
            built = loaded_days.apps_of_rules(connection, table, fingerprint(table))
        confirm_unchanged(run, table, plan)
    unchanged = dict(plan.unchanged.group_by("app_id").agg(pl.col("row_count").sum()).iter_rows())

    def load(app_id: str, counts: Counts) -> None:
        counts.arrival = plan.arrival
        counts.received = counts.landed = unchanged.get(app_id, 0)
        if outdated := plan.outdated.get(app_id):
            counts.note = f"columns or rules changed: {table.full_name} was rebuilt from raw, {len(outdated):,} days"
        with progress(f"{app_id} {table.full_name}, days", phase="core") as advance:
            for chunk, found in normalize_days(run, table, app_id, plan.days[app_id]):
                _replace_days(run, table, app_id, plan, chunk, found)
                _count(counts, found)
                advance(len(chunk))

    without_days = [app_id for app_id, found in plan.days.items() if not found]
    done = run.for_each_app(table, load, days=days, needs=(stream.raw,), unchanged=without_days)
    # Marts cover every app, also one that this run does not fetch because it failed or is no longer in the settings.
    for app_id in plan.outdated.keys() - done.keys():
        with run.warehouse.lock_table(table.full_name, app_id):
            for chunk, found in normalize_days(run, table, app_id, [*plan.outdated[app_id]]):
                _replace_days(run, table, app_id, plan, chunk, found)
    if rebuilt := {*done, *plan.outdated} - built:  # completely, with the current rules
        note = partial(loaded_days.note_fingerprints, table=table, fingerprint=fingerprint(table), now=utc_now())
        run.warehouse.write(partial(note, app_ids=rebuilt))
    return done


def _replace_days(run: RunContext, table: Table, app_id: str, plan: LoadPlan, chunk: Days, found: Normalized) -> None:
    days = [day for day in chunk if day]
    shrinks, unread = found.shrinks, None
    if not stream_of(table).is_by_day:
        missing = plan.missing_sessions.filter(pl.col("app_id") == app_id, pl.col("day").is_in(days))
        shrinks = shrinks.vstack(missing)
        unread = _count_unread_livestreams(run, app_id, days) if app_id in plan.apps_with_unread else {}
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
            arrival=plan.arrival,
            fetched_at={day: plan.fetched_at[app_id, day] for day in days if (app_id, day) in plan.fetched_at},
            unread_livestreams=unread,
            inputs_digests={day: plan.digests[app_id, day] for day in days} if found.is_settled else {},
        )
    )


def _count_unread_livestreams(run: RunContext, app_id: str, days: Sequence[date]) -> dict[date, int]:
    """Return how many livestreams whose sessions could not be read may have had one on each of these days."""
    with run.warehouse.open_raw() as connection:
        synced = livestream_sync.read_sync(connection, app_id).filter(pl.col("failed_at").is_not_null())
        raw = raw_tables.read_livestreams(connection, app_id, synced["livestream_id"].to_list())
    return selection.count_unread_livestreams(days, listed_livestreams(raw, run.started_at), synced)


def _count(counts: Counts, found: Normalized) -> None:
    counts.received += found.received
    counts.landed += found.rows.height
    counts.quarantined += found.rejects.height
    counts.duplicates += found.duplicates
