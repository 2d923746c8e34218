"""Figures of a session that the API makes up in its first minute.

`ingest_seconds` and `viewer_seconds` "are returned after 40-50 seconds; until then, they default to 60" (the product's guide):
a session live for 1.7 s says 60 and 60. Taken as they are, they show one viewer, then none, then too many, and hide what
is watched until the real figures pass 60.
"""

import polars as pl

FIGURES = ("ingest_seconds", "viewer_seconds")
_UNKNOWN_FOR = pl.duration(seconds=60)
_DEFAULT = 60.0
_DEFAULT_FOR = pl.duration(seconds=70)
"""How long the default is still taken for one: the real figures come after 40 to 50 seconds, plus the clocks' difference."""


def is_placeholder(*, is_over: pl.Expr) -> pl.Expr:
    """Tell observations whose figures are placeholders, by observed_at, started_at, ingest_seconds and viewer_seconds.

    The last figures of a session that is over are real, unless they are the default. Without the session's start only
    the default can be told: by marts.live_audience, which knows what came after.
    """
    age = pl.col("observed_at") - pl.col("started_at")
    is_default = pl.all_horizontal([pl.col(name) == _DEFAULT for name in FIGURES])
    return (((age < _UNKNOWN_FOR) & ~is_over) | (is_default & (age < _DEFAULT_FOR))).fill_null(value=False)


def without_placeholders(observations: pl.DataFrame, *, is_over: pl.Expr) -> pl.DataFrame:
    """Make the figures NULL where they are placeholders: not known yet."""
    is_unknown = is_placeholder(is_over=is_over)
    return observations.with_columns(pl.when(~is_unknown).then(pl.col(name)).alias(name) for name in FIGURES)
