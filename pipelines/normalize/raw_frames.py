"""Builds frames for the raw tables from records as received: key and day by the rules for values, payload as text."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from hashlib import blake2b
from typing import Any

import polars as pl

from pipelines.catalog.core import LIVESTREAM_SESSIONS
from pipelines.catalog.ops import FIELD_TYPES
from pipelines.catalog.polars_types import time_literal
from pipelines.catalog.raw import RAW_LIVESTREAM_DAYWISE, RAW_LIVESTREAM_SESSIONS, RAW_LIVESTREAMS
from pipelines.catalog.streams import Stream
from pipelines.catalog.types import Table
from pipelines.errors import UnexpectedReplyError
from pipelines.normalize.coerce import EARLIEST, value_of
from pipelines.normalize.record import Record, encode, key_cells


def _digest(payload: str) -> int:
    return int.from_bytes(blake2b(payload.encode(), digest_size=8).digest(), "big", signed=True)


def _raw_frame(
    table: Table,
    payloads: Sequence[str],
    fetched_at: datetime | pl.Series,
    run_id: str,
    **columns: Any,  # noqa: ANN401 - a series or a literal a column
) -> pl.DataFrame:
    received = dict.fromkeys(("first_fetched_at", "fetched_at", "changed_at"), fetched_at)
    unnumbered = dict.fromkeys(("key_digest", "arrival", "changed_arrival"))  # set by `raw_versions.land`
    context = {**received, "run_id": run_id, "changed_run_id": run_id, **unnumbered, **columns}
    digests = [_digest(payload) for payload in payloads]
    frame = pl.LazyFrame(
        {"payload": pl.Series(payloads, dtype=pl.String), "digest": pl.Series(digests, dtype=pl.Int64)}
    )
    schema = table.polars_schema
    filled = frame.with_columns(
        (time_literal(value) if isinstance(value, datetime) else pl.lit(value)).cast(schema[name]).alias(name)
        for name, value in context.items()
    )
    return filled.select(table.column_names).collect()  # one query for all columns


def raw_livestreams(records: Sequence[Record], *, app_id: str, fetched_at: datetime, run_id: str) -> pl.DataFrame:
    """Return rows of raw.livestreams."""
    key = key_cells(records, "id").select(value_of("id", "id", fetched_at.date())).to_series()
    texts = [record.text for record in records]
    return _raw_frame(RAW_LIVESTREAMS, texts, fetched_at, run_id, app_id=app_id, livestream_id=key)


def raw_sessions(
    records: Sequence[Record],
    *,
    app_id: str,
    livestream_ids: Sequence[str],
    fetched_at: Sequence[datetime],
    run_id: str,
) -> pl.DataFrame:
    """Return rows of raw.livestream_sessions. For each record: the livestream it was fetched for, and when."""
    today = max(fetched_at, default=EARLIEST).date()
    read = key_cells(records, "id", *LIVESTREAM_SESSIONS.day_fields).select(
        value_of("id", "id", today).alias("id"),
        pl.coalesce(value_of("timestamp", name, today) for name in LIVESTREAM_SESSIONS.day_fields)
        .dt.date()
        .alias("day"),
    )
    return _raw_frame(
        RAW_LIVESTREAM_SESSIONS,
        [record.text for record in records],
        pl.Series(fetched_at, dtype=pl.Datetime("us")),
        run_id,
        app_id=app_id,
        session_id=read["id"],
        livestream_id=pl.Series(livestream_ids, dtype=pl.String),
        day=read["day"],
        days_differ=False,
    )


def raw_days(
    table: Table,
    records: Sequence[Record],
    days: Sequence[date],
    *,
    app_id: str,
    fetched_at: Sequence[datetime],
    run_id: str,
) -> pl.DataFrame:
    """Return a row of a raw table of day figures for each record and its day; the record `null` means that the reply had none."""
    texts = [record.text for record in records]
    times = pl.Series(fetched_at, dtype=pl.Datetime("us"))
    return _raw_frame(table, texts, times, run_id, app_id=app_id, day=pl.Series(days, dtype=pl.Date))


def raw_day_entries(
    stream: Stream,
    entries: Sequence[Record],
    days: Sequence[date],
    *,
    omitted_is_zero: bool,
    app_id: str,
    fetched_at: datetime,
    run_id: str,
    stats: str | None = None,
) -> pl.DataFrame:
    """Return rows of a stream's raw table for one part of a reply about `days`; omitted days that are zero get `null`."""
    day = value_of("day", stream.day_field, fetched_at.date())
    named = key_cells(entries, stream.day_field).select(day).to_series().to_list()
    if any(named) and not set(named) & set(days):
        raise UnexpectedReplyError(f"{stream.label} for {days[0]} to {days[-1]} was answered with other days only")
    # An entry without a readable day is about one of the days that seem to be omitted.
    missing = sorted(set(days) - set(named)) if omitted_is_zero and None not in named else []
    return _raw_frame(
        stream.raw,
        [*(entry.text for entry in entries), *(encode(None) for _ in missing)],
        fetched_at,
        run_id,
        app_id=app_id,
        day=pl.Series([*named, *missing], dtype=pl.Date),
        **({"stats": stats} if stats else {}),
    )


def raw_session_counts(
    entries: Sequence[Record], days: Sequence[date], *, app_id: str, fetched_at: datetime, run_id: str
) -> pl.DataFrame:
    """Return rows of raw.livestream_analytics_daywise for a reply of *livestreams/daywise* about `days`."""
    day = value_of("day", "date", fetched_at.date())
    named = key_cells(entries, "date").select(day).to_series().to_list() if entries else []
    if any(named) and not set(named) & set(days):
        raise UnexpectedReplyError(f"livestreams/daywise for {days[0]} to {days[-1]} was answered with other days only")
    if len(days) == 1:
        named = [day or days[0] for day in named]
    # An entry without a readable day is about one of the days that seem to be omitted.
    missing = sorted(set(days) - set(named)) if None not in named else []
    frame = _raw_frame(
        RAW_LIVESTREAM_DAYWISE,
        [*(entry.text for entry in entries), *(encode(None) for _ in missing)],
        fetched_at,
        run_id,
        app_id=app_id,
        day=pl.Series([*named, *missing], dtype=pl.Date),
    )
    return frame.filter(pl.col("day").is_null() | pl.col("day").is_in(list(days)))  # others were not requested


def field_types(table: Table, records: Sequence[Record], seen_at: datetime) -> pl.DataFrame:
    """Return rows of ops.field_types for these records."""
    counted = Counter(pair for record in records for pair in record.types)
    return pl.DataFrame(
        [(table.full_name, field, kind, n, seen_at, seen_at) for (field, kind), n in counted.items()],
        schema=dict(FIELD_TYPES.polars_schema),
        orient="row",
    )
