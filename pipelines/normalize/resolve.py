"""Resolves the raw versions of records into the current rows of a core table, and into rejects for ops.quarantine.

Raw keeps every distinct version of a record. The current version of a key depends on its versions alone, so the same raw
records always give the same rows. The later `updated_at` wins, then the later landing; if a version lacks `updated_at`, only
the landing counts. A version with an invalid value is quarantined, and the one before it stays current. Figures that the
source has lost are kept (see `shrinks.py`).
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cache, lru_cache

import polars as pl

from pipelines.catalog.core import LIVESTREAMS
from pipelines.catalog.ops import QUARANTINE
from pipelines.catalog.types import Table
from pipelines.normalize.coerce import reason_not_taken, value_of
from pipelines.normalize.derived import add_session_facts
from pipelines.normalize.fields import split_fields
from pipelines.normalize.shrinks import SessionSums, any_above_zero, keep_forgotten_figures

_LISTED = replace(
    LIVESTREAMS,
    columns=tuple(
        column
        for column in LIVESTREAMS.columns
        if column.name in ("livestream_id", "created_at", "updated_at", "status")
    ),
)
"""The columns of core.livestreams by which livestreams are selected."""
_CONTEXT = ("payload", "first_fetched_at", "fetched_at", "run_id", "arrival")


@dataclass(frozen=True)
class Normalized:
    """Rows, rejects (`ops.quarantine`) and shrinks (`ops.shrinks`) of one table and app."""

    rows: pl.DataFrame
    rejects: pl.DataFrame
    shrinks: pl.DataFrame
    received: int
    """Versions read. Each one is landed, rejected or a duplicate."""
    duplicates: int
    """Versions that another version of the same record supersedes, or that are empty."""
    superseded: pl.DataFrame
    """Versions of livestreams that raw need not keep: `livestream_id` and `payload`. Empty for other tables."""
    has_rejected_time: bool
    """Whether a version has a rejected time. It can become plausible as time passes, and its version the current one."""
    is_current_last: bool
    """Whether the current version of each key is the one that was received last, so that its `fetched_at` is known."""
    is_explained: bool = False
    """Whether rows of another table explain why totals became smaller."""

    @property
    def is_settled(self) -> bool:
        """Whether only other raw records can change the rows."""
        return self.is_current_last and not self.has_rejected_time and not self.is_explained


def read_versions(table: Table, raw: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Return every version with its values: the table's columns, `key`, `rank`, `field`, `reason` and `has_rejected_time`.

    `field` and `reason` name the first rejected field; they are null in a valid version. `rank` orders the versions of a key,
    the current one last.
    """
    parsed = split_fields(raw["payload"], [column.source_field for column in table.columns if column.source_field])
    for name in table.request_columns:
        parsed = _fill_from_request(parsed, name, raw[name])
    values_of, selected = _read_fields(table, now.date())
    values = parsed.with_columns(values_of).select(selected)
    raw_day = raw["day"] if "day" in raw.columns else pl.Series([None] * raw.height, dtype=pl.Date)
    versions = pl.concat(
        [raw.select("app_id", *_CONTEXT), values, raw_day.alias("raw_day").to_frame()], how="horizontal"
    ).with_row_index("row")
    if table.is_daily:
        versions = versions.with_columns(pl.col("raw_day").alias("day"))
    elif table.day_sources:
        versions = versions.with_columns(pl.coalesce(table.day_sources).dt.date().alias("day"))
    versions = versions.with_columns(_find_first_fault(table))
    updated = pl.col("updated_at") if "updated_at" in table.column_names else pl.lit(None, dtype=pl.Datetime("us"))
    # Records without a key are identified by their text, which must not equal the key of another record.
    key = pl.coalesce("=" + pl.col(table.key[-1]).cast(pl.String), "payload")
    keyed = versions.with_columns(key.alias("key"), updated.alias("at"))
    # If one version lacks its time of change, only the order of arrival is comparable.
    all_have_time = pl.col("at").is_not_null().all().over("key")
    at = pl.when(all_have_time).then("at")
    # Clocks order only versions that were landed before landings were numbered.
    rank = pl.struct(at.alias("at"), pl.col("arrival").fill_null(0), "fetched_at", "row").rank("ordinal")
    return keyed.with_columns(rank.alias("rank")).drop("at").sort("rank")


@lru_cache(maxsize=32)
def _read_fields(table: Table, today: date) -> tuple[list[pl.Expr], list[pl.Expr]]:
    """Return the expressions of the value of each field, and those of the columns and reasons that follow from them."""
    fields = [(column, column.source_field) for column in table.columns if column.source_field]
    values_of = [value_of(column.logical_type, name, today).alias(f"{name}:value") for column, name in fields]
    columns = [pl.col(f"{name}:value").alias(column.name) for column, name in fields]
    reasons = [
        reason_not_taken(column.logical_type, name, pl.col(f"{name}:value")).alias(f"{name}:reason")
        for column, name in fields
    ]
    return values_of, [pl.col("record:type"), *columns, *reasons]


def listed_livestreams(raw: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Return livestream_id, created_at, updated_at and status of each livestream, also of quarantined records.

    A livestream whose record is quarantined for its name still has sessions to fetch.
    """
    newest = read_versions(_LISTED, raw, now).group_by("key", maintain_order=True).last()
    known = newest.filter(pl.col("livestream_id").is_not_null())
    return known.select("livestream_id", "created_at", "updated_at", "status")


def _fill_from_request(parsed: pl.DataFrame, name: str, requested: pl.Series) -> pl.DataFrame:
    """Fill a field that a record leaves null with the id it was requested for."""
    is_null = pl.col(f"{name}:type") == "null"
    return parsed.with_columns(
        pl.when(is_null).then(requested).otherwise(pl.col(name)).alias(name),
        pl.when(is_null & requested.is_not_null())
        .then(pl.lit("string"))
        .otherwise(f"{name}:type")
        .alias(f"{name}:type"),
    )


@cache
def _find_first_fault(table: Table) -> list[pl.Expr]:
    """Return the expressions of `field` and `reason` of the first fault of a version, and of `has_rejected_time`."""
    faults: list[tuple[str, pl.Expr]] = []
    if table.is_daily:
        # A day entry may be `null`: the reply had none.
        faults.append(
            (
                "record",
                pl.when(~pl.col("record:type").is_in(["object", "null"])).then(pl.lit("not an object")),
            )
        )
        faults.append(("day", pl.when(pl.col("day").is_null()).then(pl.lit("not a day from 2015 until tomorrow"))))
    else:
        faults.append(("record", pl.when(pl.col("record:type") != "object").then(pl.lit("not an object"))))
    faults += [
        (str(column.source_field), pl.col(f"{column.source_field}:reason"))
        for column in table.columns
        if column.source_field
    ]
    if table.day_sources:
        *others, last = table.day_fields
        dayless = pl.lit(f"no day: {', '.join(others)} and {last} are all missing")
        faults.append((table.day_fields[0], pl.when(pl.col("day").is_null()).then(dayless)))
    times = [
        pl.col(f"{column.source_field}:reason").is_not_null()
        for column in table.columns
        if column.source_field and column.logical_type in ("timestamp", "day")
    ]
    return [
        pl.coalesce([pl.when(reason.is_not_null()).then(pl.lit(name)) for name, reason in faults]).alias("field"),
        pl.coalesce([reason for _, reason in faults]).alias("reason"),
        pl.any_horizontal(pl.lit(value=False), *times).alias("has_rejected_time"),
    ]


def normalize(
    table: Table,
    raw: pl.DataFrame,
    *,
    now: datetime,
    retention_days: int,
    days: Collection[date | None] | None = None,
    session_sums: SessionSums | None = None,
) -> Normalized:
    """Resolve raw versions into current rows, rejects and shrinks.

    `days` restricts the result to keys of these days (None among them: keys without a day). `raw` must hold all versions of
    such a key, also those with another day. `session_sums` may explain why totals of a day became smaller.
    """
    versions = read_versions(table, raw, now)
    has_rejected_time = bool(versions["has_rejected_time"].any())
    valid = versions.filter(pl.col("reason").is_null())
    if table.is_daily:
        valid = _known_figures(table, valid, retention_days)
    current = valid.group_by("key", maintain_order=True).last()
    newest = versions.group_by("key", maintain_order=True).last()
    days_of_keys = (
        newest.select("key", "raw_day").join(current.select("key", "day"), on="key", how="left")
        if days is not None
        else None
    )
    if days is not None and days_of_keys is not None:
        kept = days_of_keys.filter(pl.coalesce("day", "raw_day").is_in(list(days), nulls_equal=True)).select("key")
        versions, valid, current, newest = (
            frame.join(kept, on="key", how="semi", maintain_order="left")
            for frame in (versions, valid, current, newest)
        )
    rejected = newest.filter(pl.col("reason").is_not_null())
    used = pl.concat([current.select("rank"), rejected.select("rank")])
    duplicates = versions.join(used, on="rank", how="anti")
    last_received = versions.group_by("key").agg(_of_last_arrived("rank"))
    rows, shrinks = keep_forgotten_figures(table, valid, current, session_sums or {})
    if table.is_listed:
        seen = versions.group_by("key").agg(
            pl.col("first_fetched_at").min().alias("first_seen_at"),
            _of_last_arrived("fetched_at").alias("last_seen_at"),
        )
        rows = rows.join(seen, on="key", how="left", maintain_order="left")
    if table.ends:
        rows = add_session_facts(rows)
    rows = rows.with_columns(pl.lit(None).alias(name) for name in table.joined_columns)
    return Normalized(
        rows=rows.select(pl.col(name).cast(dtype) for name, dtype in table.polars_schema.items()),
        rejects=_rejects(table, rejected, current),
        shrinks=shrinks,
        received=versions.height,
        duplicates=duplicates.height,
        superseded=_superseded(versions, duplicates) if table.is_listed else pl.DataFrame(),
        has_rejected_time=has_rejected_time,
        is_current_last=last_received.join(current, on="rank", how="anti").is_empty(),
        is_explained=bool(session_sums),
    )


def _superseded(versions: pl.DataFrame, duplicates: pl.DataFrame) -> pl.DataFrame:
    """Return duplicates except the first and the last received: first_seen_at and the last list are read from those."""
    is_last = pl.col("row") == _of_last_arrived("row").over("key")
    between = versions.filter(pl.col("first_fetched_at") > pl.col("first_fetched_at").min().over("key"), ~is_last)
    superseded = duplicates.join(between, on="rank", how="semi").filter(pl.col("livestream_id").is_not_null())
    return superseded.select("livestream_id", "payload")


def _of_last_arrived(name: str) -> pl.Expr:
    """Return a column of the version that was received last within a group."""
    return pl.col(name).sort_by(pl.col("arrival").fill_null(0), "fetched_at", "row").last()


def _known_figures(table: Table, valid: pl.DataFrame, retention_days: int) -> pl.DataFrame:
    """Read an empty entry of a day as zero if the source still kept that day then, and drop it as unknown otherwise.

    The time at which the version was first received decides: a known zero does not become unknown later.
    """
    oldest = pl.col("first_fetched_at").dt.date() - timedelta(days=retention_days)
    blank = pl.col("record:type") == "null"
    return valid.filter(any_above_zero(table.measures) | (pl.col("day") >= oldest)).with_columns(
        pl.when(blank).then(0).otherwise(pl.col(name)).alias(name) for name in table.measures
    )


def _rejects(table: Table, rejected: pl.DataFrame, current: pl.DataFrame) -> pl.DataFrame:
    days_of_keys = current.select("key", pl.col("day").alias("current_day")) if "day" in current.columns else None
    with_day = (
        rejected if days_of_keys is None else rejected.join(days_of_keys, on="key", how="left", maintain_order="left")
    )
    day = pl.coalesce("current_day", "raw_day") if days_of_keys is not None else pl.col("raw_day")
    return with_day.select(
        "app_id",
        pl.lit(table.full_name).alias("table_name"),
        day.alias("day"),
        pl.col(table.key[-1]).cast(pl.String).alias("record_id"),
        "field",
        "reason",
        "payload",
        "fetched_at",
        "run_id",
    ).cast(pl.Schema(QUARANTINE.polars_schema))
