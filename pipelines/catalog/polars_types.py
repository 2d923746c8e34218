"""The type that each logical type has in polars: apart, because readers of the warehouse do not need polars."""

from datetime import datetime
from functools import lru_cache
from typing import get_args

import polars as pl

from pipelines.catalog.types import LogicalType

POLARS_TYPES: dict[LogicalType, pl.DataType] = {
    "seconds": pl.Float64(),
    "minutes": pl.Float64(),
    "count": pl.Int64(),
    "flag": pl.Boolean(),
    "timestamp": pl.Datetime("us"),
    "day": pl.Date(),
    "id": pl.String(),
    "text": pl.String(),
    "number": pl.Float64(),
}


@lru_cache(maxsize=256)
def time_literal(value: datetime) -> pl.Expr:
    """Return a time as a literal, once: polars evaluates a query for each."""
    return pl.lit(value)


assert set(POLARS_TYPES) == set(get_args(LogicalType))  # noqa: S101 - a fact about this file
