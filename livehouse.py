"""The command `livehouse`: finds its own packages, whatever else is named `pipelines` on PYTHONPATH."""

import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    """Run the command line."""
    here = Path(__file__).resolve().parent
    found = find_spec("pipelines")
    if found is None or here / "pipelines" not in [Path(place) for place in found.submodule_search_locations or ()]:
        sys.path.insert(0, str(here))
    from pipelines.cli import main as run

    run()
