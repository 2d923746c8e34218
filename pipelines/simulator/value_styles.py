"""Formats of a typed value in JSON: numbers or text. The format is stable per record and field."""

# ruff: noqa: PLR2004  (each number is a share of the formats)

import zlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

ValueStyle = Literal["mixed", "numbers", "text"]
"""mixed: numbers, numbers as text (`"531"`, `" 531.0 "`, `"5.31e2"`), three formats of null. All are exact."""


Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class BrokenField:
    """A field of a record that is rendered as an invalid value."""

    field: str
    raw: Json


def render_measure(value: float | None, key: str, style: ValueStyle) -> Json:
    """Return seconds or minutes; `key` (record and field) selects the format."""
    pick = zlib.crc32(key.encode()) % 10
    if value is None:
        return render_null(key, style)
    whole = int(value) if value == int(value) else value
    if style == "numbers" or (style == "mixed" and pick < 6):
        return whole
    if pick < 8:
        return str(whole)
    return f" {float(value)!r} " if pick == 8 else _scientific(value)


def render_count(value: int, key: str, style: ValueStyle) -> Json:
    """Return a whole number: 4, 4.0 or `"4"`."""
    pick = zlib.crc32(key.encode()) % 10
    if style == "text" or (style == "mixed" and pick > 7):
        return str(value)
    return float(value) if style == "mixed" and pick > 5 else value


def render_null(key: str, style: ValueStyle) -> Json:
    """Return null, or in the other styles sometimes `""` or `"null"`."""
    pick = zlib.crc32(f"{key}/null".encode()) % 8
    if style == "numbers" or (style == "mixed" and pick > 1):
        return None
    return "" if pick % 2 else "null"


def render_flag(value: bool, key: str, style: ValueStyle) -> Json:  # noqa: FBT001  (the value itself)
    """Return a JSON boolean, or in the mixed style sometimes a word or number for it."""
    pick = zlib.crc32(key.encode()) % 24
    if style == "numbers" or pick > 4:
        return value
    words: tuple[tuple[Json, Json], ...] = (
        ("true", "false"),
        ("1", "0"),
        (1, 0),
        ("yes", "no"),
        ("Disabled", "Enabled"),
    )
    yes, no = words[pick]
    return yes if value else no


def render_text(value: str | None, key: str, style: ValueStyle) -> Json:
    """Return text unchanged; in the mixed style, a name of digits sometimes becomes a number."""
    if style == "mixed" and value is not None and value.isdecimal() and zlib.crc32(key.encode()) % 2:
        number = int(value)
        return number if str(number) == value else value
    return value


def _scientific(value: float) -> str:
    """Return the shortest exact scientific notation: `1e3` for 1000."""
    digits = Decimal(repr(value)).normalize()
    return f"{digits:e}".replace("e+", "e")
