"""Reads what a reply's headers say about waiting: `Ratelimit` in its variants, and `Retry-After`.

Numbers are spans in seconds in one service and moments in Unix time in the next; both are taken for what they are. Whatever
else a header holds says nothing, and never raises.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_NUMBER = r"[\"']?(\d{1,15}(?:\.\d{1,9})?)(?![\d.])"
_REMAINING = re.compile(rf"\b(?:r|remaining)\s{{0,5}}=\s{{0,5}}{_NUMBER}", re.IGNORECASE)
_RESET = re.compile(rf"\b(?:t|reset)\s{{0,5}}=\s{{0,5}}{_NUMBER}", re.IGNORECASE)
_WINDOW = re.compile(rf"\b(?:w|window)\s{{0,5}}=\s{{0,5}}{_NUMBER}", re.IGNORECASE)
_RESET_AT = re.compile(r"\breset\s{0,5}=\s{0,5}([\"'][^\"']{8,64}[\"']|\w{3},? [^,;=]{8,64})", re.IGNORECASE)
_COMMA_OF_DATE = re.compile(r"\b(mon|tue|wed|thu|fri|sat|sun)\w{0,6},", re.IGNORECASE)
_ALONE = re.compile(rf"\s*{_NUMBER}\s*")
_PREFIXES = ("ratelimit", "x-ratelimit", "x-rate-limit", "rate-limit")
_LONGEST_HEADER = 4096

MAX_WINDOW_SECONDS = 300.0
"""Seconds. The vendor's windows last five minutes; a header that says a year must not stop us for one."""

_LONGEST_SENSIBLE = 86_400.0
"""Seconds. `Retry-After` of more than a day is a mistake, as text would be."""

_MOMENT_FROM = 1e9
"""As seconds the year 2001: no span is that long, no moment before it."""
_MILLISECONDS_FROM = 1e11


def parse_ratelimit(headers: Mapping[str, str], now: float) -> tuple[int, float] | None:
    """Return how many requests are left, and for how many seconds; None where the headers do not say.

    Of several limits the one that leaves least counts. `now` is Unix time; the reply's own `Date` comes before it.
    """
    now = parse_date(headers.get("date")) or now
    limits = _limits_named_by(headers, now)
    if not limits:
        return None
    remaining, seconds = min(limits, key=lambda limit: (limit[0], -limit[1]))
    return remaining, min(seconds, _window(headers))


def _limits_named_by(headers: Mapping[str, str], now: float) -> list[tuple[int, float]]:
    for prefix in _PREFIXES:
        combined = _COMMA_OF_DATE.sub(r"\1", headers.get(prefix, "")[:_LONGEST_HEADER])
        parts = re.split(r",(?=[^,=;]*;)", combined)  # `"a";r=1;t=2, "b";r=…`, and `limit=1, remaining=…` whole
        pairs = [(_REMAINING.search(part), _RESET.search(part) or _RESET_AT.search(part)) for part in parts]
        found = [(remaining[1], reset[1]) for remaining, reset in pairs if remaining and reset]
        alone = _ALONE.fullmatch(headers.get(f"{prefix}-remaining", "")[:_LONGEST_HEADER])
        if not found and alone:
            found = [(alone[1], headers.get(f"{prefix}-reset", "")[:_LONGEST_HEADER])]
        limits = [(int(float(remaining)), _seconds_of_reset(reset, now)) for remaining, reset in found]
        known = [(remaining, seconds) for remaining, seconds in limits if seconds is not None]
        if known:
            return known
    return []


def _seconds_of_reset(text: str, now: float) -> float | None:
    """Read when a window ends: a span, Unix time, or a date of HTTP or ISO 8601; None where it is none of them."""
    if number := _ALONE.fullmatch(text):
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


def _window(headers: Mapping[str, str]) -> float:
    """How long the longest window lasts by `Ratelimit-Policy`."""
    policies = (headers.get(f"{prefix}-policy", "")[:_LONGEST_HEADER] for prefix in _PREFIXES)
    windows = [float(window) for policy in policies for window in _WINDOW.findall(policy)]
    return min(max(windows, default=MAX_WINDOW_SECONDS), MAX_WINDOW_SECONDS) or MAX_WINDOW_SECONDS


def _seconds_until(number: float, now: float) -> float:
    if number < _MOMENT_FROM:
        return number
    return max((number / 1000 if number >= _MILLISECONDS_FROM else number) - now, 0.0)


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return how many seconds `Retry-After` says to wait, a span or until a moment; None where it says nothing sensible."""
    retry_after = headers.get("retry-after", "").strip()[:100]
    now = parse_date(headers.get("date")) or now
    try:
        seconds = _seconds_until(float(retry_after), now)
    except ValueError:
        moment = parse_date(retry_after)
        seconds = -1.0 if moment is None else max(moment - now, 0.0)
        return seconds if 0 <= seconds <= _LONGEST_SENSIBLE else None
    return max(seconds, 0.0) if seconds <= _LONGEST_SENSIBLE else None


def parse_date(text: str | None) -> float | None:
    """Unix time of an HTTP date; None where it is none."""
    try:
        moment = parsedate_to_datetime((text or "")[:100])
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
