"""Reads the JSON of a body without losing a digit, within bounded memory. What a reply means is read in `replies.py`."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

_LARGEST_INTEGER = 2**63 - 1
_LONGEST_INTEGER = len(str(-_LARGEST_INTEGER))
_DOUBLES_SKIP_FROM = 2.0**53
"""From here on a DOUBLE skips whole numbers."""
_LONGEST_ID = 256
_DEEPEST = 64
"""Levels. Records of this API have three; thousands exhaust the stack of whoever walks through them."""

MAX_VALUES = 250_000
"""Counted before parsing by what separates values: 64 MiB of `{}` became 3.3 GB. A page of 100 records has 3,000."""

_SEPARATORS = (b"{", b"[", b",", b":")

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _number(text: str) -> float | int | str:
    """Read a number without changing it: what a DOUBLE cannot hold becomes an integer, or stays text.

    `9007199254740993.0` as a DOUBLE is one less, and `1e999` is infinite: the rules of value would accept the first.
    """
    number = float(text)
    if abs(number) < _DOUBLES_SKIP_FROM:
        return number
    try:
        exact = Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits
        return text
    is_whole = exact.adjusted() < _LONGEST_ID and exact == exact.to_integral_value()
    return _integer(f"{exact:.0f}") if is_whole else text


def _integer(text: str) -> int | str:
    # Python itself refuses to read a number of thousands of digits.
    return int(text) if len(text) <= _LONGEST_INTEGER and abs(int(text)) <= _LARGEST_INTEGER else text


_DECODER = json.JSONDecoder(parse_constant=str, parse_float=_number, parse_int=_integer)


def parse_json(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Read the JSON value of a body. Python's own parser, since it lets NaN and huge numbers stay text.

    Raises `ValueError` for what is not JSON, or holds more values than any reply of this API.
    """
    if sum(map(body.count, _SEPARATORS)) > MAX_VALUES:
        raise ValueError("more values than any reply has")
    try:
        text = body.decode("utf-8-sig")
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check_depth(value)
    return _without_lone_surrogates(value) if "\\ud" in text.lower() else value


def _check_depth(value: Any) -> None:  # noqa: ANN401 - any JSON value
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError("nested too deeply")


def _without_lone_surrogates(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    r"""JSON may escape half a character (`\ud83d`); no file can hold it."""
    if isinstance(value, dict):
        return {_without_lone_surrogates(name): _without_lone_surrogates(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_lone_surrogates(inner) for inner in value]
    return _LONE_SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value
