"""The command with which a user calls this program."""

import os
import shlex
import sys
from pathlib import Path

from pipelines.settings.demo_settings import ExplicitSettings
from pipelines.settings.settings import Settings, has_own_warehouse


def build_program_name(settings: Settings | None = None) -> str:
    """Return `livehouse` as a user must type it: with its path if it is not on PATH, and with the home of a demo."""
    called = Path(sys.argv[0])
    on_path = any(
        (Path(folder) / "livehouse").is_file() for folder in os.environ.get("PATH", "").split(os.pathsep) if folder
    )
    name = "livehouse" if on_path or called.name != "livehouse" else shlex.quote(os.path.relpath(called))
    if not isinstance(settings, ExplicitSettings):
        return name
    variables = {"LIVEHOUSE_HOME": settings.home}
    if has_own_warehouse():  # the environment names a warehouse, which would be queried instead of the demo's
        variables["LIVEHOUSE_WAREHOUSE"] = settings.warehouse
    return " ".join([*(f"{variable}={shlex.quote(str(value))}" for variable, value in variables.items()), name])
