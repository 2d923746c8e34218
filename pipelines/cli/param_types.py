"""Parsers of command arguments, for click's `type=`: a message about a malformed one names the argument."""

import re
from contextlib import suppress
from datetime import date, datetime

import click

from pipelines.settings.values import ID_PATTERN

_TEXT = re.compile("[^\x00\ud800-\udfff]*")
"""Python reads a byte of the command line that is not UTF-8 as a lone surrogate, which no request can carry."""

_NAME = re.compile("[a-zA-Z0-9_-]*")
"""The pattern in the vendor's specification. fullmatch: `$` would accept a line break."""


def day(text: str) -> date:
    """Parse a day written as YYYY-MM-DD."""
    try:
        # not fromisoformat, which also accepts 20261122 and 2026-W47-7
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no time zone
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a day: write it YYYY-MM-DD, as 2026-11-22") from None


def month(text: str) -> date:
    """Parse a month written as YYYY-MM. Returns its first day."""
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}", text):
        with suppress(ValueError):
            return date.fromisoformat(f"{text}-01")
    raise click.BadParameter(f"{text!r} is not a month: write it YYYY-MM, as 2026-10")


def identifier(typed: str) -> str:
    """Validate an identifier of the API."""
    if not ID_PATTERN.fullmatch(typed):
        raise click.BadParameter(f"1 to 256 characters, none of them a control character, not {typed[:40]!a}")
    return typed


def text(typed: str) -> str:
    """Validate text in UTF-8."""
    if not _TEXT.fullmatch(typed):
        raise click.BadParameter(f"text in UTF-8, not {typed[:40]!a}")
    return typed


def livestream_name(typed: str) -> str:
    """Validate the name of a new livestream."""
    if not _NAME.fullmatch(typed):
        raise click.BadParameter(f"letters a to z, digits, - and _ only, not {typed[:40]!a}")
    return typed
