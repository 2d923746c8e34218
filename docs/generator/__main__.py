"""Build the documentation site: `python -m docs.generator [DIRECTORY]`; every warning is an error."""

import os
import subprocess
import sys
from pathlib import Path

from docs.generator.settings import ROOT
from docs.generator.staging import stage


def main() -> int:
    """Stage the pages and run Sphinx. Return its exit status."""
    site = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "docs" / "site"
    source = site.with_name("source")
    stage(source)
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--nitpicky", "--quiet", "-E"]
    command += ["-c", str(Path(__file__).parent), "-d", str(site.with_name("doctrees")), str(source), str(site)]
    done = subprocess.run(command, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)})  # noqa: S603 - our own arguments
    if done.returncode == 0:
        print(f"documentation: {site / 'index.html'}")  # noqa: T201 - the result
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
