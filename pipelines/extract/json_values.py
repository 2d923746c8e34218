"""Parses the JSON of a reply without losing a digit, within bounded memory. `responses.py` decides what a reply means."""

import json
import re
from decimal import Decimal, InvalidOperation

from pipelines.catalog.values import MAX_ID_LENGTH, MAX_INTEGER, Json

_MAX_INTEGER_LENGTH = len(str(-MAX_INTEGER))
_EXACT_BELOW = 2.0**53
"""From here on a DOUBLE cannot hold every whole number."""
_MAX_DEPTH = 64
"""Records of this API have three levels; thousands exhaust the stack of code that walks through them."""

MAX_VALUES = 250_000
"""Counted by separators before parsing: 64 MiB of `{}` took 3.3 GB. A page of 100 records has 3,000 values."""

_SEPARATORS = (b"{", b"[", b",", b":")

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def _parse_float(text: str) -> float | int | str:
    """Return a number unchanged: one that a DOUBLE cannot hold becomes an integer, or stays text.

    As a DOUBLE `9007199254740993.0` is one less and `1e999` is infinite; the rules of value would accept the first.
    """
    number = float(text)
    if abs(number) < _EXACT_BELOW:
        return number
    try:
        exact = Decimal(text)
    except InvalidOperation:  # an exponent of twenty digits
        return text
    is_whole = exact.adjusted() < MAX_ID_LENGTH and exact == exact.to_integral_value()
    return _parse_integer(f"{exact:.0f}") if is_whole else text


def _parse_integer(text: str) -> int | str:
    # Python refuses to convert numbers of thousands of digits.
    return int(text) if len(text) <= _MAX_INTEGER_LENGTH and abs(int(text)) <= MAX_INTEGER else text


_DECODER = json.JSONDecoder(parse_constant=str, parse_float=_parse_float, parse_int=_parse_integer)


def parse_json(body: bytes) -> Json:
    """Return the JSON value of a body, with NaN and huge numbers as text, which is why this is Python's own parser.

    Raises `ValueError` if the body is not JSON, or has more values or levels than any reply of this API.
    """
    if sum(map(body.count, _SEPARATORS)) > MAX_VALUES:
        raise ValueError("more values than a reply may have")
    try:
        text = body.decode("utf-8-sig")
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    _check_depth(value)
    return _without_lone_surrogates(value) if "\\ud" in text.lower() else value


def _check_depth(value: Json) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError("nested too deeply")


def _without_lone_surrogates(value: Json) -> Json:
    r"""Replace lone surrogates, which JSON can escape (`\ud83d`) and no file can hold."""
    if isinstance(value, dict):
        return {_without_lone_surrogates(name): _without_lone_surrogates(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_lone_surrogates(inner) for inner in value]
    return _LONE_SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value
