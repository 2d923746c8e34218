"""What was seen on air → rows of raw.live_observations by the rules of value, and the rejects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.catalog.live import RAW_LIVE_OBSERVATIONS
from pipelines.catalog.ops import QUARANTINE
from pipelines.catalog.types import Kind
from pipelines.normalize.coerce import cell, reason_not_taken, value_of
from pipelines.normalize.derived import add_session_facts
from pipelines.normalize.fields import split_fields
from pipelines.normalize.raw_frames import payload_of

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
PLACEHOLDER_SECONDS = 60
"""What the API says of both figures of a session until it knows them, 40 to 50 seconds after its start."""

_KNOWN_AFTER = timedelta(seconds=60)
_SLACK = timedelta(seconds=60)
"""How far this machine's clock may be from the API's."""

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
    whole = without_placeholders(_with_ends(values.filter(pl.col("reason").is_null())))
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
    values = add_session_facts(values.with_columns(pl.lit(None, dtype=pl.Datetime("us")).alias("invoked_at")))
    failed, is_over = pl.col("is_failed"), ~pl.col("is_provisional")
    ended_at = pl.coalesce("ended_at", "seen_at").clip(
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


def without_placeholders(values: pl.DataFrame) -> pl.DataFrame:
    """Make the figures of a session's first minute unknown: 60 and 60, whoever watches, until the API knows better.

    Read: observed_at, started_at, ingest_seconds, viewer_seconds, and on_air_at, which is NULL of a session on air. Of
    observations by earlier versions marts.live_audience tells placeholders by what came after.

    Of a session that is over they are final, unless it ended before it could have been fed in for so long.
    """
    age = pl.col("observed_at") - pl.col("started_at")
    says_nothing = (pl.col("ingest_seconds") == PLACEHOLDER_SECONDS) & (pl.col("viewer_seconds") == PLACEHOLDER_SECONDS)
    is_young = age.is_between(-_SLACK, _KNOWN_AFTER, closed="left")
    may_be_young = age.is_null() | (age < _KNOWN_AFTER + _SLACK)
    is_unknown = (
        pl.when(pl.col("on_air_at").is_not_null())
        .then(says_nothing & (age < _KNOWN_AFTER))
        .otherwise(is_young | (says_nothing & may_be_young))
    ).fill_null(value=False)
    return values.with_columns(
        pl.when(~is_unknown).then(pl.col(name)).alias(name) for name in ("ingest_seconds", "viewer_seconds")
    )
