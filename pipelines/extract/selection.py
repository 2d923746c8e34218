"""Which livestreams to ask about their sessions, and which days about their totals. No request is sent here.

Requests are the cost: the API allows four a second. A livestream whose sessions are known as of its last
change has nothing new, if `updated_at` moves with every session. That is not documented, so it is not
trusted alone: the caller compares with *overall* and asks the rest where that says more.
"""

from collections.abc import Collection
from datetime import date, datetime, time, timedelta

import polars as pl

LIST_MARGIN = timedelta(hours=1)
"""`updated_at` was seen 16 ms before the `created_at` of the session that moved it, and sessions 1.7 s
after their own start: around the edges of a range an hour is asked for too."""

SETTLE_MARGIN = timedelta(minutes=5)
"""An answer this soon after a change may have been given before the change was whole."""

ON_AIR = ("LIVE", "INVOKED")

SETTLED_AFTER = timedelta(days=7)
"""A day whose figures did not move for so long is settled."""

DAYWISE_CHUNK_DAYS = 30
"""Days asked for in one *daywise*: the one length of range the API document itself speaks of."""


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
    """Ids of the livestreams whose sessions must be asked for, for the days of a range.

    `listed` has a row a livestream: livestream_id, created_at, updated_at, status (nulls where not told).
    `synced` is ops.livestream_sync; what could not be read the last time is asked for again, whatever the days.
    `unfinished` livestreams have sessions that had not ended when last seen; of those `given_up`, although listed as on
    air, none ever will.
    `full` asks whatever could hold a session of the range. Answers that landed after the landing `answered_since` are
    always good. An answer from the future tells of a clock that was ahead, not whether it came late enough.
    """
    begin = datetime.combine(first_day, time()) - LIST_MARGIN
    end = datetime.combine(last_day + timedelta(days=1), time()) + LIST_MARGIN
    known = pl.col("complete").fill_null(value=False)
    could_hold = pl.col("created_at").is_null() | (pl.col("created_at") < end)
    on_air = pl.col("status").str.to_uppercase().is_in(ON_AIR) & ~pl.col("livestream_id").is_in(list(given_up))
    running = on_air | pl.col("livestream_id").is_in(list(unfinished))
    changed = pl.col("updated_at").is_null() | pl.when(known).then(
        ~pl.col("updated_at").eq_missing(pl.col("upstream_updated_at"))
        | (pl.col("synced_at") < pl.col("updated_at") + SETTLE_MARGIN)
        | (pl.col("synced_at") > now)
    ).otherwise(pl.col("updated_at") >= begin)
    failed = pl.col("failed_at").is_not_null()
    since = pl.lit(resume_from, dtype=pl.Int64)
    just_answered = known & ~failed & (pl.col("arrival") > since).fill_null(value=False)
    wanted = (failed | could_hold & (pl.lit(value=full) | running | changed.fill_null(value=True))) & ~just_answered
    joined = listed.join(synced.drop("app_id"), on="livestream_id", how="left", maintain_order="left")
    return joined.filter(wanted.fill_null(value=True))["livestream_id"].to_list()


def find_unread_days(days: Collection[date], listed: pl.DataFrame, synced: pl.DataFrame) -> set[date]:
    """Return the days on which one of the livestreams in `synced` may have had a session that nobody has read.

    No session is older than its livestream, nor than the last time that its sessions were read, nor younger than its last
    change. `listed` as in `livestreams_to_ask`; what it does not tell of a livestream is not excluded.
    """
    known_until = pl.when(pl.col("complete")).then(pl.col("synced_at") - SETTLE_MARGIN)
    joined = synced.join(listed, on="livestream_id", how="left").select(
        pl.max_horizontal(pl.col("created_at") - LIST_MARGIN, known_until).dt.date().alias("first"),
        (pl.col("updated_at") + LIST_MARGIN).dt.date().alias("last"),
    )
    spans = [(first or date.min, last or date.max) for first, last in joined.iter_rows()]
    return {day for day in days if any(first <= day <= last for first, last in spans)}


def days_to_fetch(
    days: Collection[date], versions: pl.DataFrame, *, full: bool, resume_from: int | None, now: datetime
) -> list[date]:
    """Days of a range whose *overall* must be asked for: all that are not settled, or all if `full`.

    `versions` has a row a day: day, changed_at, asked_at, arrival. A day is settled when an answer came that was the
    same as one a week before. An answer from the future tells of a clock that was ahead: it settles nothing.
    """
    settled = (pl.col("asked_at") - pl.col("changed_at") >= SETTLED_AFTER) & (pl.col("asked_at") <= now) & (not full)
    over = pl.col("asked_at").dt.date() > pl.col("day")
    just_answered = over & (pl.col("arrival") > pl.lit(resume_from, dtype=pl.Int64)).fill_null(value=False)
    skipped = set(versions.filter(settled | just_answered)["day"])
    return [day for day in days if day not in skipped]


def chunks(days: Collection[date], size: int = DAYWISE_CHUNK_DAYS) -> list[tuple[date, date]]:
    """Return ranges of at most `size` days that together cover all of these days; each begins and ends with one of them."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(days):
        if ranges and (day - ranges[-1][0]).days < size:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges
