"""How this program was called."""

import os
import shlex
import sys
from pathlib import Path


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
