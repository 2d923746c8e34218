"""Identifiers and texts as arguments of a command."""

import re

import click

from pipelines.settings.values import ID_PATTERN

_TEXT = re.compile("[^\x00\ud800-\udfff]*")
"""A byte of the command line that is no UTF-8 arrives as half a character, which no request can carry."""

_NAME = re.compile("[a-zA-Z0-9_-]*")
"""The pattern in the vendor's specification. fullmatch: `$` would let a line break pass."""


def identifier(typed: str) -> str:
    """What the API names things by."""
    if not ID_PATTERN.fullmatch(typed):
        raise click.BadParameter(f"1 to 256 characters, none of them a control character, not {typed[:40]!a}")
    return typed


def text(typed: str) -> str:
    """Any text."""
    if not _TEXT.fullmatch(typed):
        raise click.BadParameter(f"text in UTF-8, not {typed[:40]!a}")
    return typed


def livestream_name(typed: str) -> str:
    """Check a name that a livestream can be given."""
    if not _NAME.fullmatch(typed):
        raise click.BadParameter(f"letters a to z, digits, - and _ only, not {typed[:40]!a}")
    return typed
