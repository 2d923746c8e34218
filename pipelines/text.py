"""Escape text for a terminal, JSON and SQL."""

import re

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that move a terminal's cursor, change colours or its title, break lines, or reverse the text direction."""

FORMULA = "(^|[;\t\r\n])([\\s\u00a0\u200b\ufeff]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n])"
"""Pattern of text that a spreadsheet evaluates instead of showing it, for Python and DuckDB.

`report/web/export.js` has it for JavaScript. Also behind a `;`, a tab or a line break: where numbers have a decimal comma, Excel begins a cell there.
"""
MARKED_FORMULA = r"\1'\2"
"""Its replacement."""


def printable(text: str) -> str:
    """Return the text on one line, with control characters escaped: a stream's name may contain terminal escapes."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text.replace("\n", "\\n").replace("\t", " "))


def printable_json(text: str) -> str:
    r"""Return JSON in which the control characters that JSON allows are escaped, as `\u009b`."""
    return _CONTROL.sub(lambda found: rf"\u{ord(found[0]):04x}", text)


def is_utf8(text: str) -> bool:
    """Return whether text can be encoded: Python reads an invalid byte of a path or variable as a lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def quoted(text: str) -> str:
    """Return a string literal as SQL and libpq write it."""
    return "'" + text.replace("'", "''") + "'"
