"""Text from outside, made safe for a terminal; and how this program was called."""

import os
import re
import shlex
import sys
from pathlib import Path

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text with control characters written out: a stream's name may hold terminal escapes."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\n", "\\n").replace("\t", " "))


def printable_json(text: str) -> str:
    r"""JSON with the control characters that JSON itself allows written out, as `\u009b`."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def command_name(warehouse: str | None = None) -> str:
    """`livehouse` as the reader must type it: with its path when it is not on PATH, and with the home it used."""
    called = Path(sys.argv[0])
    on_path = any(
        (Path(folder) / "livehouse").is_file() for folder in os.environ.get("PATH", "").split(os.pathsep) if folder
    )
    name = "livehouse" if on_path or called.name != "livehouse" else shlex.quote(os.path.relpath(called))
    return (
        name
        if warehouse is None or Path(warehouse).parent.name != "demo"
        else f"LIVEHOUSE_HOME={shlex.quote(str(Path(warehouse).parent))} {name}"
    )
