"""Plans a load of a fact table, for every app at once: which days must be built from raw, and which did not change."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

import polars as pl

from pipelines.catalog.ops import DAYS, FINGERPRINTS, LANDINGS, LIVESTREAM_SYNC, LOADS, QUARANTINE, SHRINKS
from pipelines.catalog.streams import DAILY_RAW, part_of, stream_of
from pipelines.catalog.types import Table
from pipelines.load import loaded_days, raw_changes
from pipelines.load.loaded_days import LoadedDay, group_by_app, to_frame
from pipelines.load.raw_changes import AppDay, Change, Source
from pipelines.load.raw_versions import last_landing
from pipelines.normalize.fingerprint import fingerprint
from pipelines.steps.context import Range, RunContext

_LANDING_MARGIN = timedelta(hours=1)
"""A load may have missed changes this much older than itself, where landings were not numbered yet."""


@dataclass(frozen=True)
class LoadPlan:
    """The days of one fact table that a run loads."""

    arrival: int
    """The last landing that the load reads."""
    days: Mapping[str, list[date | None]]
    """Days to build from raw, by app. None: records without a day."""
    unchanged: pl.DataFrame
    """Days that did not change: `app_id`, `day`, `row_count`, `arrival`, `loaded_at`, `inputs_digest`."""
    outdated: Mapping[str, list[date]]
    """Days, by app, that were built with other columns or rules; also of apps that this run does not load."""
    digests: Mapping[AppDay, int | None]
    """Digest of the inputs of each day."""
    fetched_at: Mapping[AppDay, datetime]
    """As of when each day is known."""
    missing_sessions: pl.DataFrame
    """Rows of ops.shrinks for sessions that the source no longer returns. Empty for other tables."""
    apps_with_unread: Collection[str]
    """Apps with livestreams whose sessions could not be read."""


def plan_load(run: RunContext, table: Table, days: Range, apps: Collection[str]) -> LoadPlan:
    """Plan a load of a range of days of these apps, and of days loaded before that changed since.

    These days are built: those of the range that are not certainly unchanged (see `_find_unchanged`), days of which raw records
    changed in this run, or in one that was killed or failed before it could load them, and days built with other rules.
    """
    stream = stream_of(table)
    wanted = {(app_id, day) for app_id in apps for day in run.days_to_load(app_id, days)}
    with run.warehouse.open_raw() as connection:
        arrival, _ = last_landing(connection)  # read before raw: the next load sees what lands meanwhile
    with run.warehouse.open_working() as connection:
        outdated = loaded_days.days_of_other_rules(connection, table, fingerprint(table))
        dayless = loaded_days.apps_with_dayless_rejects(connection, table)
        incomplete: dict[str, list[date]] = {}
        if not stream.is_by_day:
            incomplete = loaded_days.incomplete_days(connection, table, run.oldest_retained_day)
    changed = changed_days(run, table, apps)
    changed |= {(app_id, day) for app_id in apps for day in incomplete.get(app_id, ())}
    changed |= {(app_id, day) for app_id, found in outdated.items() for day in found}
    frame = to_frame(wanted | changed)
    rules = f"{fingerprint(table)} {run.settings.retention_days}"
    with run.warehouse.open_raw() as connection:
        digests = raw_changes.digest_inputs(connection, _sources(table), frame, rules)
        dayless |= raw_changes.apps_with_dayless_records(connection, _sources(table))
        missing, unread = frame.clear(), set[str]()
        if not stream.is_by_day:
            missing = raw_changes.sessions_missing_upstream(connection, frame, run.run_id)
            unread = raw_changes.apps_with_unread_livestreams(connection)
    candidates = {app_day: digests[app_day] for app_day in wanted - changed if app_day[0] not in dayless}
    unchanged = _find_unchanged(run, table, candidates, missing, unread)
    confirmed = set(unchanged.select("app_id", "day").iter_rows())
    to_build = group_by_app(sorted((wanted | changed) - confirmed))
    return LoadPlan(
        arrival=arrival,
        days={app_id: [*([None] if app_id in dayless else []), *to_build.get(app_id, [])] for app_id in apps},
        unchanged=unchanged,
        outdated=outdated,
        digests=digests,
        fetched_at=_fetched_at(run, table, frame, wanted),
        missing_sessions=missing,
        apps_with_unread=unread,
    )


def tables_of_plan(table: Table) -> set[str]:
    """Return the small tables that planning a load reads."""
    read = [DAYS, LOADS, QUARANTINE, SHRINKS, FINGERPRINTS, LANDINGS, LIVESTREAM_SYNC]
    raw = [] if stream_of(table).is_by_day else DAILY_RAW
    return {one.full_name for one in (*read, *raw, *(source.table for source in _sources(table)))}


def _sources(table: Table) -> list[Source]:
    part = part_of(table)
    return [Source(stream_of(table).raw, part.stats), *map(Source, part.also_reads)]


def _find_unchanged(
    run: RunContext,
    table: Table,
    digests: Mapping[AppDay, int | None],
    missing: pl.DataFrame,
    unread: Collection[str],
) -> pl.DataFrame:
    """Return the days of which a load would give the same rows again. This is the only place that decides it.

    The rows of a day depend on the following; a load that skips a day has to know that none of it changed:

    - Raw records of the day, in every raw table that the core table reads: versions that are new, moved to or from the day, came
      back after another version, were deleted by `--allow-shrink`, or have another time of first receipt, which decides whether
      an empty reply means zero or unknown. All of them change `inputs_digest`.
    - Versions of the same sessions on other days: such a day has no digest.
    - Records that name no day, as those of a later day are by a clock that is behind: while an app has one, no day is skipped.
    - Columns, rules and LIVEHOUSE_RETENTION_DAYS: they are part of the digest.
    - The present time: a rejected time can become plausible, and then its version may become the current one. A day with such a
      version has no digest (`Normalized.is_settled`), whether or not it is quarantined.
    - Which version was received last, whose `fetched_at` the row has: a day where that is not the current version has no digest.
    - Sums of sessions that explain a total that became smaller: a day with such a total has no digest.
    - Livestreams whose sessions could not be read, now or when the day was loaded: the day is incomplete, or unknown.
    - Sessions that a complete reply no longer had: they are in ops.shrinks, which names the last run that received them.
    - Records in ops.quarantine and ops.shrinks, which name the last run that received them.
    - A day that is not known to be empty: it is, once it has a reply within the retention period.

    A warehouse restored from a backup has the digests of its raw or core tables, whichever is older: they differ. `--full`,
    `--allow-shrink` and rebuilds build every day.
    """
    if run.full or run.allow_shrink or run.rebuilt is not None:
        digests = {}
    lacking = set(missing.select("app_id", "day").iter_rows())
    candidates = {
        app_day: digest
        for app_day, digest in digests.items()
        if digest is not None and app_day not in lacking and app_day[0] not in unread
    }
    with run.warehouse.open_working() as connection:
        return loaded_days.days_of_inputs(connection, table, candidates)


def confirm_unchanged(run: RunContext, table: Table, plan: LoadPlan) -> None:
    """Record for the days that did not change that they are known as of now, in one transaction for all apps."""
    if plan.unchanged.is_empty():
        return
    days = plan.unchanged
    with run.warehouse.open_raw() as connection:
        if stream_of(table).is_by_day:
            source = _sources(table)[0]
            at = raw_changes.last_fetched(connection, [source], days)
            received = pl.DataFrame(
                [(*app_day, moment) for app_day, moment in at.items()],
                schema={name: table.polars_schema[name] for name in ("app_id", "day", "fetched_at")},
                orient="row",
            )
        else:
            received = raw_changes.sessions_received(connection, days)
    loaded_at = [
        plan.fetched_at.get((app_id, day), at)
        for app_id, day, at in days.select("app_id", "day", "loaded_at").iter_rows()
    ]
    run.warehouse.write(
        partial(
            loaded_days.confirm_days,
            table=table,
            days=days.with_columns(pl.Series("loaded_at", loaded_at, dtype=pl.Datetime("us"))),
            received=received,
            run_id=run.run_id,
            arrival=plan.arrival,
        )
    )


def changed_days(run: RunContext, table: Table, apps: Collection[str]) -> set[AppDay]:
    """Return the loaded days of which raw records changed after they were loaded."""
    with run.warehouse.open_working() as connection:
        last = loaded_days.last_loaded_landings(connection, table)
    sources = [stream_of(table).raw, *part_of(table).also_reads]
    after = {app_id: _known_landing(run, last.get(app_id)) for app_id in apps}
    with run.warehouse.open_raw() as connection:
        changes = raw_changes.changed_days(connection, sources, after)
    if not changes:
        return set()
    with run.warehouse.open_working() as connection:
        loaded = loaded_days.find_loaded_days(connection, table, to_frame(changes))
    return {app_day for app_day, day in loaded.items() if _is_newer(run, changes[app_day], day)}


def _known_landing(run: RunContext, number: int | None) -> int | None:
    """Return a landing that was loaded, or the last one before this run if that is lower.

    Higher numbers are of raw tables that were since replaced by a backup, so that they are given out again.
    """
    return None if number is None else min(number, run.first_landing)


def _is_newer(run: RunContext, change: Change, loaded: LoadedDay) -> bool:
    """Return whether a day changed after it was loaded."""
    if loaded.arrival is None and change.at is not None:
        return change.at > loaded.at - _LANDING_MARGIN
    return change.arrival > (_known_landing(run, loaded.arrival) or 0)


def _fetched_at(
    run: RunContext, table: Table, days: pl.DataFrame, wanted: Collection[AppDay]
) -> dict[AppDay, datetime]:
    """Return as of when each of these days is known. `wanted`: those in the range of this run.

    Sessions are fetched by livestream, so a run that fetches them knows the days of its range as of its start. For a day that
    no run has loaded yet, the daily replies of the run that landed it are the evidence.
    """
    stream = stream_of(table)
    sources = (stream.raw,) if stream.is_by_day else DAILY_RAW
    with run.warehouse.open_raw() as connection:
        found = raw_changes.last_fetched(connection, [Source(source) for source in sources], days)
    if not stream.is_by_day:
        with run.warehouse.open_working() as connection:
            found |= {app_day: day.at for app_day, day in loaded_days.find_loaded_days(connection, table, days).items()}
        found |= {app_day: run.started_at for app_day in wanted if (app_day[0], stream.raw.full_name) in run.fetched}
    return found
