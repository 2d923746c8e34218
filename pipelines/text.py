"""Text made safe for where it goes: a terminal, JSON, SQL."""

import re

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What moves the cursor, colours, retitles, breaks lines, or turns the direction of writing."""


def printable(text: str) -> str:
    """The text on one line, with control characters written out: a stream's name may hold terminal escapes."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text.replace("\n", "\\n").replace("\t", " "))


def printable_json(text: str) -> str:
    r"""JSON with the control characters that JSON itself allows written out, as `\u009b`."""
    return _CONTROL.sub(lambda found: rf"\u{ord(found[0]):04x}", text)


def is_utf8(text: str) -> bool:
    """Whether it can be written in UTF-8: a byte of a path or of the environment that is none arrives as half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def quoted(text: str) -> str:
    """Text as SQL and libpq write it."""
    return "'" + text.replace("'", "''") + "'"
