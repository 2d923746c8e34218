"""Reads one HTTP reply: a JSON object that says it succeeded, or the error that it is.

The API answers errors in three shapes, and as HTML; a 200 can be any of them too. Nothing about
operations belongs here.
"""

import json
import re
from datetime import UTC
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from math import isfinite
from typing import Any

from pipelines.errors import ApiRefusedError, LivehouseError, NotFoundError, TransientApiError
from pipelines.extract.secrets import without_stream_keys

_LONGEST_MESSAGE = 300
_LARGEST_INTEGER = 2**63 - 1
_LONGEST_INTEGER = len(str(-_LARGEST_INTEGER))
_DOUBLES_SKIP_FROM = 2.0**53
"""From here on a DOUBLE skips whole numbers."""
_LONGEST_ID = 256
_DEEPEST = 64
"""Levels. Records of this API have three; thousands exhaust the stack of whoever walks through them."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_TITLE = re.compile(r"<title[^>]*>([^<]*)</title>", re.IGNORECASE)
_RETRIED = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


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


def parse(body: bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Read the JSON value of a body. Python's own parser, since it lets NaN and huge numbers stay text.

    Raises `ValueError` for what is not JSON.
    """
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


def api_message(body: bytes) -> str:
    """Read what an error's body says, in one short line without stream keys."""
    try:
        value = without_stream_keys(parse(body))  # before anything is cut: half a key would not be found
    except ValueError:
        return _message_of_text(body[:4000].decode("utf-8", "replace"))
    if isinstance(value, dict):
        errors = value.get("errors") or value.get("error") or value.get("message") or value.get("messages")
        first = errors[0] if isinstance(errors, list) and errors else errors
        if isinstance(first, dict):
            first = first.get("message") or first.get("code")
        if first:
            return _one_line(str(first))
    return "no message"


def _message_of_text(text: str) -> str:
    title = _TITLE.search(text)
    if title or "<html" in text.lower():
        return _one_line(title[1]) if title else "an HTML page"
    # A list of livestreams that was cut short begins with the first one's stream key.
    return "JSON cut short or broken" if set(text) & set('{["') else _one_line(text[:100])


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()[:_LONGEST_MESSAGE] or "no message"


def read_reply(what: str, status: int, body: bytes) -> dict[str, Any]:
    """Return the JSON object of a successful reply; otherwise raise the error that the reply is."""
    if HTTPStatus(200) <= status < HTTPStatus(300):
        try:
            value = parse(body)
        except ValueError:
            raise TransientApiError(f"{what}: {status}, but not JSON: {api_message(body)}", status=status) from None
        if isinstance(value, dict) and value.get("success", True) in (True, "true", 1):
            return value
        raise TransientApiError(f"{what}: {status}, but not a success: {api_message(body)}", status=status)
    raise _error(what, status, body)


def _error(what: str, status: int, body: bytes) -> LivehouseError:
    said = f"{what}: {status}: {api_message(body)}"
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(said, status=status)
    if status == HTTPStatus.UNAUTHORIZED:
        return ApiRefusedError(f"{said} (check CLOUDFLARE_API_TOKEN)", status=status)
    if status == HTTPStatus.FORBIDDEN:
        return ApiRefusedError(f"{said} (the token needs the Realtime permission for this account)", status=status)
    if HTTPStatus(400) <= status < HTTPStatus(500) and status not in _RETRIED:
        return ApiRefusedError(said, status=status)
    return TransientApiError(said, status=status)


def seconds_told(retry_after: str | None, now: float) -> float | None:
    """How long a `Retry-After` header says to wait: seconds, or an HTTP date compared with `now` (Unix)."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            moment = parsedate_to_datetime(retry_after)
            seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if isfinite(seconds) else None
