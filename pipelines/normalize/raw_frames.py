"""Records as received → frames for the raw tables: key and day by the rules of value, payload as text."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from hashlib import blake2b
from typing import Any

import polars as pl

from pipelines.catalog.core import LIVESTREAM_SESSIONS
from pipelines.catalog.ops import FIELD_TYPES
from pipelines.catalog.raw import RAW_LIVESTREAM_DAYWISE, RAW_LIVESTREAM_SESSIONS, RAW_LIVESTREAMS
from pipelines.catalog.streams import Stream
from pipelines.catalog.types import Table
from pipelines.errors import UnexpectedReplyError
from pipelines.normalize.coerce import EARLIEST, cell, value_of
from pipelines.normalize.fields import json_type, split_fields

Record = Any


_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def payload_of(record: Record) -> str:
    """Write the record as JSON text; equal records give equal text."""
    return _ENCODER.encode(record)


def _digest(payload: str) -> int:
    return int.from_bytes(blake2b(payload.encode(), digest_size=8).digest(), "big", signed=True)


def identity(record: Record) -> str:
    """Tell records of a list apart: by the id, a whole number as its text; without one, by the whole record."""
    found = record.get("id") if isinstance(record, dict) else None
    if type(found) is int:
        found = str(found)
    return payload_of(found if found and isinstance(found, str) else record)


def _raw_frame(
    table: Table,
    payloads: Sequence[str],
    fetched_at: datetime | pl.Series,
    run_id: str,
    **columns: Any,  # noqa: ANN401 - a series or a literal a column
) -> pl.DataFrame:
    received = dict.fromkeys(("first_fetched_at", "fetched_at", "changed_at"), fetched_at)
    unnumbered = dict.fromkeys(("key_digest", "arrival", "changed_arrival"))  # given by the landing
    context = {**received, "run_id": run_id, "changed_run_id": run_id, **unnumbered, **columns}
    frame = pl.DataFrame(
        {"payload": payloads, "digest": [_digest(payload) for payload in payloads]},
        schema={"payload": pl.String, "digest": pl.Int64},
    )
    return frame.with_columns(
        (value if isinstance(value, pl.Series) else pl.lit(value)).cast(table.polars_schema[name]).alias(name)
        for name, value in context.items()
    ).select(table.column_names)


def raw_livestreams(records: Sequence[Record], *, app_id: str, fetched_at: datetime, run_id: str) -> pl.DataFrame:
    """Rows of raw.livestreams."""
    payloads = [payload_of(record) for record in records]
    key = split_fields(payloads, ["id"]).select(value_of("id", cell("id"), fetched_at)).to_series()
    return _raw_frame(RAW_LIVESTREAMS, payloads, fetched_at, run_id, app_id=app_id, livestream_id=key)


def raw_sessions(
    payloads: Sequence[str],
    *,
    app_id: str,
    livestream_ids: Sequence[str],
    fetched_at: Sequence[datetime],
    run_id: str,
) -> pl.DataFrame:
    """Rows of raw.livestream_sessions; of each record, by `payload_of`, which livestream was asked and when."""
    now = max(fetched_at, default=EARLIEST)
    read = split_fields(payloads, ["id", *LIVESTREAM_SESSIONS.day_fields]).select(
        value_of("id", cell("id"), now).alias("id"),
        pl.coalesce(value_of("timestamp", cell(name), now) for name in LIVESTREAM_SESSIONS.day_fields)
        .dt.date()
        .alias("day"),
    )
    return _raw_frame(
        RAW_LIVESTREAM_SESSIONS,
        payloads,
        pl.Series(fetched_at, dtype=pl.Datetime("us")),
        run_id,
        app_id=app_id,
        session_id=read["id"],
        livestream_id=pl.Series(livestream_ids, dtype=pl.String),
        day=read["day"],
        days_differ=False,
    )


def raw_day(table: Table, record: Record, day: date, *, app_id: str, fetched_at: datetime, run_id: str) -> pl.DataFrame:
    """One row of a raw table of day figures; a record of None says that nothing was there."""
    return _raw_frame(table, [payload_of(record)], fetched_at, run_id, app_id=app_id, day=day)


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
    payloads = [payload_of(entry) for entry in entries]
    day = value_of("day", cell(stream.day_field), fetched_at)
    named = split_fields(payloads, [stream.day_field]).select(day).to_series().to_list()
    if any(named) and not set(named) & set(days):
        raise UnexpectedReplyError(f"{stream.label} for {days[0]} to {days[-1]} was answered with other days only")
    # An entry whose day cannot be read is about one of the days that seem to be left out.
    missing = sorted(set(days) - set(named)) if omitted_is_zero and None not in named else []
    return _raw_frame(
        stream.raw,
        [*payloads, *(payload_of(None) for _ in missing)],
        fetched_at,
        run_id,
        app_id=app_id,
        day=pl.Series([*named, *missing], dtype=pl.Date),
        **({"stats": stats} if stats else {}),
    )


def raw_session_counts(
    entries: Sequence[Record], days: Sequence[date], *, app_id: str, fetched_at: datetime, run_id: str
) -> pl.DataFrame:
    """Rows of raw.livestream_analytics_daywise for a reply of *livestreams/daywise* that was asked about `days`."""
    payloads = [payload_of(entry) for entry in entries]
    day = value_of("day", cell("date"), fetched_at)
    named = split_fields(payloads, ["date"]).select(day).to_series().to_list() if entries else []
    if any(named) and not set(named) & set(days):
        raise UnexpectedReplyError(f"livestreams/daywise for {days[0]} to {days[-1]} was answered with other days only")
    if len(days) == 1:
        named = [day or days[0] for day in named]
    # An entry whose day cannot be read is about one of the days that seem to be left out.
    missing = sorted(set(days) - set(named)) if None not in named else []
    frame = _raw_frame(
        RAW_LIVESTREAM_DAYWISE,
        [*payloads, *(payload_of(None) for _ in missing)],
        fetched_at,
        run_id,
        app_id=app_id,
        day=pl.Series([*named, *missing], dtype=pl.Date),
    )
    return frame.filter(pl.col("day").is_null() | pl.col("day").is_in(list(days)))  # others were not asked about


def field_types(table: Table, records: Sequence[Record], seen_at: datetime) -> pl.DataFrame:
    """Rows of ops.field_types for these records. Of a `status`, its values are told apart."""
    counted: Counter[tuple[str, str]] = Counter()
    for record in records:
        if not isinstance(record, dict):
            counted["record", json_type(record)] += 1
            continue
        for field, value in record.items():
            kind = json_type(value)
            counted[field, f"{kind}:{value[:40]}" if field == "status" and isinstance(value, str) else kind] += 1
    return pl.DataFrame(
        [(table.full_name, field, kind, n, seen_at, seen_at) for (field, kind), n in counted.items()],
        schema=dict(FIELD_TYPES.polars_schema),
        orient="row",
    )
