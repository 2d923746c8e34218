"""Distinguishes corrections from losses where figures became smaller, and keeps what the source has lost.

If the figures of a session are all null or zero now, and were not before, the source has lost them: the older figures are
kept. Figures of a session that has not ended are provisional, so after its end they are never kept.

If totals of a day became smaller, and none became larger, the source has lost sessions, unless the known sessions add up to
the smaller totals: then a session was corrected. Totals that are all null or zero are never a correction.
"""

import math
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any, NamedTuple

import polars as pl

from pipelines.catalog.ops import SHRINKS
from pipelines.catalog.types import Table
from pipelines.normalize.derived import IS_OVER

_TOLERANCE = 0.5
_TOLERANCE_SHARE = 1e-6
"""Two amounts are equal if they differ by no more than this many seconds plus this share of the larger one.

`unexplained_seconds` in sql/macros.sql applies the same rule; a test compares the two.
"""

_NO_FIGURES = "the source now gives no figures; the older ones are kept"
_LESS = "the source now gives less than before, and the sessions do not add up to it; the older figures are kept"


class Sums(NamedTuple):
    """Sums of one measure over the sessions of a day: exact, and as the API may round each session."""

    exact: float
    least: float
    """Each session rounded down."""
    most: float
    """Each session rounded up."""


SessionSums = Mapping[tuple[date, str], Sums]
"""Sums over the known sessions, by day and column."""


def keep_forgotten_figures(
    table: Table, valid: pl.DataFrame, current_versions: pl.DataFrame, session_sums: SessionSums
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the current rows with the figures that the source has lost, and rows of ops.shrinks that name them.

    `valid`: the versions without a rejected value, by rank. `current_versions`: the last of each key.
    """
    if not table.measures or current_versions.is_empty():
        return current_versions, pl.DataFrame(schema=SHRINKS.polars_schema)
    given = (
        _larger_versions(table, valid, session_sums)
        if table.is_daily
        else _versions_with_figures(table, valid, current_versions)
    )
    forgotten = (
        current_versions.select("key", "rank")
        .join(given, on="key", how="inner")
        .filter(pl.col("given_rank") < pl.col("rank"))
        .drop("rank")
    )
    rows = current_versions.join(forgotten, on="key", how="left", maintain_order="left").with_columns(
        pl.when(pl.col("given_rank").is_not_null()).then(pl.col(f"given:{name}")).otherwise(pl.col(name)).alias(name)
        for name in table.measures
    )
    shrinks = current_versions.join(forgotten, on="key", how="inner", maintain_order="left").select(
        "app_id",
        pl.lit(table.full_name).alias("table_name"),
        "day",
        pl.col(table.key[-1]).cast(pl.String).alias("record_id"),
        "reason",
        "fetched_at",
        "run_id",
    )
    return rows, shrinks.cast(pl.Schema(SHRINKS.polars_schema))


def _amounts(table: Table) -> list[str]:
    return [
        column.name for column in table.columns if column.is_measure and column.logical_type in ("seconds", "minutes")
    ]


def any_above_zero(columns: Collection[str]) -> pl.Expr:
    """Return whether any of these measures is more than zero."""
    return pl.any_horizontal([pl.col(name).fill_null(0) > 0 for name in columns])


def _given(table: Table, versions: pl.DataFrame, reason: str | pl.Expr) -> pl.DataFrame:
    figures = [pl.col(name).alias(f"given:{name}") for name in table.measures]
    because = pl.lit(reason) if isinstance(reason, str) else reason
    return versions.select("key", pl.col("rank").alias("given_rank"), because.alias("reason"), *figures)


def _versions_with_figures(table: Table, valid: pl.DataFrame, current_versions: pl.DataFrame) -> pl.DataFrame:
    """Return, for sessions that have no figures now, the last version that had some."""
    amounts = _amounts(table)
    without_figures = current_versions.filter(~any_above_zero(amounts))
    with_figures = valid.join(without_figures.select("key"), on="key", how="semi", maintain_order="left")
    if table.ends:
        ended = without_figures.filter(IS_OVER)["key"].to_list()
        with_figures = with_figures.filter(IS_OVER | ~pl.col("key").is_in(ended))
    with_figures = with_figures.filter(any_above_zero(amounts))
    return _given(table, with_figures.group_by("key", maintain_order=True).last(), _NO_FIGURES)


def _larger_versions(table: Table, valid: pl.DataFrame, session_sums: SessionSums) -> pl.DataFrame:
    """Return, for days whose newest version has less than an older one, the older version."""
    changed = valid.filter(pl.len().over("key") > 1)
    kept: dict[int, str] = {}
    for versions in changed.partition_by("key", maintain_order=True):
        ranked = list(versions.select("rank", "day", *table.measures).iter_rows(named=True))
        current, reason = ranked[0], ""
        for version in ranked[1:]:
            if because := _loss(table, current, version, session_sums):
                reason = because
            else:
                current, reason = version, ""
        if reason:
            kept[current["rank"]] = reason
    reasons = pl.DataFrame({"rank": list(kept), "because": list(kept.values())}, schema_overrides={"rank": pl.UInt32})
    found = changed.join(reasons.cast({"rank": changed.schema["rank"]}), on="rank", how="inner", maintain_order="left")
    return _given(table, found, pl.col("because"))


def _loss(table: Table, older: Mapping[str, Any], newer: Mapping[str, Any], session_sums: SessionSums) -> str | None:
    """Return why a newer version of a day does not replace an older one; None if it does."""
    amounts = _amounts(table)
    was = {name: older[name] or 0.0 for name in table.measures}
    now = {name: newer[name] or 0.0 for name in table.measures}
    if not any(now[name] > 0 for name in amounts):
        is_less = any(was[name] > 0 for name in amounts) or not any(now.values())
        return _NO_FIGURES if is_less and any(was.values()) else None
    fell = [name for name in amounts if _is_more(was[name], now[name])]
    rose = [name for name in amounts if _is_more(now[name], was[name])]
    if not fell or rose:
        return None
    sums = {name: session_sums.get((older["day"], name)) for name in fell}
    return None if all(found and is_explained(now[name], found) for name, found in sums.items()) else _LESS


def is_explained(total: float, sums: Sums) -> bool:
    """Return whether sessions add up to a day's total.

    The API may have rounded a whole total, session by session or the sum, up or down; a total with a fraction is exact.
    """
    least, most = (sums.least, sums.most) if total == math.floor(total) else (sums.exact, sums.exact)
    tolerance = _TOLERANCE + _TOLERANCE_SHARE * max(total, sums.exact)
    return least - tolerance <= total <= most + tolerance


def _is_more(amount: float, other: float) -> bool:
    return amount > other + _TOLERANCE + _TOLERANCE_SHARE * amount
