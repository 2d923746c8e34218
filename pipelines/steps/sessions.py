"""Fetches sessions: for the livestreams that could have new ones, and for all where the API's own totals say more."""

import random
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cache, partial
from typing import Any

import polars as pl

from pipelines.catalog.core import LIVESTREAM_ANALYTICS_DAILY
from pipelines.catalog.ops import LIVESTREAM_LISTS, LIVESTREAM_SYNC
from pipelines.catalog.raw import RAW_LIVESTREAM_ANALYTICS, RAW_LIVESTREAM_SESSIONS, RAW_LIVESTREAMS
from pipelines.clock import days_from, utc_now
from pipelines.errors import ApiError, NotFoundError
from pipelines.extract import page_fetchers, selection
from pipelines.extract.concurrency import Result, fetch_concurrently, prefetch_pages
from pipelines.extract.paging import read_all
from pipelines.load import livestream_sync, raw_tables
from pipelines.load.days import livestreams_with_shrinks, unfinished_sessions
from pipelines.load.loaded_days import read_loaded_days
from pipelines.normalize.raw_frames import raw_sessions
from pipelines.normalize.record import Record, identity, read_record
from pipelines.normalize.resolve import listed_livestreams
from pipelines.steps.audit import audit
from pipelines.steps.context import Range, RunContext
from pipelines.steps.fetch import fetch_overall, unsettled_days
from pipelines.steps.landing import BATCH, FlushTimer, LandingBuffer, land, name_livestreams, purge
from pipelines.steps.outcomes import Counts, Failure
from pipelines.steps.progress import progress
from pipelines.steps.session_counts import extract_session_counts_of
from pipelines.steps.side_by_side import Fetching
from pipelines.steps.totals import days_missing_sessions

_SYNCED = {
    name: LIVESTREAM_SYNC.polars_schema[name]
    for name in ("app_id", "livestream_id", "upstream_updated_at", "synced_at", "complete")
}

_READ_BY_EACH_APP = [table.full_name for table in (RAW_LIVESTREAMS, LIVESTREAM_LISTS, LIVESTREAM_SYNC)]
"""Small tables of which each app reads its own rows."""


def extract_sessions(run: RunContext, days: Range) -> dict[str, Counts]:
    """Fetch and land the sessions of every livestream that could have had one in these days and is not known yet."""

    @cache
    def read_unfinished() -> dict[str, list[tuple[str, date]]]:
        """Read those of all apps, whose tables are locked by then."""
        with run.warehouse.open_working() as connection:
            return unfinished_sessions(connection, run.settings.app_ids)

    def fetch(app_id: str, counts: Counts) -> Fetching:
        with run.warehouse.snapshot(_READ_BY_EACH_APP):
            with run.warehouse.open_raw() as connection:
                raw = raw_tables.read_listed(connection, app_id)
                synced = livestream_sync.read_sync(connection, app_id)
            known = listed_livestreams(raw, run.started_at)
            ids_in_list = set(raw.filter("is_listed")["livestream_id"])
            # A livestream that is no longer listed answers 404 for ever. But --full does not trust an empty list, and
            # --allow-shrink drops sessions only of livestreams that were fetched.
            is_list_trusted = not run.allow_shrink and (bool(ids_in_list) or not run.full)
            listed = known.filter(pl.col("livestream_id").is_in(list(ids_in_list))) if is_list_trusted else known
            sessions = [found for found in read_unfinished()[app_id] if found[0] in ids_in_list]
            unfinished, given_up = _find_unfinished(run, app_id, sessions, synced)
        now = utc_now()

        def select(*, full: bool, resume_from: int | None, fetched: pl.DataFrame = synced) -> list[str]:
            return selection.livestreams_to_fetch(
                listed,
                fetched,
                unfinished,
                given_up.keys(),
                first_day=run.days_to_load(app_id, days)[0],
                last_day=days[1],
                full=full,
                resume_from=resume_from,
                now=now,
            )

        wanted = select(full=run.full, resume_from=run.resume_from)
        outdated = frozenset(select(full=False, resume_from=run.resume_from) if run.full else wanted)
        every = set(select(full=True, resume_from=None))
        _note_given_up(run, counts, {name: n for name, n in given_up.items() if name not in wanted})
        ordered = _order_to_fetch(wanted, synced, run.run_id)
        unread = yield from _fetch_and_land_sessions(run, app_id, ordered, listed, counts, outdated)
        rest: list[str] = []
        if every - set(wanted):
            short = days_missing_sessions(run, app_id, days)
            rest = sorted(_select_for_short_days(run, app_id, short, synced, select) - set(wanted)) if short else []
            if rest:
                span = f"{min(short)}" if len(short) == 1 else f"{len(short)} days from {min(short)} to {max(short)}"
                counts.add_note(
                    f"the API's own totals (overall) were higher than the known sessions for {span}:"
                    f" fetched {len(rest):,} more livestream{'s' * (len(rest) != 1)}"
                )
                ordered = _order_to_fetch(rest, synced, run.run_id)
                unread += yield from _fetch_and_land_sessions(run, app_id, ordered, listed, counts)
        skipped = every - {*wanted, *rest}
        unread += yield from audit(
            run, app_id, skipped, synced, lambda some: _fetch_and_land_sessions(run, app_id, some, listed, counts)
        )
        if run.allow_shrink:
            purge(run, RAW_LIVESTREAM_SESSIONS, app_id, days_from(*days), unread)

    done = run.fetch_for_each_app(RAW_LIVESTREAM_SESSIONS, fetch, days=days, needs=(RAW_LIVESTREAMS,))
    refetch_overall_behind_sessions(run, days)
    return done


def _select_for_short_days(
    run: RunContext, app_id: str, short: Mapping[date, int], synced: pl.DataFrame, select: Callable[..., list[str]]
) -> set[str]:
    """Return the livestreams that may have the sessions that *overall* counts more. `short`: days, each with the landing since.

    A reply may have been incomplete. So a night believes only the second reply since *overall* last changed, and none of a
    livestream with shrinks; a difference that stays costs two fetches. A backfill believes only its own replies.
    """
    since = max(short.values())
    if run.is_backfill:
        return set(select(full=True, resume_from=max(since, run.landing_before)))
    with run.warehouse.open_working() as connection:
        shrunk = livestreams_with_shrinks(connection, app_id, run.oldest_retained_day)
    second_last = pl.when(~pl.col("livestream_id").is_in(shrunk)).then("previous_arrival").alias("arrival")
    return set(select(full=True, resume_from=since, fetched=synced.with_columns(second_last)))


def _find_unfinished(
    run: RunContext, app_id: str, sessions: Sequence[tuple[str, date]], synced: pl.DataFrame
) -> tuple[set[str], dict[str, int]]:
    """Return the livestreams of sessions that have not ended: those to fetch; those given up, with the sessions' number.

    A session that has not ended for LIVEHOUSE_UNFINISHED_DAYS never will: the API has lost its end.
    """
    oldest = run.started_at.date() - timedelta(days=_unfinished_days(run))
    recent = {livestream_id for livestream_id, day in sessions if day >= oldest}
    given_up = Counter(livestream_id for livestream_id, _ in sessions if livestream_id not in recent)
    if given_up or not synced["given_up_at"].is_null().all():
        run.warehouse.write_raw(
            partial(livestream_sync.note_given_up, app_id=app_id, livestream_ids=sorted(given_up), now=run.started_at)
        )
    return recent, given_up


def _unfinished_days(run: RunContext) -> int:
    return run.settings.unfinished_days or run.settings.retention_days


def _note_given_up(run: RunContext, counts: Counts, given_up: dict[str, int]) -> None:
    """Note the livestreams whose unfinished sessions are not fetched any more, nor fetched for another reason."""
    if not given_up:
        return
    is_one = (count := sum(given_up.values())) == 1
    counts.add_note(
        f"{count:,} session{' has' if is_one else 's have'} not ended for more than {_unfinished_days(run)} days"
        f" (LIVEHOUSE_UNFINISHED_DAYS) and {'is' if is_one else 'are'} not fetched any more:"
        f" {name_livestreams(sorted(given_up))}"
    )


def refetch_overall_behind_sessions(run: RunContext, days: Range) -> None:
    """Fetch *overall* and the counts of sessions again for days whose sessions changed after *overall* was fetched.

    A correction of a session also corrects the totals of its day. These are days outside of the range, and settled days
    within it.
    """
    with run.warehouse.open_raw() as connection:
        found = raw_tables.days_behind_sessions(connection, run.settings.app_ids, run.oldest_retained_day)
    unsettled = unsettled_days(run, list(found), days) if found else {}
    behind: dict[str, list[date]] = {}
    for app_id in (app_id for app_id in run.settings.app_ids if app_id in found):
        with run.warehouse.open_working() as connection:
            loaded = read_loaded_days(connection, LIVESTREAM_ANALYTICS_DAILY, app_id)
        if outdated := sorted(loaded & set(found[app_id]) - set(unsettled[app_id])):
            behind[app_id] = outdated

    landing = LandingBuffer(run, RAW_LIVESTREAM_ANALYTICS)

    def fetch(app_id: str, counts: Counts) -> Fetching:
        yield from fetch_overall(run, landing, app_id, behind[app_id], counts, is_whole_table=False)

    if behind:
        run.fetch_for_each_app(RAW_LIVESTREAM_ANALYTICS, fetch, days=days, apps=list(behind), flush=landing.flush)
        extract_session_counts_of(run, days, behind)


def _order_to_fetch(livestream_ids: list[str], synced: pl.DataFrame, run_id: str) -> list[str]:
    """Return the ids in random order, those that failed the last time at the end.

    A group of failing livestreams at the start would end the list before any other is fetched.
    """
    failed = set(synced.filter(pl.col("failed_at").is_not_null())["livestream_id"])
    shuffled = random.Random(run_id).sample(livestream_ids, len(livestream_ids))  # noqa: S311 - an order, no secret
    return sorted(shuffled, key=failed.__contains__)


def _fetch_sessions(run: RunContext, app_id: str, livestream_id: str) -> list[Record] | None:
    """Return every session of a livestream; None if the API does not know the livestream (any more).

    A livestream may have 100,000 sessions, which are kept until they are known to be complete.
    """
    fetch = page_fetchers.session_page_fetcher(run.client, app_id, livestream_id)
    try:
        with prefetch_pages(fetch, run.client.concurrency) as page:
            pages = read_all(f"sessions of livestream {livestream_id}", page, identity)
            return [read_record(value) for values in pages for value in values]
    except NotFoundError:
        return None


def _fetch_and_land_sessions(
    run: RunContext,
    app_id: str,
    livestream_ids: list[str],
    listed: pl.DataFrame,
    counts: Counts,
    outdated: Collection[str] = (),
) -> Generator[Iterator[Any], Any, list[str]]:
    """Fetch sessions and land them in batches, together with ops.livestream_sync. Returns the livestreams that failed.

    A livestream that was not requested, because the API stopped answering, is marked as failed only if it is `outdated`. The
    sessions of the others are known: a --full run that ends early must not make the next night fetch them all.
    """
    updated_at = dict(listed.select("livestream_id", "updated_at").iter_rows())
    unread: list[str] = []
    failed: list[tuple[str, ApiError]] = []
    pending: list[Result[str, list[Record] | None]] = []
    pending_records = 0
    flush_timer = FlushTimer()
    replies = fetch_concurrently(
        lambda livestream_id: _fetch_sessions(run, app_id, livestream_id), livestream_ids, run.client.concurrency
    )
    try:
        with progress(f"{app_id} sessions", len(livestream_ids), phase="sessions") as advance:
            while result := (yield replies):
                advance(1)
                if result.error:
                    unread.append(result.item)
                    if result.was_sent or result.item in outdated:
                        failed.append((result.item, result.error))
                    continue
                pending.append(result)
                pending_records += len(result.value or [])
                if pending_records >= BATCH or flush_timer.is_due():
                    _land_sessions(run, app_id, pending, updated_at, counts)
                    flush_timer.reset()
                    pending, pending_records = [], 0
    finally:
        _land_sessions(run, app_id, pending, updated_at, counts)
    if failed:
        run.warehouse.write_raw(
            partial(
                livestream_sync.note_unread,
                app_id=app_id,
                livestream_ids=[livestream_id for livestream_id, _ in failed],
                reasons=[f"{error}" for _, error in failed],
                now=utc_now(),
            )
        )
        part = f"sessions of {name_livestreams(unread)}"
        run.failures.append(Failure(app_id, RAW_LIVESTREAM_SESSIONS.full_name, failed[0][1], part))
    return unread


def _land_sessions(
    run: RunContext,
    app_id: str,
    results: list[Result[str, list[Record] | None]],
    updated_at: Mapping[str, datetime | None],
    counts: Counts,
) -> None:
    """Land the sessions of some livestreams. Their rows in ops.livestream_sync land with the last batch of them."""
    if not results:
        return
    synced = pl.DataFrame(
        [
            (app_id, result.item, updated_at.get(result.item), result.requested_at, result.value is not None)
            for result in results
        ],
        schema=_SYNCED,
        orient="row",
    ).match_to_schema(pl.Schema(LIVESTREAM_SYNC.polars_schema), missing_columns="insert")
    rows = [(record, result.item, result.requested_at) for result in results for record in result.value or ()]
    first_landing: int | None = None
    for begin in range(0, max(len(rows), 1), BATCH):
        batch = rows[begin : begin + BATCH]
        records = [record for record, _, _ in batch]
        frame = raw_sessions(
            records,
            app_id=app_id,
            livestream_ids=[livestream_id for _, livestream_id, _ in batch],
            fetched_at=[requested_at for _, _, requested_at in batch],
            run_id=run.run_id,
        )
        is_last = begin + BATCH >= len(rows)
        # All sessions of these livestreams have arrived from the first landing of these batches on.
        synced = synced.with_columns(pl.lit(first_landing, dtype=pl.Int64).alias("arrival"))
        number = land(run, RAW_LIVESTREAM_SESSIONS, frame, records, counts, synced if is_last else None)
        first_landing = first_landing or number
