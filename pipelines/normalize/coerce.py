"""Reads single values: one rule per logical type, the same for every field and endpoint (contract, section 4).

A rule takes the text and the JSON type of a value and returns the value. A value without a result is a form of null, or it is
rejected with a reason. There is no other outcome: no guess, no silent NULL.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache

import polars as pl

from pipelines.catalog.polars_types import time_literal
from pipelines.catalog.types import LogicalType
from pipelines.catalog.values import MAX_ID_LENGTH, MAX_INTEGER, UNIX_MILLISECONDS_FROM

EARLIEST = datetime(2015, 1, 1)  # noqa: DTZ001 - all times here are UTC without a zone

_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_INTEGER = r"^[+-]?[0-9]+$"
_WHOLE = r"^[+-]?[0-9]+(?:\.0*)?$"
_ISO_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_ISO = (
    r"^(?<date>[0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ](?<minute>[0-9]{2}:[0-9]{2})"
    r"(?::(?<second>[0-5][0-9])(?:[.,](?<fraction>[0-9]+))?)?"
    r" ?(?:[Zz]|(?<sign>[+-])(?<hours>[01][0-9]|2[0-3]):?(?<minutes>[0-5][0-9])?)?$"
)
_USUAL_TIMESTAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.[0-9]{1,6})?Z$"
# Seconds end at 59: the parser below would take 10:00:60 for 10:01:00.
_CONTROL = r"[\x00-\x1f\x7f-\x9f]"
_COUNTS_END = 2.0**63


@dataclass(frozen=True)
class Cell:
    """One value as received: its text without surrounding space, its text unchanged, its JSON type."""

    stripped: pl.Expr
    text: pl.Expr
    json_type: pl.Expr

    def is_type(self, *names: str) -> pl.Expr:
        """Return whether the JSON type is one of these."""
        return self.json_type.is_in(names)


def cell(column: str) -> Cell:
    """Read the cell of the columns `column` (text) and `column:type` (JSON type)."""
    text = pl.col(column)
    return Cell(text.str.strip_chars(), text, pl.col(f"{column}:type"))


def is_null(kind: LogicalType, value: Cell) -> pl.Expr:
    """Return whether the value is a form of null for its type. An id and a day cannot be null."""
    if kind in ("id", "day"):
        return pl.lit(value=False)
    if kind == "text":
        return value.is_type("null")
    return value.is_type("null") | (value.is_type("string") & value.stripped.is_in(["", "null"]))


def _number(value: Cell) -> pl.Expr:
    is_number = value.is_type("number", "string") & value.stripped.str.contains(_NUMBER)
    return pl.when(is_number).then(value.stripped).cast(pl.Float64, strict=False)


def _amount(value: Cell, _today: date) -> pl.Expr:
    number = _number(value)
    return pl.when(number.is_finite() & (number >= 0)).then(number.abs())


def _count(value: Cell, _today: date) -> pl.Expr:
    # Integers never pass through a float: above 2**53 it would change them.
    exact = value.is_type("number", "string") & value.stripped.str.contains(_WHOLE)
    digits = value.stripped.str.strip_prefix("+").str.replace(r"\.0*$", "")
    whole = pl.when(exact).then(digits).cast(pl.Int64, strict=False)
    other = pl.when(~exact & _number(value).is_between(0, _COUNTS_END)).then(value.stripped)
    return pl.when(exact & (whole >= 0)).then(whole).otherwise(other.map_elements(_whole_number, pl.Int64))


def _whole_number(text: str) -> int | None:
    """Return the whole number that `1e3` or `4.20e1` writes, to the last digit; None for a fraction."""
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits
        return None
    return int(number) if number == number.to_integral_value() and number <= MAX_INTEGER else None


_TRUE = ["true", "1", "yes", "disabled"]
_FALSE = ["false", "0", "no", "enabled"]


def _flag(value: Cell, _today: date) -> pl.Expr:
    word = value.stripped.str.to_lowercase().str.replace(r"^([01])\.0$", "$1")
    scalar = value.is_type("boolean", "number", "string")
    return pl.when(scalar & word.is_in(_TRUE)).then(True).when(scalar & word.is_in(_FALSE)).then(False)  # noqa: FBT003 - a value


def _any_timestamp(value: Cell) -> pl.Expr:
    # Nearly all are written one way. Only the others are taken apart by groups, which costs ten times as much.
    is_text = value.is_type("string")
    is_usual = value.stripped.str.contains(_USUAL_TIMESTAMP)
    usual = pl.when(is_text & is_usual).then(value.stripped)
    other = pl.when(is_text & ~is_usual).then(value.stripped)
    clock = usual.str.slice(0, 19).str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False, time_unit="us")
    return pl.coalesce(_plus_fraction(clock, usual.str.slice(20).str.strip_suffix("Z")), _iso(other), _unix(value))


def _iso(text: pl.Expr) -> pl.Expr:
    parts = text.str.extract_groups(_ISO)
    written = parts.struct.field("date") + " " + parts.struct.field("minute") + ":"
    clock = (written + parts.struct.field("second").fill_null("00")).str.to_datetime(
        "%Y-%m-%d %H:%M:%S", strict=False, time_unit="us"
    )
    minutes = parts.struct.field("hours").cast(pl.Int64, strict=False).fill_null(0) * 60 + parts.struct.field(
        "minutes"
    ).cast(pl.Int64, strict=False).fill_null(0)
    offset = pl.when(parts.struct.field("sign") == "-").then(-minutes).otherwise(minutes)
    return _plus_fraction(clock, parts.struct.field("fraction").fill_null("")) - pl.duration(minutes=offset)


def _plus_fraction(clock: pl.Expr, digits: pl.Expr) -> pl.Expr:
    microseconds = digits.str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64, strict=False)
    return clock + pl.duration(microseconds=microseconds)


def _unix(value: Cell) -> pl.Expr:
    number = _number(value)
    per_unit = pl.when(number.abs() >= UNIX_MILLISECONDS_FROM).then(1e3).otherwise(1e6)
    return (number * per_unit).round().cast(pl.Int64, strict=False).cast(pl.Datetime("us"))


def _plausible(moment: pl.Expr, today: date) -> pl.Expr:
    end = datetime.combine(today + timedelta(days=2), time())
    return pl.when(moment.is_between(time_literal(EARLIEST), time_literal(end), closed="left")).then(moment)


def _timestamp(value: Cell, today: date) -> pl.Expr:
    return _plausible(_any_timestamp(value), today)


def _day(value: Cell, today: date) -> pl.Expr:
    written = pl.when(value.is_type("string") & value.stripped.str.contains(_ISO_DAY)).then(value.stripped)
    midnight = written.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
    return _plausible(midnight.fill_null(_any_timestamp(value)), today).cast(pl.Date)


def _id(value: Cell, _today: date) -> pl.Expr:
    whole = value.stripped.str.replace(r"\.0$", "")
    of_number = pl.when(value.is_type("number") & whole.str.contains(_INTEGER)).then(whole)
    text = pl.when(value.is_type("string")).then(value.text).otherwise(of_number)
    length = text.str.len_chars()
    return pl.when((length >= 1) & (length <= MAX_ID_LENGTH) & ~text.str.contains(_CONTROL)).then(text)


def _text(value: Cell, _today: date) -> pl.Expr:
    return pl.when(value.is_type("string", "number")).then(value.text)


_RULES: dict[LogicalType, tuple[Callable[[Cell, date], pl.Expr], str]] = {
    "seconds": (_amount, "a number of seconds, 0 or more"),
    "minutes": (_amount, "a number of minutes, 0 or more"),
    "count": (_count, "a whole number, 0 or more"),
    "flag": (_flag, "a yes or no"),
    "timestamp": (_timestamp, "a time from 2015 until tomorrow"),
    "day": (_day, "a day from 2015 until tomorrow"),
    "id": (_id, "an identifier of 1 to 256 characters"),
    "text": (_text, "a text"),
}


@lru_cache(maxsize=512)
def value_of(kind: LogicalType, column: str, today: date) -> pl.Expr:
    """Read the value of a cell by the rule of its kind; null where it says null and where it is not taken.

    `today` bounds timestamps and days: nothing of this API is later than tomorrow.
    """
    value = cell(column)
    return pl.when(~is_null(kind, value)).then(_RULES[kind][0](value, today))


def reason_not_taken(kind: LogicalType, column: str, taken: pl.Expr) -> pl.Expr:
    """Why the value of a cell was not taken, null where it was. `taken` is what `value_of` gave for it."""
    value = cell(column)
    start = value.text.str.slice(0, 80)
    shown = (
        pl.when(value.is_type("null"))
        .then(pl.lit("missing"))
        .when(value.is_type("string"))
        .then(pl.format('"{}"', start))
        .otherwise(start)
    )
    reason = pl.format("not {}: {}", pl.lit(_RULES[kind][1]), shown)
    return pl.when(taken.is_null() & ~is_null(kind, value)).then(reason)
