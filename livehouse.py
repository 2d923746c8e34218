"""The command `livehouse`: finds its own packages, whatever else is named `pipelines`, and says where it cannot run."""

import atexit
import os
import sys
from contextlib import suppress
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn


def main() -> None:
    """Run the command line."""
    if sys.platform == "win32":
        _refuse("Windows is not supported, since files in use cannot be replaced there: run it in WSL")
    here = Path(__file__).resolve().parent
    found = find_spec("pipelines")
    if found is None or here / "pipelines" not in [Path(place) for place in found.submodule_search_locations or ()]:
        sys.path.insert(0, str(here))
    try:
        import pipelines

        is_ours = getattr(pipelines, "DISTRIBUTION", "") == "livehouse"
        if is_ours:
            from pipelines.cli import main as run
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("pipelines"):
            raise
        is_ours = False
    if not is_ours:
        others = sorted(set(packages_distributions().get("pipelines", [])) - {"livehouse"})
        named = f" ({', '.join(others)})" if others else ""
        _refuse(
            f"another package here{named} overwrote files of `pipelines`: install livehouse into an environment of its own"
        )
    statuses: list[int] = []
    atexit.register(_end_process, statuses)  # before any library's, so that it runs after all of them
    try:
        run()
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            statuses.append(ended.code or 0)
        raise


def _refuse(reason: str) -> NoReturn:
    sys.stderr.write(f"livehouse: {reason}\n")
    sys.exit(2)


def _end_process(statuses: list[int]) -> None:
    """End the process once everything else has ended: taking down all modules takes a tenth of the time of their import."""
    if statuses:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(statuses[-1])
