"""How this program was called."""

import os
import shlex
import sys
from pathlib import Path

from pipelines.settings.settings import ExplicitSettings, Settings, has_own_warehouse


def command_name(settings: Settings | None = None) -> str:
    """`livehouse` as the reader must type it: with its path when it is not on PATH, and with the home of a demo."""
    called = Path(sys.argv[0])
    on_path = any(
        (Path(folder) / "livehouse").is_file() for folder in os.environ.get("PATH", "").split(os.pathsep) if folder
    )
    name = "livehouse" if on_path or called.name != "livehouse" else shlex.quote(os.path.relpath(called))
    if not isinstance(settings, ExplicitSettings):
        return name
    given = {"LIVEHOUSE_HOME": settings.home}
    if has_own_warehouse():  # of the environment: the demo's must be named, or that one would be queried
        given["LIVEHOUSE_WAREHOUSE"] = settings.warehouse
    return " ".join([*(f"{variable}={shlex.quote(str(value))}" for variable, value in given.items()), name])
