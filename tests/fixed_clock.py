"""The time at which every test starts, independent of the day: the clocks of the worlds and of the program are set to it.

`TESTS_NOW=2028-02-29T23:50:00` runs the suite at another time; `make test-dates` does so at ten times and moves the
machine's clock as well (tests/moved/machine_clock.c), because Dagster, SQLite, DuckDB and servers read that one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from pipelines import clock

NOW = datetime.fromisoformat(os.environ.get("TESTS_NOW", "2026-06-17T10:00:00"))
"""UTC, without a zone. The time of the worlds."""
TEST_START = NOW + timedelta(minutes=1)
"""The start of a test: after the runs of session fixtures, which happen at NOW."""
_AHEAD = "TESTS_CLOCK_AHEAD"
_SITE = str(Path(__file__).parent / "moved")


def set_clock(moment: datetime) -> None:
    """Set the program's clock, here and in processes that are started later; it keeps running."""
    clock.moved_by = moment - clock.machine_now()
    os.environ[_AHEAD] = f"{clock.moved_by.total_seconds()}"
    others = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place not in {"", _SITE}]
    os.environ["PYTHONPATH"] = os.pathsep.join([*others, _SITE])  # Python imports `sitecustomize` from there


@contextmanager
def clock_set_to(moment: datetime) -> Iterator[None]:
    """Set the clock for the duration of the block; afterwards it continues as before."""
    before = clock.moved_by
    set_clock(moment)
    try:
        yield
    finally:
        set_clock(clock.machine_now() + before)
