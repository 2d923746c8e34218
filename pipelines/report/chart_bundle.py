"""Build and cache the chart bundle: the charts' specifications and the script that draws them. Neither depends on figures.

A build loads Altair and starts a JavaScript engine: two seconds and a hundred megabytes, too much for a nightly run without
changes. So the bundle is cached beside the page, under a name that is a hash of its sources. The first run in a home builds
it in a separate process while it waits for responses.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

import pipelines

CACHE = "cache"
"""Directory of the cache, beside the page."""

_LOCK = "lock"
_PROJECT = str(Path(pipelines.__file__).parents[1])
_PROGRAM = """
import os, runpy, sys
project, *others = sys.argv.pop(1).split(os.pathsep)
sys.path = [project, *sys.path, *others]
runpy.run_module("pipelines.report.chart_bundle", run_name="__main__", alter_sys=True)
"""
"""Runs this module from its own project, without PYTHONPATH, which may contain another package `pipelines`."""

_OWN_FILES = re.compile(r"charts-[0-9a-f]{16}\.json|\.charts-\w{8}\.tmp")
"""Names of bundles, and of temporary files of killed processes. Every other file belongs to another program."""


class ChartBundle(NamedTuple):
    """Vega-Lite specifications by the name of their data set, and the script that draws them."""

    charts: dict[str, dict[str, Any]]
    script: str


def read_chart_bundle(directory: Path) -> ChartBundle:
    """Read the chart bundle from its cache, or build and cache it."""
    with suppress(OSError, ValueError, TypeError):  # missing, or cut off by a full disk
        return _read(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / _LOCK):
            with suppress(OSError, ValueError, TypeError):  # another process has just built it
                return _read(directory)
            return _save(directory, _build())
    except OSError:  # a bundle that cannot be cached is built again next time
        return _build()


@contextmanager
def build_charts_meanwhile(directory: Path) -> Iterator[None]:
    """Build the bundle in a separate process if it is not cached. `read_chart_bundle` waits for that build."""
    if (directory / _name()).exists():
        yield
        return
    try:
        process = _start_build(directory)
    except OSError:  # no more processes are allowed: `read_chart_bundle` builds it
        yield
        return
    with process:
        try:
            yield
        finally:
            process.terminate()  # the run has ended, or has read the bundle


def _start_build(directory: Path) -> "subprocess.Popen[bytes]":
    """Start a process that builds the bundle. Altair needs a home directory, which a container's user may not have."""
    paths = os.pathsep.join([_PROJECT, *(path for path in sys.path if Path(path).is_absolute())])
    program = [sys.executable, "-E", "-P", "-W", "ignore", "-c", _PROGRAM, paths, str(directory)]
    quiet = subprocess.DEVNULL
    environment = {"HOME": str(directory), **os.environ}
    return subprocess.Popen(program, stdin=quiet, stdout=quiet, stderr=quiet, env=environment)  # noqa: S603 - runs this module


def _read(directory: Path) -> ChartBundle:
    return ChartBundle(**json.loads((directory / _name()).read_text(encoding="utf-8")))


def _save(directory: Path, bundle: ChartBundle) -> ChartBundle:
    path = directory / _name()
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=directory, prefix=".charts-", suffix=".tmp", delete=False
    ) as file:
        json.dump(bundle._asdict(), file)
    Path(file.name).replace(path)
    for other in directory.iterdir():
        if other != path and _OWN_FILES.fullmatch(other.name):
            other.unlink()
    return bundle


@cache
def _name() -> str:
    """Return the name of the cached file: a hash of its sources and of the versions of its libraries."""
    sources = (
        "report/charts.py",
        "report/chart_bundle.py",
        "report/verdicts.py",
        "report/timeline.py",
        "report/session_states.py",
    )
    own = (Path(__file__).parents[1].joinpath(source).read_bytes() for source in sources)
    versions = f"{version('altair')} {version('vl-convert-python')}"
    return f"charts-{sha256(b''.join(own) + versions.encode()).hexdigest()[:16]}.json"


@cache
def _build() -> ChartBundle:
    if not _has_home():
        with tempfile.TemporaryDirectory() as directory, _start_build(Path(directory)) as process:
            process.wait()
            return _read(Path(directory))
    import vl_convert

    from pipelines.report.charts import specify_charts

    return ChartBundle(specify_charts(), str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")))


def _has_home() -> bool:
    try:
        return bool(Path.home())
    except RuntimeError:
        return False


if __name__ == "__main__":
    os.nice(10)  # the run that waits for responses has priority
    read_chart_bundle(Path(sys.argv[1]))
