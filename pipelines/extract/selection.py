"""Decides which livestreams need their sessions fetched, and which days their totals. Sends no request.

Requests are the cost: the API allows four a second. A livestream whose sessions are known as of its last change has no new
ones, if `updated_at` moves with every session. The vendor does not document that, so the caller compares the result
with *overall* and fetches the remaining livestreams if *overall* counts more.
"""

from collections.abc import Collection, Mapping
from datetime import date, datetime, time, timedelta

import polars as pl

from pipelines.catalog.polars_types import time_literal

LIST_MARGIN = timedelta(hours=1)
"""`updated_at` was seen 16 ms before the `created_at` of the session that moved it, and sessions were created 1.7 s
after their own start: a range is extended by an hour at both ends."""

SETTLE_MARGIN = timedelta(minutes=5)
"""A reply this soon after a change may precede the end of that change."""

ON_AIR = ("LIVE", "INVOKED")

SETTLED_AFTER = timedelta(days=7)
"""A day is settled once its totals have not changed for this long."""

DAYWISE_CHUNK_DAYS = 30
"""Days per request of *daywise*: the only length of range that the vendor's OpenAPI document mentions."""


def livestreams_to_fetch(
    listed: pl.DataFrame,
    synced: pl.DataFrame,
    unfinished: Collection[str],
    given_up: Collection[str] = (),
    *,
    first_day: date,
    last_day: date,
    full: bool,
    resume_from: int | None,
    now: datetime,
) -> list[str]:
    """Return the ids of the livestreams whose sessions must be fetched for the days of a range.

    `listed`: one row per livestream, with livestream_id, created_at, updated_at, status (null if unknown).
    `synced`: ops.livestream_sync. A livestream that failed the last time is fetched again, whatever the days.
    `unfinished`: livestreams with sessions that had not ended; of those, `given_up` are listed as on air but never end.
    `full`: fetch every livestream that may have a session in the range.
    `resume_from`: sessions that landed after this landing are not fetched again, unless their livestream changed since and
    they were fetched before the end of the range: a backfill that includes today, resumed tomorrow, would otherwise load
    today without its evening as final. A reply with a time in the future comes from a machine whose clock was ahead, so it
    does not count as current.
    """
    begin = time_literal(datetime.combine(first_day, time()) - LIST_MARGIN)
    end = time_literal(datetime.combine(last_day + timedelta(days=1), time()) + LIST_MARGIN)
    present = time_literal(now)
    known = pl.col("complete").fill_null(value=False)
    may_have_session = pl.col("created_at").is_null() | (pl.col("created_at") < end)
    on_air = pl.col("status").str.to_uppercase().is_in(ON_AIR) & ~pl.col("livestream_id").is_in(list(given_up))
    running = on_air | pl.col("livestream_id").is_in(list(unfinished))
    changed = pl.col("updated_at").is_null() | pl.when(known).then(
        ~pl.col("updated_at").eq_missing(pl.col("upstream_updated_at"))
        | (pl.col("synced_at") < pl.col("updated_at") + SETTLE_MARGIN)
        | (pl.col("synced_at") > present)
    ).otherwise(pl.col("updated_at") >= begin)
    failed = pl.col("failed_at").is_not_null()
    since = pl.lit(resume_from, dtype=pl.Int64)
    just_fetched = known & ~failed & (pl.col("arrival") > since).fill_null(value=False)
    is_final = just_fetched & pl.col("synced_at").is_between(end, present)
    outdated = (running | changed.fill_null(value=True)) & ~is_final
    is_needed = failed | may_have_session & (outdated | pl.lit(value=full) & ~just_fetched)
    joined = listed.join(synced.drop("app_id"), on="livestream_id", how="left", maintain_order="left")
    return joined.filter(is_needed.fill_null(value=True))["livestream_id"].to_list()


def count_unread_livestreams(days: Collection[date], listed: pl.DataFrame, synced: pl.DataFrame) -> dict[date, int]:
    """Return how many of the livestreams in `synced` may have had a session on each of these days that was never read.

    No session is older than its livestream, nor than the last time that its sessions were read, nor younger than the last
    change of its livestream. `listed` as in `livestreams_to_fetch`; a null there excludes no day.
    """
    known_until = pl.when(pl.col("complete")).then(pl.col("synced_at") - SETTLE_MARGIN)
    joined = synced.join(listed, on="livestream_id", how="left").select(
        pl.max_horizontal(pl.col("created_at") - LIST_MARGIN, known_until).dt.date().alias("first"),
        (pl.col("updated_at") + LIST_MARGIN).dt.date().alias("last"),
    )
    spans = [(first or date.min, last or date.max) for first, last in joined.iter_rows()]
    return {day: sum(first <= day <= last for first, last in spans) for day in days}


def days_to_fetch(
    days: Mapping[str, Collection[date]],
    versions: pl.DataFrame,
    *,
    full: bool,
    resume_from: int | None,
    now: datetime,
) -> dict[str, list[date]]:
    """Return, by app, the days of a range whose *overall* must be fetched: all that are not settled, or all if `full`.

    `versions`: one row per app and day, with app_id, day, changed_at, last_fetched_at, arrival. A day is settled once a reply equals
    one of a week before. A reply with a time in the future comes from a clock that was ahead, and settles nothing.
    """
    settled = (
        (pl.col("last_fetched_at") - pl.col("changed_at") >= SETTLED_AFTER)
        & (pl.col("last_fetched_at") <= time_literal(now))
        & (not full)
    )
    is_past = pl.col("last_fetched_at").dt.date() > pl.col("day")
    just_fetched = is_past & (pl.col("arrival") > pl.lit(resume_from, dtype=pl.Int64)).fill_null(value=False)
    skipped = set(versions.filter(settled | just_fetched).select("app_id", "day").iter_rows())
    return {app_id: [day for day in of_app if (app_id, day) not in skipped] for app_id, of_app in days.items()}


def split_days(days: Collection[date], size: int = DAYWISE_CHUNK_DAYS) -> list[tuple[date, date]]:
    """Return ranges of at most `size` days that cover all of these days; each starts and ends with one of them."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(days):
        if ranges and (day - ranges[-1][0]).days < size:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges
