"""Python imports this when it starts, in programs that tests start: clock and number of CPUs are those of the test."""

import os
from contextlib import suppress
from datetime import timedelta

if "TESTS_SINGLE_CPU" in os.environ:
    os.cpu_count = lambda: 1

with suppress(ImportError, KeyError):  # another Python, or a test that sets the environment itself
    from pipelines import clock

    clock.moved_by = timedelta(seconds=float(os.environ["TESTS_CLOCK_AHEAD"]))
