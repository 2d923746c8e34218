"""The image of `deploy/Dockerfile`, built by its steps: what it copies is enough to install and start every service."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.deploy.history import DEPLOY, build_history_environment
from tests.postgres import Postgres

PROJECT = DEPLOY.parent


@pytest.mark.long
@pytest.mark.timeout(400)
def test_what_the_image_copies_is_enough_to_start_every_service(postgres: Postgres, tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="the build backend is not installed")
    pytest.importorskip("dagster_celery", reason="the extra `deploy` is not installed")
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    context, site, home = (tmp_path / name for name in ("context", "site", "home"))
    for owner, sources, target in re.findall(r"^COPY ((?:--\S+ )?)(.+) (\S+)$", dockerfile, re.MULTILINE):
        directory = home if owner else context / ("" if target == "./" else target)
        for source in sources.split():
            kept = shutil.ignore_patterns("__pycache__", ".env", "package_data")
            if (PROJECT / source).is_dir():
                shutil.copytree(PROJECT / source, directory, ignore=kept)
            else:
                directory.mkdir(parents=True, exist_ok=True)
                shutil.copy(PROJECT / source, directory)
    [installed] = re.findall(r"^RUN (pip install .+?) \\$", dockerfile, re.MULTILINE)
    package = shlex.split(installed)[-1]
    assert package == "."
    # Its dependencies are those of this environment, which the constraints describe.
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--target", f"{site}", package]
    # Not with the tests' clock: it imports `pipelines` of this checkout, for which package data would be generated.
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *offline], cwd=context, env=outside, check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LIVEHOUSE", "DAGSTER"))}
    environment |= build_history_environment(postgres, home) | {"PYTHONPATH": f"{site}"}
    programs = Path(sys.executable).parent

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    launcher = yaml.safe_load((home / "dagster.yaml").read_text())["run_launcher"]
    named = f"from {launcher['module']} import {launcher['class']} as found; print(found.__module__)"
    assert run(sys.executable, "-c", named).strip() == launcher["module"]
    assert run(sys.executable, "-c", "import pipelines; print(pipelines.__file__)").startswith(f"{site}")
    assert list((site / "pipelines/package_data").glob("charts-*.json"))
    [module] = re.findall(r'"-m", "([\w.]+)"\]$', dockerfile, re.MULTILINE)
    run(f"{programs / 'dagster'}", "definitions", "validate", "-m", module)
    worker = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["worker"]["command"]
    assert "dagster" in run(f"{programs / worker[0]}", *worker[1:3], "report")
    assert "nightly" in run(f"{programs / 'livehouse'}", "--help")
