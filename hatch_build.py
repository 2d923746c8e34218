"""Generate package data: the report's charts, an empty history of Dagster, and the parsed SQL of marts.

They depend on the package and its dependencies only.
hatchling runs this file when it builds a wheel or a source distribution, `make` in a checkout. Without the packages that livehouse needs,
as in an isolated build, nothing is generated; then the first run in each home does that work (pipelines/report/chart_bundle.py,
pipelines/orchestration/packaged_history.py, pipelines/marts/parsed_sql.py).
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_GENERATE = "from hatch_build import generate_package_data as generate; generate()"


class PackageDataHook(BuildHookInterface[BuilderConfig]):
    """Generates package data before files are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Generate package data in a separate process: the builder may run in any directory."""
        if Path(self.root, "PKG-INFO").exists():
            return  # a source distribution, which contains it
        ran = subprocess.run(  # noqa: S603 - runs this file
            [sys.executable, "-W", "ignore", "-c", _GENERATE],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            reason = (ran.stderr.strip().splitlines() or ["no message"])[-1]
            self.app.display_warning(f"No package data was generated ({reason}): each new home will generate it")


def generate_package_data() -> None:
    """Write `pipelines/package_data`."""
    from pipelines.cli.history import history_files, open_history
    from pipelines.files import PACKAGE_DATA
    from pipelines.marts.build import find_marts
    from pipelines.marts.lineage import column_lineage
    from pipelines.marts.parsed_sql import package_parsed_sql
    from pipelines.orchestration.packaged_history import package_history
    from pipelines.report.chart_bundle import package_chart_bundle
    from pipelines.settings.demo_settings import load_demo_settings

    shutil.rmtree(PACKAGE_DATA, ignore_errors=True)
    PACKAGE_DATA.mkdir()
    package_chart_bundle()
    with TemporaryDirectory() as directory:
        settings = load_demo_settings(LIVEHOUSE_HOME=directory)
        open_history(settings).dispose()
        package_history(settings.dagster_home, history_files(settings.dagster_home))
    package_parsed_sql(lambda: [column_lineage(mart) for mart in find_marts()])  # last: the Makefile's target


if __name__ == "__main__":
    generate_package_data()
