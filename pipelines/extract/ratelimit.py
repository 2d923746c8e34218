"""Parses the headers that limit requests: `Ratelimit` in its variants, and `Retry-After`.

Some services send spans in seconds, others Unix times; the size of the number tells which. A malformed header counts as
absent and never raises.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from pipelines.catalog.values import UNIX_MILLISECONDS_FROM

_NUMBER = r"[\"']?(\d{1,15}(?:\.\d{1,9})?)(?![\d.])"
_REMAINING = re.compile(rf"\b(?:r|remaining)\s{{0,5}}=\s{{0,5}}{_NUMBER}", re.IGNORECASE)
_RESET = re.compile(rf"\b(?:t|reset)\s{{0,5}}=\s{{0,5}}{_NUMBER}", re.IGNORECASE)
_WINDOW = re.compile(rf"\b(?:w|window)\s{{0,5}}=\s{{0,5}}{_NUMBER}", re.IGNORECASE)
_RESET_AT = re.compile(r"\breset\s{0,5}=\s{0,5}([\"'][^\"']{8,64}[\"']|\w{3},? [^,;=]{8,64})", re.IGNORECASE)
_COMMA_OF_DATE = re.compile(r"\b(mon|tue|wed|thu|fri|sat|sun)\w{0,6},", re.IGNORECASE)
_NUMBER_ONLY = re.compile(rf"\s*{_NUMBER}\s*")
_PREFIXES = ("ratelimit", "x-ratelimit", "x-rate-limit", "rate-limit")
_MAX_HEADER_LENGTH = 4096

MAX_WINDOW_SECONDS = 300.0
"""The vendor's windows last five minutes. A header that says a year must not stop us for one."""

_MAX_RETRY_AFTER_SECONDS = 86_400.0
"""A longer `Retry-After` is a mistake, and is ignored."""

_UNIX_TIME_FROM = 1e9
"""As Unix time the year 2001: no span is that long, and no valid time is before it."""


def parse_ratelimit(headers: Mapping[str, str], now: float) -> tuple[int, float] | None:
    """Return the number of requests left and the seconds until the window ends; None if the headers do not say.

    Of several limits the one with the fewest requests left counts. `now` is Unix time; the reply's `Date` takes precedence.
    """
    names = ",".join(headers).lower()
    if "ratelimit" not in names and "rate-limit" not in names:
        return None
    limits = _parse_limits(headers, parse_date(headers.get("date")) or now)
    if not limits:
        return None
    remaining, seconds = min(limits, key=lambda limit: (limit[0], -limit[1]))
    return remaining, min(seconds, _longest_window(headers))


def _parse_limits(headers: Mapping[str, str], now: float) -> list[tuple[int, float]]:
    for prefix in _PREFIXES:
        combined = _COMMA_OF_DATE.sub(r"\1", headers.get(prefix, "")[:_MAX_HEADER_LENGTH])
        parts = re.split(r",(?=[^,=;]*;)", combined)  # `"a";r=1;t=2, "b";r=…`, and `limit=1, remaining=…` whole
        pairs = [(_REMAINING.search(part), _RESET.search(part) or _RESET_AT.search(part)) for part in parts]
        found = [(remaining[1], reset[1]) for remaining, reset in pairs if remaining and reset]
        number = _NUMBER_ONLY.fullmatch(headers.get(f"{prefix}-remaining", "")[:_MAX_HEADER_LENGTH])
        if not found and number:
            found = [(number[1], headers.get(f"{prefix}-reset", "")[:_MAX_HEADER_LENGTH])]
        limits = [(int(float(remaining)), _parse_reset(reset, now)) for remaining, reset in found]
        known = [(remaining, seconds) for remaining, seconds in limits if seconds is not None]
        if known:
            return known
    return []


def _parse_reset(text: str, now: float) -> float | None:
    """Return the seconds until a window ends, from a span, Unix time, HTTP date or ISO 8601 time; None if malformed."""
    if number := _NUMBER_ONLY.fullmatch(text):
        return _seconds_until(float(number[1]), now)
    text = text.strip(" \t\"'")
    moment = parse_date(text)
    if moment is None:
        try:
            read = datetime.fromisoformat(text)
        except ValueError:
            return None
        moment = read.replace(tzinfo=read.tzinfo or UTC).timestamp()
    return max(moment - now, 0.0)


def _longest_window(headers: Mapping[str, str]) -> float:
    """Return the seconds of the longest window in `Ratelimit-Policy`."""
    policies = (headers.get(f"{prefix}-policy", "")[:_MAX_HEADER_LENGTH] for prefix in _PREFIXES)
    windows = [float(window) for policy in policies for window in _WINDOW.findall(policy)]
    return min(max(windows, default=MAX_WINDOW_SECONDS), MAX_WINDOW_SECONDS) or MAX_WINDOW_SECONDS


def _seconds_until(number: float, now: float) -> float:
    if number < _UNIX_TIME_FROM:
        return number
    return max((number / 1000 if number >= UNIX_MILLISECONDS_FROM else number) - now, 0.0)


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds to wait by `Retry-After`, a span or a time; None if absent or implausible."""
    retry_after = headers.get("retry-after", "").strip()[:100]
    now = parse_date(headers.get("date")) or now
    try:
        seconds = _seconds_until(float(retry_after), now)
    except ValueError:
        moment = parse_date(retry_after)
        seconds = -1.0 if moment is None else max(moment - now, 0.0)
        return seconds if 0 <= seconds <= _MAX_RETRY_AFTER_SECONDS else None
    return max(seconds, 0.0) if seconds <= _MAX_RETRY_AFTER_SECONDS else None


def parse_date(text: str | None) -> float | None:
    """Return the Unix time of an HTTP date; None if malformed."""
    return _parse_date((text or "")[:100])


@lru_cache(maxsize=16)  # all replies of one second have the same date
def _parse_date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
