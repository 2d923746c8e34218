"""What draws the page's charts: their specifications, and one script. Neither depends on any figure.

Making them starts a JavaScript engine and loads Altair, two seconds and a hundred megabytes: too much for a night with
nothing new. So both are kept beside the page, under a name made of all that they are made of; the first run of a home has
them made by a process of its own while it waits for replies.
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
"""The directory beside the page in which they are kept."""

_LOCK = "lock"
_PROJECT = str(Path(pipelines.__file__).parents[1])
_PROGRAM = """
import os, runpy, sys
project, *others = sys.argv.pop(1).split(os.pathsep)
sys.path = [project, *sys.path, *others]
runpy.run_module("pipelines.report.chart_bundle", run_name="__main__", alter_sys=True)
"""
"""Runs this module out of its own project, without PYTHONPATH: what comes first there may be another `pipelines`."""

_OURS = re.compile(r"charts-[0-9a-f]{16}\.json|\.charts-\w{8}\.tmp")
"""Names of what is kept, or was being written by a killed process; every other file is somebody else's."""


class Drawing(NamedTuple):
    """Charts by the name of their data set, as Vega-Lite specifications, and the script that draws them."""

    charts: dict[str, dict[str, Any]]
    script: str


def read_drawing(kept: Path) -> Drawing:
    """Give what draws the charts, from the directory where it is kept, or made anew and kept there."""
    with suppress(OSError, ValueError, TypeError):  # absent, or not as it was written: made anew
        return _read(kept)
    try:
        kept.mkdir(parents=True, exist_ok=True)
        with FileLock(kept / _LOCK):
            with suppress(OSError, ValueError, TypeError):  # by another process, until just now
                return _read(kept)
            return _keep(kept, _made())
    except OSError:  # what cannot be kept is made again next time
        return _made()


@contextmanager
def drawing_made_meanwhile(kept: Path) -> Iterator[None]:
    """Have it made by a process of its own, where it is not kept yet. Who needs it before that is done waits for it."""
    if (kept / _name()).exists():
        yield
        return
    try:
        process = _start_making(kept)
    except OSError:  # no more processes are allowed: the run makes it itself when it needs it
        yield
        return
    with process:
        try:
            yield
        finally:
            process.terminate()  # by now nobody waits for it


def _start_making(kept: Path) -> "subprocess.Popen[bytes]":
    """Start a process that makes it. Altair wants a home directory, which a container's user may not have."""
    ours = os.pathsep.join([_PROJECT, *(place for place in sys.path if Path(place).is_absolute())])
    program = [sys.executable, "-E", "-P", "-W", "ignore", "-c", _PROGRAM, ours, str(kept)]
    quiet = subprocess.DEVNULL
    environment = {"HOME": str(kept), **os.environ}
    return subprocess.Popen(program, stdin=quiet, stdout=quiet, stderr=quiet, env=environment)  # noqa: S603 - our own module


def _read(kept: Path) -> Drawing:
    return Drawing(**json.loads((kept / _name()).read_text(encoding="utf-8")))


def _keep(kept: Path, drawing: Drawing) -> Drawing:
    path = kept / _name()
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=kept, prefix=".charts-", suffix=".tmp", delete=False
    ) as file:
        json.dump(drawing._asdict(), file)
    Path(file.name).replace(path)
    for other in kept.iterdir():
        if other != path and _OURS.fullmatch(other.name):
            other.unlink()
    return drawing


@cache
def _name() -> str:
    """The name it is kept under, made of all that it is made of."""
    sources = ("report/charts.py", "report/chart_bundle.py", "marts/verdicts.py")
    own = (Path(__file__).parents[1].joinpath(source).read_bytes() for source in sources)
    versions = f"{version('altair')} {version('vl-convert-python')}"
    return f"charts-{sha256(b''.join(own) + versions.encode()).hexdigest()[:16]}.json"


@cache
def _made() -> Drawing:
    if not _has_home():
        with tempfile.TemporaryDirectory() as kept, _start_making(Path(kept)) as process:
            process.wait()
            return _read(Path(kept))
    import vl_convert

    from pipelines.report.charts import chart_specifications

    return Drawing(chart_specifications(), str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")))


def _has_home() -> bool:
    try:
        return bool(Path.home())
    except RuntimeError:
        return False


if __name__ == "__main__":
    os.nice(10)  # the run that waits for replies comes first
    read_drawing(Path(sys.argv[1]))
