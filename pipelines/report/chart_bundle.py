"""Read the chart bundle: the charts' specifications and the script that draws them. Neither depends on figures.

A build loads Altair and starts a JavaScript engine: two seconds and a hundred megabytes. So the bundle is built with the package
(`hatch_build.py`), in a file whose name is a hash of its sources. Where that file is missing, or the sources were edited, the first run
in a home builds the bundle in a separate process while it waits for responses, and caches it beside the page.
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
from pipelines.files import PACKAGE_DATA

CACHE = "cache"
"""Directory of the cache, beside the page."""

SOURCES = ("charts.py", "chart_bundle.py", "verdicts.py", "timeline.py", "session_states.py")
"""The modules that decide what a bundle contains."""

_LOCK = "lock"
_UNREADABLE = (OSError, ValueError, TypeError)
"""Errors of a file that is missing, or was cut off by a full disk."""
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
    """Read the chart bundle from the package, or else from its cache; build and cache it if it is in neither."""
    with suppress(*_UNREADABLE):
        return _read(_packaged_file())
    return _read_or_cache(directory)


def _read_or_cache(directory: Path) -> ChartBundle:
    file = directory / _cached_name()
    with suppress(*_UNREADABLE):
        return _read(file)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / _LOCK):
            with suppress(*_UNREADABLE):  # another process has just built it
                return _read(file)
            return _save(file, _build())
    except OSError:  # a bundle that cannot be cached is built again next time
        return _build()


def is_packaged() -> bool:
    """Return whether the package has a bundle of the charts as they are specified now."""
    return _packaged_file().exists()


def package_chart_bundle() -> None:
    """Build the bundle and save it with the package."""
    _save(_packaged_file(), _build())
    _packaged_file().chmod(0o644)  # other users run what one has installed


@contextmanager
def build_charts_meanwhile(directory: Path) -> Iterator[None]:
    """Build the bundle in a separate process if there is none. `read_chart_bundle` waits for that build."""
    if is_packaged() or (directory / _cached_name()).exists():
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


def _read(file: Path) -> ChartBundle:
    return ChartBundle(**json.loads(file.read_text(encoding="utf-8")))


def _save(file: Path, bundle: ChartBundle) -> ChartBundle:
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=file.parent, prefix=".charts-", suffix=".tmp", delete=False
    ) as temporary:
        json.dump(bundle._asdict(), temporary)
    Path(temporary.name).replace(file)
    for other in file.parent.iterdir():
        if other != file and _OWN_FILES.fullmatch(other.name):
            other.unlink()
    return bundle


@cache
def _packaged_file() -> Path:
    """Return the file of the package. Its script and specifications fit each other, whatever library versions are installed."""
    return PACKAGE_DATA / _name()


@cache
def _cached_name() -> str:
    """Return the name of the file in a home, which is built again with other versions of its libraries."""
    return _name(f"{version('altair')} {version('vl-convert-python')}")


def _name(versions: str = "") -> str:
    own = (Path(__file__).with_name(source).read_bytes() for source in SOURCES)
    return f"charts-{sha256(b''.join(own) + versions.encode()).hexdigest()[:16]}.json"


@cache
def _build() -> ChartBundle:
    if not _has_home():
        with tempfile.TemporaryDirectory() as directory, _start_build(Path(directory)) as process:
            process.wait()
            return _read(Path(directory, _cached_name()))
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
    _read_or_cache(Path(sys.argv[1]))
