"""The moment at which every test begins, whatever day it is: the worlds' clocks and the program's are set to it.

`TESTS_NOW=2028-02-29T23:50:00` runs the suite at another moment; `make test-dates` does so at ten, with the machine's
own clock moved as well (by Debian's `faketime`), since Dagster, servers and file systems read that one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from pipelines import clock

NOW = datetime.fromisoformat(os.environ.get("TESTS_NOW", "2026-06-17T10:00:00"))
"""UTC, without a zone. Worlds stand at it."""
BEGIN = NOW + timedelta(minutes=1)
"""When a test begins: after everything that the fixtures of the session load at NOW."""
_AHEAD = "TESTS_CLOCK_AHEAD"
_SITE = str(Path(__file__).parent / "moved")


def set_clock(moment: datetime) -> None:
    """Let the program's clock show this moment and go on, here and in programs that are started from now on."""
    clock.moved_by = moment - clock.machine_now()
    os.environ[_AHEAD] = f"{clock.moved_by.total_seconds()}"
    others = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place not in {"", _SITE}]
    os.environ["PYTHONPATH"] = os.pathsep.join([*others, _SITE])  # Python imports `sitecustomize` from there


@contextmanager
def clock_set_to(moment: datetime) -> Iterator[None]:
    """Move the clock for a while; afterwards it shows what it would have shown."""
    before = clock.moved_by
    set_clock(moment)
    try:
        yield
    finally:
        set_clock(clock.machine_now() + before)
