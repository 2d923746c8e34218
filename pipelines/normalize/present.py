"""What was seen on air → rows of raw.live_observations by the rules of value, and the rejects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from pipelines.normalize.fields import split_fields
from pipelines.normalize.records import payload_of
from pipelines.normalize.values import cell, reason_not_taken, value_of
from pipelines.schema import Kind
from pipelines.tables import LIVE_OBSERVATIONS, QUARANTINE
from pipelines.tables_live import RAW_LIVE_OBSERVATIONS

ENDED, FAILED = "ENDED", "FAILED"
"""Status of a row with the last figures of a session. The API's own words are about livestreams, not sessions."""

_STREAM_FIELDS = ("name", "meeting_id", "status")
_SESSION_FIELDS = (
    "updated_at",
    "err_message",
    "id",
    "ingest_seconds",
    "viewer_seconds",
    "started_time",
    "stopped_time",
)
_COLUMNS: tuple[tuple[str, str, Kind], ...] = (
    ("livestream_id", "livestream_id", "id"),
    ("session_id", "session.id", "id"),
    ("meeting_id", "meeting_id", "text"),
    ("name", "name", "text"),
    ("status", "status", "text"),
    ("ingest_seconds", "session.ingest_seconds", "seconds"),
    ("viewer_seconds", "session.viewer_seconds", "seconds"),
    ("started_at", "session.started_time", "timestamp"),
    ("stopped_at", "session.stopped_time", "timestamp"),
    ("updated_at", "session.updated_at", "timestamp"),
    ("err_message", "session.err_message", "text"),
)
_CLOCKS_APART = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Seen:
    """One stream as the API answered about it at `seen_at`.

    `on_air_at`: when its session was last seen on air, where this is the answer after that.
    """

    livestream_id: str
    livestream: Any
    session: Any
    seen_at: datetime
    on_air_at: datetime | None = None


def observations(seen: Sequence[Seen], *, app_id: str, looked_at: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows of raw.live_observations, and rows of ops.quarantine.

    Of a session that is over there is a row at the moment it ended; none where it turns out to go on.
    """
    if not seen:
        return pl.DataFrame(schema=RAW_LIVE_OBSERVATIONS.polars_schema), pl.DataFrame(schema=QUARANTINE.polars_schema)
    payloads = [payload_of(_flat(one)) for one in seen]
    values = (
        split_fields(payloads, [field for _, field, _ in _COLUMNS])
        .with_columns(value_of(kind, cell(field), looked_at).alias(f"{name}:value") for name, field, kind in _COLUMNS)
        .select(
            pl.col("^.*:value$").name.map(lambda name: name.removesuffix(":value")),
            *[
                reason_not_taken(kind, cell(field), pl.col(f"{name}:value")).alias(f"{field}:reason")
                for name, field, kind in _COLUMNS
            ],
            pl.Series("payload", payloads, dtype=pl.String),
            pl.Series("seen_at", [one.seen_at for one in seen], dtype=pl.Datetime("us")),
            pl.Series("on_air_at", [one.on_air_at for one in seen], dtype=pl.Datetime("us")),
        )
        .with_columns(
            pl.lit(app_id).alias("app_id"),
            pl.lit(value=False).alias("is_merged"),
            pl.lit(looked_at).cast(pl.Datetime("us")).alias("looked_at"),
            pl.coalesce(
                [pl.when(pl.col(f"{field}:reason").is_not_null()).then(pl.lit(field)) for _, field, _ in _COLUMNS]
            ).alias("field"),
            pl.coalesce([f"{field}:reason" for _, field, _ in _COLUMNS]).alias("reason"),
        )
    )
    whole = _with_ends(values.filter(pl.col("reason").is_null()))
    rejected = values.filter(pl.col("reason").is_not_null()).select(
        "app_id",
        pl.lit(LIVE_OBSERVATIONS.full_name).alias("table_name"),
        pl.col("seen_at").dt.date().alias("day"),
        pl.col("livestream_id").alias("record_id"),
        "field",
        "reason",
        "payload",
        pl.col("seen_at").alias("fetched_at"),
        pl.lit(None, dtype=pl.String).alias("run_id"),
    )
    rows = whole.select(pl.col(name).cast(kind) for name, kind in RAW_LIVE_OBSERVATIONS.polars_schema.items())
    return rows, rejected.cast(pl.Schema(QUARANTINE.polars_schema))


def _flat(one: Seen) -> dict[str, Any]:
    stream = one.livestream if isinstance(one.livestream, dict) else {}
    session = one.session if isinstance(one.session, dict) else {}
    record: dict[str, Any] = {"livestream_id": one.livestream_id}
    record |= {field: stream.get(field) for field in _STREAM_FIELDS}
    return record | {f"session.{field}": session.get(field) for field in _SESSION_FIELDS}


def _with_ends(values: pl.DataFrame) -> pl.DataFrame:
    """Put each session that is over at the moment it ended, between the two looks whatever the API's clock says."""
    failed = pl.col("err_message").fill_null("") != ""
    is_over = pl.col("stopped_at").is_not_null() | failed
    ended_at = pl.coalesce("stopped_at", "updated_at", "seen_at").clip(
        pl.col("on_air_at") + _CLOCKS_APART, pl.col("seen_at") - _CLOCKS_APART
    )
    was_on_air = pl.col("on_air_at").is_not_null()
    return values.filter(~was_on_air | is_over).with_columns(
        pl.when(was_on_air).then(ended_at).otherwise("seen_at").alias("observed_at"),
        pl.when(was_on_air & failed)
        .then(pl.lit(FAILED))
        .when(was_on_air)
        .then(pl.lit(ENDED))
        .otherwise("status")
        .alias("status"),
    )
