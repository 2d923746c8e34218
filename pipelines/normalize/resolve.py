"""Raw records of one table and app → the frame `tables.py` promises, and the rejects.

raw keeps every distinct version of a record. What stands of a key is decided here, from its versions alone,
so that the same raw records always give the same rows: the later `updated_at` wins, then the later landed (the later
landed alone, where one of them does not tell when it changed);
a version no rule takes is set aside and the one before it stands; figures that the source has forgotten stand as they
were (see `shrinks.py`).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from pipelines.catalog.core import LIVESTREAMS
from pipelines.catalog.ops import QUARANTINE
from pipelines.catalog.types import Table
from pipelines.normalize.coerce import cell, reason_not_taken, value_of
from pipelines.normalize.derived import add_session_facts
from pipelines.normalize.fields import split_fields
from pipelines.normalize.shrinks import SessionSums, keep_forgotten_figures

_CONTEXT = ("payload", "first_fetched_at", "fetched_at", "run_id", "arrival")


@dataclass(frozen=True)
class Normalized:
    """Rows, rejects (`ops.quarantine`) and shrinks (`ops.shrinks`) of one table and app."""

    rows: pl.DataFrame
    rejects: pl.DataFrame
    shrinks: pl.DataFrame
    received: int
    """Versions looked at. Each one is landed, rejected or a duplicate."""
    duplicates: int
    """Versions that another one of the same record supersedes, or that say nothing."""
    superseded: pl.DataFrame
    """Of livestreams: versions that tell nothing more, `livestream_id` and `payload`. Of other tables none."""


def read_versions(table: Table, raw: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Every version with its values by the rules: the table's columns, `key`, `rank`, `field` and `reason`.

    `field` and `reason` tell the first field that was not taken, null in a version that is whole.
    `rank` orders the versions of a key, the one that stands last.
    """
    sourced = [column for column in table.columns if column.source_field]
    parsed = split_fields(raw["payload"], [str(column.source_field) for column in sourced])
    for name in table.request_columns:
        parsed = _fill_from_request(parsed, name, raw[name])
    values = parsed.with_columns(
        value_of(column.logical_type, cell(str(column.source_field)), now).alias(f"{column.source_field}:value")
        for column in sourced
    ).select(
        "record:type",
        *[pl.col(f"{column.source_field}:value").alias(column.name) for column in sourced],
        *[
            reason_not_taken(
                column.logical_type, cell(str(column.source_field)), pl.col(f"{column.source_field}:value")
            ).alias(f"{column.source_field}:reason")
            for column in sourced
        ],
    )
    raw_day = raw["day"] if "day" in raw.columns else pl.Series([None] * raw.height, dtype=pl.Date)
    versions = pl.concat(
        [raw.select("app_id", *_CONTEXT), values, raw_day.alias("raw_day").to_frame()], how="horizontal"
    ).with_row_index("row")
    if table.is_daily:
        versions = versions.with_columns(pl.col("raw_day").alias("day"))
    elif table.day_sources:
        versions = versions.with_columns(pl.coalesce(table.day_sources).dt.date().alias("day"))
    versions = _with_first_fault(table, versions)
    updated = pl.col("updated_at") if "updated_at" in table.column_names else pl.lit(None, dtype=pl.Datetime("us"))
    # A record without a key is told apart by its text, which must not be taken for the key of another one.
    key = pl.coalesce("=" + pl.col(table.key[-1]).cast(pl.String), "payload")
    keyed = versions.with_columns(key.alias("key"), updated.alias("at"))
    # Versions of which one does not tell when it changed can only be told apart by when they came.
    all_tell = pl.col("at").is_not_null().all().over("key")
    at = pl.when(all_tell).then("at")
    # Clocks decide only between versions that were landed before landings were numbered.
    rank = pl.struct(at.alias("at"), pl.col("arrival").fill_null(0), "fetched_at", "row").rank("ordinal")
    return keyed.with_columns(rank.alias("rank")).drop("at").sort("rank")


def listed_livestreams(raw: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Read what is known of each livestream, whole or not: livestream_id, created_at, updated_at, status.

    A livestream whose record is set aside for its name still has sessions that must be asked for.
    """
    newest = read_versions(LIVESTREAMS, raw, now).group_by("key", maintain_order=True).last()
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


def _with_first_fault(table: Table, versions: pl.DataFrame) -> pl.DataFrame:
    faults: list[tuple[str, pl.Expr]] = []
    if table.is_daily:
        # A day entry may be `null`: asked for, and nothing there.
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
    field = pl.coalesce([pl.when(reason.is_not_null()).then(pl.lit(name)) for name, reason in faults])
    return versions.with_columns(field.alias("field"), pl.coalesce([reason for _, reason in faults]).alias("reason"))


def normalize(
    table: Table,
    raw: pl.DataFrame,
    *,
    now: datetime,
    retention_days: int,
    days: Collection[date | None] | None = None,
    session_sums: SessionSums | None = None,
) -> Normalized:
    """Decide what stands of the raw versions given.

    `days` restricts the outcome to keys whose day it names (None among them: keys without a day); the
    versions of such a key must all be in `raw`, also those that name another day. `at_hand` are the sums of the sessions
    of each day, by which smaller totals of a day may be explained.
    """
    versions = read_versions(table, raw, now)
    whole = versions.filter(pl.col("reason").is_null())
    if table.is_daily:
        whole = _known_figures(table, whole, retention_days)
    standing = whole.group_by("key", maintain_order=True).last()
    newest = versions.group_by("key", maintain_order=True).last()
    home = (
        newest.select("key", "raw_day").join(standing.select("key", "day"), on="key", how="left")
        if days is not None
        else None
    )
    if days is not None and home is not None:
        kept = home.filter(pl.coalesce("day", "raw_day").is_in(list(days), nulls_equal=True)).select("key")
        versions, whole, standing, newest = (
            frame.join(kept, on="key", how="semi", maintain_order="left")
            for frame in (versions, whole, standing, newest)
        )
    rejected = newest.filter(pl.col("reason").is_not_null())
    used = pl.concat([standing.select("rank"), rejected.select("rank")])
    duplicates = versions.join(used, on="rank", how="anti")
    rows, shrinks = keep_forgotten_figures(table, whole, standing, session_sums or {})
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
        rejects=_rejects(table, rejected, standing),
        shrinks=shrinks,
        received=versions.height,
        duplicates=duplicates.height,
        superseded=_superseded(versions, duplicates) if table.is_listed else pl.DataFrame(),
    )


def _superseded(versions: pl.DataFrame, duplicates: pl.DataFrame) -> pl.DataFrame:
    """But for the first and the last received: they tell when the livestream was first seen, and how it was last listed."""
    is_last = pl.col("row") == _of_last_arrived("row").over("key")
    between = versions.filter(pl.col("first_fetched_at") > pl.col("first_fetched_at").min().over("key"), ~is_last)
    superseded = duplicates.join(between, on="rank", how="semi").filter(pl.col("livestream_id").is_not_null())
    return superseded.select("livestream_id", "payload")


def _of_last_arrived(name: str) -> pl.Expr:
    """Take a column from the version that was received last, within a group."""
    return pl.col(name).sort_by(pl.col("arrival").fill_null(0), "fetched_at", "row").last()


def _any_above_zero(columns: Collection[str]) -> pl.Expr:
    return pl.any_horizontal([pl.col(name).fill_null(0) > 0 for name in columns])


def _known_figures(table: Table, whole: pl.DataFrame, retention_days: int) -> pl.DataFrame:
    """Nothing said about a day is a zero while the source remembers that day, and unknown after that.

    It counts when this very answer was first received: what was known to be zero does not become unknown.
    """
    oldest = pl.col("first_fetched_at").dt.date() - timedelta(days=retention_days)
    blank = pl.col("record:type") == "null"
    return whole.filter(_any_above_zero(table.measures) | (pl.col("day") >= oldest)).with_columns(
        pl.when(blank).then(0).otherwise(pl.col(name)).alias(name) for name in table.measures
    )


def _rejects(table: Table, rejected: pl.DataFrame, standing: pl.DataFrame) -> pl.DataFrame:
    home = standing.select("key", pl.col("day").alias("standing_day")) if "day" in standing.columns else None
    with_day = rejected if home is None else rejected.join(home, on="key", how="left", maintain_order="left")
    day = pl.coalesce("standing_day", "raw_day") if home is not None else pl.col("raw_day")
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
