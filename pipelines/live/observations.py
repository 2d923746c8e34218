"""Turns what a poll fetched into rows of raw.live_observations, or of ops.quarantine, by the rules of value."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.catalog.live import RAW_LIVE_OBSERVATIONS
from pipelines.catalog.ops import QUARANTINE
from pipelines.catalog.types import LogicalType
from pipelines.normalize.coerce import reason_not_taken, value_of
from pipelines.normalize.derived import add_session_facts
from pipelines.normalize.fields import split_fields
from pipelines.normalize.record import encode

ENDED, FAILED = "ENDED", "FAILED"
"""Status of the row with the last figures of a session. Ours: the API has a status of livestreams only."""

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
_COLUMNS: tuple[tuple[str, str, LogicalType], ...] = (
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
MAX_GAP = timedelta(minutes=5)
"""The audience between two observations further apart is unknown, and not interpolated. Polls come every minute; one may
fail, and a run suspends them for a few minutes. The macro `is_gap` has the same limit; a test compares them."""

PLACEHOLDER_SECONDS = 60
"""Value of both figures of a session until the API knows them, 40 to 50 seconds after its start."""

_FIGURES_KNOWN_AFTER = timedelta(seconds=60)
_CLOCK_TOLERANCE = timedelta(seconds=60)
"""Tolerated difference between this machine's clock and the API's."""

_SMALLEST_STEP = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Observation:
    """A livestream and its session as of `answered_at` (UTC).

    `last_on_air_at` is set once the session is no longer active: the time of the last poll that found it active.
    """

    livestream_id: str
    livestream: Any
    session: Any
    answered_at: datetime
    last_on_air_at: datetime | None = None


def parse_observations(
    found: Sequence[Observation], *, app_id: str, polled_at: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return rows of raw.live_observations, and rows of ops.quarantine for records that no rule accepts.

    A session that ended gets a row at the moment it ended. One that is no longer active but has not ended gets none.
    """
    if not found:
        return pl.DataFrame(schema=RAW_LIVE_OBSERVATIONS.polars_schema), pl.DataFrame(schema=QUARANTINE.polars_schema)
    payloads = [encode(_flatten(one)) for one in found]
    values = (
        split_fields(payloads, [field for _, field, _ in _COLUMNS])
        .with_columns(value_of(kind, field, polled_at.date()).alias(f"{name}:value") for name, field, kind in _COLUMNS)
        .select(
            pl.col("^.*:value$").name.map(lambda name: name.removesuffix(":value")),
            *[
                reason_not_taken(kind, field, pl.col(f"{name}:value")).alias(f"{field}:reason")
                for name, field, kind in _COLUMNS
            ],
            pl.Series("payload", payloads, dtype=pl.String),
            pl.Series("answered_at", [one.answered_at for one in found], dtype=pl.Datetime("us")),
            pl.Series("last_on_air_at", [one.last_on_air_at for one in found], dtype=pl.Datetime("us")),
        )
        .with_columns(
            pl.lit(app_id).alias("app_id"),
            pl.lit(value=False).alias("is_merged"),
            pl.lit(polled_at).cast(pl.Datetime("us")).alias("looked_at"),
            pl.coalesce(
                [pl.when(pl.col(f"{field}:reason").is_not_null()).then(pl.lit(field)) for _, field, _ in _COLUMNS]
            ).alias("field"),
            pl.coalesce([f"{field}:reason" for _, field, _ in _COLUMNS]).alias("reason"),
        )
    )
    accepted = blank_placeholder_figures(_observe_ends(values.filter(pl.col("reason").is_null())))
    rejected = values.filter(pl.col("reason").is_not_null()).select(
        "app_id",
        pl.lit(LIVE_OBSERVATIONS.full_name).alias("table_name"),
        pl.col("answered_at").dt.date().alias("day"),
        pl.col("livestream_id").alias("record_id"),
        "field",
        "reason",
        "payload",
        pl.col("answered_at").alias("fetched_at"),
        pl.lit(None, dtype=pl.String).alias("run_id"),
    )
    rows = accepted.select(pl.col(name).cast(kind) for name, kind in RAW_LIVE_OBSERVATIONS.polars_schema.items())
    return rows, rejected.cast(pl.Schema(QUARANTINE.polars_schema))


def _flatten(one: Observation) -> dict[str, Any]:
    stream = one.livestream if isinstance(one.livestream, dict) else {}
    session = one.session if isinstance(one.session, dict) else {}
    record: dict[str, Any] = {"livestream_id": one.livestream_id}
    record |= {field: stream.get(field) for field in _STREAM_FIELDS}
    return record | {f"session.{field}": session.get(field) for field in _SESSION_FIELDS}


def _observe_ends(values: pl.DataFrame) -> pl.DataFrame:
    """Add `observed_at`: the time of the reply, or of the end of a session, which lies between two polls.

    The API's clock may differ from ours, so the end is moved to between the last poll that found the session active and
    the reply that says it ended.
    """
    values = add_session_facts(values.with_columns(pl.lit(None, dtype=pl.Datetime("us")).alias("invoked_at")))
    failed, is_over = pl.col("is_failed"), ~pl.col("is_provisional")
    ended_at = pl.coalesce("ended_at", "answered_at").clip(
        pl.col("last_on_air_at") + _SMALLEST_STEP, pl.col("answered_at") - _SMALLEST_STEP
    )
    was_on_air = pl.col("last_on_air_at").is_not_null()
    return values.filter(~was_on_air | is_over).with_columns(
        pl.when(was_on_air).then(ended_at).otherwise("answered_at").alias("observed_at"),
        pl.when(was_on_air & failed)
        .then(pl.lit(FAILED))
        .when(was_on_air)
        .then(pl.lit(ENDED))
        .otherwise("status")
        .alias("status"),
    )


def blank_placeholder_figures(values: pl.DataFrame) -> pl.DataFrame:
    """Set both figures of a session's first minute to NULL: the API says 60 and 60 until it knows them.

    Reads observed_at, started_at, ingest_seconds, viewer_seconds and last_on_air_at (NULL while the session is active).
    Figures of a session that ended are final, unless it ended before it could have reached them. Rows of earlier versions
    still hold placeholders; marts.live_audience recognizes those by the rows that follow.
    """
    age = pl.col("observed_at") - pl.col("started_at")
    is_placeholder = (pl.col("ingest_seconds") == PLACEHOLDER_SECONDS) & (
        pl.col("viewer_seconds") == PLACEHOLDER_SECONDS
    )
    is_young = age.is_between(-_CLOCK_TOLERANCE, _FIGURES_KNOWN_AFTER, closed="left")
    may_be_young = age.is_null() | (age < _FIGURES_KNOWN_AFTER + _CLOCK_TOLERANCE)
    is_unknown = (
        pl.when(pl.col("last_on_air_at").is_not_null())
        .then(is_placeholder & (age < _FIGURES_KNOWN_AFTER))
        .otherwise(is_young | (is_placeholder & may_be_young))
    ).fill_null(value=False)
    return values.with_columns(
        pl.when(~is_unknown).then(pl.col(name)).alias(name) for name in ("ingest_seconds", "viewer_seconds")
    )
