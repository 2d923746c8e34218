"""Fetches the API's counts of sessions per day (*livestreams/daywise*), joins them to *overall*, compares them with sessions.

Services of the older dialect lack the operation. No other step depends on it: without replies the counts are unknown, and
other figures are loaded as usual.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl

from pipelines.catalog.raw import RAW_LIVESTREAM_DAYWISE, SESSION_COUNTS
from pipelines.clock import days_from, describe_days
from pipelines.errors import ApiError
from pipelines.extract import operations, parsers, selection
from pipelines.extract.concurrency import Result, fetch_concurrently
from pipelines.extract.dialect import NOT_OFFERED_STATUSES
from pipelines.extract.operations import GET_LIVESTREAM_DAYWISE
from pipelines.load import raw_tables
from pipelines.normalize.raw_frames import raw_session_counts
from pipelines.normalize.record import read_record
from pipelines.normalize.resolve import Normalized, normalize
from pipelines.steps.context import Range, RunContext
from pipelines.steps.landing import LandingBuffer, purge
from pipelines.steps.outcomes import Counts
from pipelines.steps.side_by_side import Fetching


def extract_session_counts(run: RunContext, days: Range) -> dict[str, Counts]:
    """Fetch the counts of sessions, a month per request. Failures are noted and do not fail the run."""
    return extract_session_counts_of(
        run, days, {app_id: run.days_to_load(app_id, days) for app_id in run.settings.app_ids}
    )


def extract_session_counts_of(
    run: RunContext, days: Range, wanted: Mapping[str, Collection[date]]
) -> dict[str, Counts]:
    """Fetch the counts of sessions of the days `wanted` by app, in a run for a range."""
    landing = LandingBuffer(run, RAW_LIVESTREAM_DAYWISE)

    def fetch(app_id: str, counts: Counts) -> Fetching:
        if not run.client.dialect.is_offered(app_id, GET_LIVESTREAM_DAYWISE):
            return
        # First only the newest chunk: a service without the operation then refuses one request, not one for each month.
        newest, *older = selection.split_days(wanted[app_id])[::-1]
        errors: dict[Range, ApiError] = {}
        try:
            yield from _fetch(run, landing, app_id, [newest], counts, errors)
            is_offered = getattr(errors.get(newest), "status", None) not in NOT_OFFERED_STATUSES
            run.client.dialect.note_offered(app_id, GET_LIVESTREAM_DAYWISE, is_offered=is_offered)
            if not is_offered:
                return
            yield from _fetch(run, landing, app_id, older, counts, errors)
        except ApiError as error:  # the service or the token is at fault, so the other operations fail too
            errors.setdefault(newest, error)
        if errors:
            missing = describe_days(day for chunk in errors for day in days_from(*chunk))
            counts.note = f"counts of sessions are unknown for {missing}: {next(iter(errors.values()))}"

    done = run.fetch_for_each_app(RAW_LIVESTREAM_DAYWISE, fetch, days=days, apps=list(wanted), flush=landing.flush)
    # If every other operation fails, the run must fail too: counts alone cannot be loaded.
    run.fetched -= {(app_id, RAW_LIVESTREAM_DAYWISE.full_name) for app_id in done}
    return done


def _fetch(
    run: RunContext,
    landing: LandingBuffer,
    app_id: str,
    chunks: Sequence[Range],
    counts: Counts,
    errors: dict[Range, ApiError],
) -> Fetching:
    """Fetch and land ranges of days, and add failures to `errors`."""

    def fetch(chunk: Range) -> dict[str, Any]:
        return operations.get_livestream_daywise_analytics(run.client, app_id, *chunk)

    answered: list[date] = []
    replies = fetch_concurrently(fetch, chunks, run.client.concurrency)
    while result := (yield replies):
        error = result.error or _land(run, landing, app_id, result, counts)
        if error:
            errors[result.item] = error
        else:
            answered += days_from(*result.item)
    if run.allow_shrink:
        landing.flush()
        purge(run, RAW_LIVESTREAM_DAYWISE, app_id, answered)


def _land(
    run: RunContext, landing: LandingBuffer, app_id: str, result: Result[Range, dict[str, Any]], counts: Counts
) -> ApiError | None:
    """Land a reply, or return the error that makes it unusable."""
    days = days_from(*result.item)
    try:
        values = parsers.parse_session_counts(result.value or {}, *result.item)
        entries = [read_record(value) for value in values]
        frame = raw_session_counts(entries, days, app_id=app_id, fetched_at=result.requested_at, run_id=run.run_id)
    except ApiError as error:
        return error
    landing.add(frame, entries, counts)
    return None


def with_session_counts(run: RunContext, app_id: str, days: Sequence[date | None], overall: Normalized) -> Normalized:
    """Join the counts of these days to rows of core.livestream_analytics_daily, and add the quarantined records."""
    counted = _normalize_counts(run, app_id, days)
    if counted is None:
        return overall
    joined = overall.rows.drop("session_count").join(
        counted.rows.select("day", "session_count"), on="day", how="left", maintain_order="left"
    )
    of_daywise = pl.concat_str(pl.col("day").cast(pl.String).fill_null("no day"), pl.lit(" livestreams/daywise"))
    return replace(
        overall,
        rows=joined.select(overall.rows.columns),
        rejects=overall.rejects.vstack(counted.rejects.with_columns(of_daywise.alias("record_id"))),
        received=overall.received + counted.received,
        duplicates=overall.duplicates + counted.received - counted.rejects.height,
    )


def _normalize_counts(run: RunContext, app_id: str, days: Sequence[date | None]) -> Normalized | None:
    with run.warehouse.open_raw() as connection:
        raw = raw_tables.read_versions_of_days(connection, RAW_LIVESTREAM_DAYWISE, app_id, days, stats=None)
    if raw.is_empty():
        return None
    return normalize(SESSION_COUNTS, raw, now=run.started_at, retention_days=run.settings.retention_days, days=days)


def days_short_by_count(run: RunContext, app_id: str, known: Mapping[date, int]) -> list[date]:
    """Return the days on which the API counts more sessions than are `known`."""
    counted = _normalize_counts(run, app_id, list(known)) if known else None
    if counted is None:
        return []
    api = dict(counted.rows.select("day", "session_count").iter_rows())
    return [day for day, sessions in known.items() if (api.get(day) or 0) > sessions]


def last_changes_of_counts(run: RunContext, app_id: str) -> dict[date, int]:
    """Return the landing in which the count of each day last changed."""
    with run.warehouse.open_raw() as connection:
        versions = raw_tables.read_day_versions(connection, RAW_LIVESTREAM_DAYWISE, [app_id])
    return dict(versions.select("day", "changed_arrival").iter_rows())
