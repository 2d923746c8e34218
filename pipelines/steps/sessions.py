"""Asks for sessions: of the livestreams that could have new ones, and of all where *overall* says more."""

import json
import random
from collections import Counter
from collections.abc import Collection, Iterator
from datetime import date, datetime, timedelta
from functools import partial

import polars as pl

from pipelines.catalog.core import LIVESTREAM_ANALYTICS_DAILY, LIVESTREAM_SESSIONS
from pipelines.catalog.ops import LIVESTREAM_SYNC
from pipelines.catalog.raw import RAW_LIVESTREAM_ANALYTICS, RAW_LIVESTREAM_SESSIONS, RAW_LIVESTREAMS
from pipelines.clock import days_from, utc_now
from pipelines.errors import ApiError, NotFoundError
from pipelines.extract import page_fetchers
from pipelines.extract import selection as sync
from pipelines.extract.concurrency import fetch_concurrently, prefetch_pages
from pipelines.extract.paging import read_all
from pipelines.load import raw_tables as raw_file
from pipelines.load import selection
from pipelines.load.days import loaded_days, unfinished_sessions
from pipelines.normalize.raw_frames import identity, payload_of, raw_sessions
from pipelines.normalize.resolve import listed_livestreams
from pipelines.steps.audit import audit
from pipelines.steps.context import Counts, Failure, Range, RunContext
from pipelines.steps.fetch import fetch_overall, unsettled_days
from pipelines.steps.landing import BATCH, FlushTimer, land, name_livestreams, purge
from pipelines.steps.load_core import current_rows
from pipelines.steps.progress import progress
from pipelines.steps.session_counts import days_short_by_count, extract_session_counts_of
from pipelines.steps.totals import days_missing_sessions

_SYNCED = {
    name: LIVESTREAM_SYNC.polars_schema[name]
    for name in ("app_id", "livestream_id", "upstream_updated_at", "synced_at", "complete")
}


def extract_sessions(run: RunContext, days: Range) -> dict[str, Counts]:
    """Land the sessions of every livestream that could have had one in these days and is not known yet."""

    def fetch(app_id: str, counts: Counts) -> None:
        with run.warehouse.open_raw() as connection:
            known = listed_livestreams(raw_file.read_listed(connection, app_id), run.started_at)
            there = selection.listed_ids(connection, app_id)
            synced = selection.read_sync(connection, app_id)
        # What is no longer listed is a 404 for ever. But --full does not take an empty list for the truth, and
        # --allow-shrink drops sessions only of livestreams that were fetched.
        is_list_trusted = not run.allow_shrink and (bool(there) or not run.full)
        listed = known.filter(pl.col("livestream_id").is_in(list(there))) if is_list_trusted else known
        unfinished, given_up = _unfinished(run, app_id, there, synced)
        now = utc_now()

        def choose(*, full: bool, resume_from: int | None) -> list[str]:
            return sync.livestreams_to_fetch(
                listed,
                synced,
                unfinished,
                given_up.keys(),
                first_day=run.days_to_load(app_id, days)[0],
                last_day=days[1],
                full=full,
                resume_from=resume_from,
                now=now,
            )

        rest: list[str] = []
        wanted = choose(full=run.full, resume_from=run.resume_from)
        needed = frozenset(choose(full=False, resume_from=run.resume_from))
        _note_not_fetched(run, counts, {name: n for name, n in given_up.items() if name not in wanted})
        unread = _ask_sessions(run, app_id, _failed_last(wanted, synced, run.run_id), listed, counts, needed)
        if set(choose(full=True, resume_from=None)) - set(wanted):
            short = _days_short(run, app_id, days)
            # An answer since *overall* last moved has no more to tell about it.
            since = max(short.values()) if short else None
            rest = sorted(set(choose(full=True, resume_from=since)) - set(wanted)) if short else []
            if rest:
                said = f"{min(short)}" if len(short) == 1 else f"{len(short)} days from {min(short)} to {max(short)}"
                more = f"{len(rest):,} more livestream{'s' * (len(rest) != 1)}"
                counts.add_note(
                    f"the API's own totals (overall) said more than the sessions at hand for {said}: asked {more}"
                )
                unread += _ask_sessions(run, app_id, _failed_last(rest, synced, run.run_id), listed, counts)
        skipped = set(choose(full=True, resume_from=None)) - {*wanted, *rest}
        unread += audit(run, app_id, skipped, synced, lambda some: _ask_sessions(run, app_id, some, listed, counts))
        if run.allow_shrink:
            purge(run, RAW_LIVESTREAM_SESSIONS, app_id, days_from(*days), unread)

    done = run.for_each_app(RAW_LIVESTREAM_SESSIONS, fetch, days=days, needs=(RAW_LIVESTREAMS,), uses_api=True)
    extract_overall_again(run, days)
    return done


def _unfinished(
    run: RunContext, app_id: str, listed: set[str], synced: pl.DataFrame
) -> tuple[set[str], dict[str, int]]:
    """Return the listed livestreams with sessions that have not ended: those to fetch; those given up, with how many.

    A session that has not ended for LIVEHOUSE_UNFINISHED_DAYS never will: the API has lost its end.
    """
    oldest = run.started_at.date() - timedelta(days=_unfinished_days(run))
    with run.warehouse.open_working() as connection:
        sessions = [at for at in unfinished_sessions(connection, app_id) if at[0] in listed]
    recent = {livestream_id for livestream_id, day in sessions if day >= oldest}
    given_up = Counter(livestream_id for livestream_id, _ in sessions if livestream_id not in recent)
    if given_up or not synced["given_up_at"].is_null().all():
        run.warehouse.write_raw(
            partial(selection.note_given_up, app_id=app_id, livestream_ids=sorted(given_up), now=run.started_at)
        )
    return recent, given_up


def _unfinished_days(run: RunContext) -> int:
    return run.settings.unfinished_days or run.settings.retention_days


def _note_not_fetched(run: RunContext, counts: Counts, given_up: dict[str, int]) -> None:
    """Note the livestreams that are not fetched for their unfinished sessions any more, nor for another reason."""
    if not given_up:
        return
    is_one = (count := sum(given_up.values())) == 1
    counts.add_note(
        f"{count:,} session{' has' if is_one else 's have'} not ended for more than {_unfinished_days(run)} days"
        f" (LIVEHOUSE_UNFINISHED_DAYS) and {'is' if is_one else 'are'} not fetched any more:"
        f" {name_livestreams(sorted(given_up))}"
    )


def extract_overall_again(run: RunContext, days: Range) -> None:
    """Fetch *overall* of the days that this run did not ask for and whose sessions had news: it was corrected with them.

    These are days outside of the range, and settled ones within it. The counts of sessions follow.
    """
    oldest = run.started_at.date() - timedelta(days=run.settings.retention_days)
    behind: dict[str, list[date]] = {}
    for app_id in run.settings.app_ids:
        with run.warehouse.open_raw() as connection:
            found = raw_file.days_behind_sessions(connection, app_id, oldest)
        with run.warehouse.open_working() as connection:
            loaded = loaded_days(connection, LIVESTREAM_ANALYTICS_DAILY, app_id) if found else {}
        if again := sorted({day for day in found if day in loaded} - set(unsettled_days(run, app_id, days))):
            behind[app_id] = again

    def fetch(app_id: str, counts: Counts) -> None:
        fetch_overall(run, app_id, behind[app_id], counts, are_all=False)

    if behind:
        run.for_each_app(RAW_LIVESTREAM_ANALYTICS, fetch, days=days, apps=list(behind), uses_api=True)
        extract_session_counts_of(run, days, behind)


def _failed_last(livestream_ids: list[str], synced: pl.DataFrame, run_id: str) -> list[str]:
    """Return them in an order in which those that failed last time come last, and bad ones do not come all at once.

    If livestreams that fail stood together in front, they would end the list before any other is fetched.
    """
    failed = set(synced.filter(pl.col("failed_at").is_not_null())["livestream_id"])
    shuffled = random.Random(run_id).sample(livestream_ids, len(livestream_ids))  # noqa: S311 - an order, no secret
    return sorted(shuffled, key=failed.__contains__)


def _sessions_of(run: RunContext, app_id: str, livestream_id: str) -> list[str] | None:
    """Every session of a livestream, as text; None when the API does not know the livestream (any more).

    One livestream may have a hundred thousand, held until they are known to be all: as objects they take five times
    the memory.
    """
    fetch = page_fetchers.session_page_fetcher(run.client, app_id, livestream_id)
    try:
        with prefetch_pages(fetch, run.client.concurrency) as page:
            pages = read_all(f"sessions of livestream {livestream_id}", page, identity)
            return [payload_of(record) for records in pages for record in records]
    except NotFoundError:
        return None


def _ask_sessions(
    run: RunContext,
    app_id: str,
    livestream_ids: list[str],
    listed: pl.DataFrame,
    counts: Counts,
    needed: Collection[str] = (),
) -> list[str]:
    """Fetch sessions and land them in batches, together with which livestreams are known by it.

    Returns the livestreams that could not be read. One that was not requested, since the API answered none any more, is
    marked as failed only if it is `needed`: of the others the sessions are known, and a --full run that ends early must not
    make the next night fetch them all.
    """
    updated_at = dict(listed.select("livestream_id", "updated_at").iter_rows())
    unread: list[str] = []
    failed: list[tuple[str, ApiError]] = []
    payloads: list[str] = []
    of_livestream: list[str] = []
    requested_at: list[datetime] = []
    synced: list[tuple[object, ...]] = []
    pace = FlushTimer()

    def flush() -> None:
        if synced:
            known = pl.DataFrame(synced, schema=_SYNCED, orient="row").match_to_schema(
                pl.Schema(LIVESTREAM_SYNC.polars_schema), missing_columns="insert"
            )
            first_landing: int | None = None
            for begin in range(0, max(len(payloads), 1), BATCH):
                part = slice(begin, begin + BATCH)
                frame = raw_sessions(
                    payloads[part],
                    app_id=app_id,
                    livestream_ids=of_livestream[part],
                    fetched_at=requested_at[part],
                    run_id=run.run_id,
                )
                is_last = part.stop >= len(payloads)  # a livestream is known once all of its sessions are landed
                records = [json.loads(payload) for payload in payloads[part]]
                # All of its sessions have arrived from the first landing of these batches on.
                known = known.with_columns(pl.lit(first_landing, dtype=pl.Int64).alias("arrival"))
                number = land(run, RAW_LIVESTREAM_SESSIONS, frame, records, counts, known if is_last else None)
                first_landing = first_landing or number
            for held in (payloads, of_livestream, requested_at, synced):
                held.clear()

    try:
        with progress(f"{app_id} sessions", len(livestream_ids)) as advance:
            results = fetch_concurrently(
                lambda livestream_id: _sessions_of(run, app_id, livestream_id),
                livestream_ids,
                run.client.concurrency,
            )
            for result in results:
                advance(1)
                if result.error:
                    unread.append(result.item)
                    if result.was_sent or result.item in needed:
                        failed.append((result.item, result.error))
                    continue
                found = result.value or []
                payloads += found
                of_livestream += [result.item] * len(found)
                requested_at += [result.requested_at] * len(found)
                complete = result.value is not None
                known_as_of = updated_at.get(result.item)
                synced.append((app_id, result.item, known_as_of, result.requested_at, complete))
                if len(payloads) >= BATCH or pace.due():
                    flush()
                    pace.landed()
    finally:
        flush()
    if failed:
        run.warehouse.write_raw(
            partial(
                selection.note_unread,
                app_id=app_id,
                livestream_ids=[livestream_id for livestream_id, _ in failed],
                reasons=[f"{error}" for _, error in failed],
                now=utc_now(),
            )
        )
        part = f"sessions of {name_livestreams(unread)}"
        run.failures.append(Failure(app_id, RAW_LIVESTREAM_SESSIONS.full_name, failed[0][1], part))
    return unread


def _days_short(run: RunContext, app_id: str, days: Range) -> dict[date, int]:
    """Return the days of which the API's totals or counts say more than the sessions at hand, and since which landing."""
    counted = dict.fromkeys(run.days_to_load(app_id, days), 0)

    def rows_at_hand() -> Iterator[pl.DataFrame]:
        for _, part in current_rows(run, LIVESTREAM_SESSIONS, app_id, days):
            for day in (*part.rows["day"], *part.rejects["day"]):  # the API counts what no rule takes, too
                counted[day] = counted.get(day, 0) + 1
            yield part.rows

    overall = pl.concat(part.rows for _, part in current_rows(run, LIVESTREAM_ANALYTICS_DAILY, app_id, days))
    short = days_missing_sessions(overall, rows_at_hand(), run.started_at)
    with run.warehouse.open_raw() as connection:
        versions = raw_file.read_day_versions(connection, RAW_LIVESTREAM_ANALYTICS, app_id)
    changed = dict(versions.select("day", "changed_arrival").iter_rows())
    by_count = days_short_by_count(run, app_id, counted)
    return by_count | {day: max(changed[day], by_count.get(day, 0)) for day in short}
