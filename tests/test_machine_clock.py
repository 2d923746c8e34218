"""`make test-dates` moves the machine's clock by a preloaded library (tests/moved/machine_clock.c)."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipelines.clock import machine_now

SOURCE = Path(__file__).parent / "moved" / "machine_clock.c"
PROGRAM = """
import datetime, json, os, queue, sqlite3, threading, time
import duckdb

began = time.monotonic()
for number in range(200):  # libfaketime crashed when the environment grew while a thread waited
    threading.Thread(target=time.sleep, args=(0.1,)).start()
    os.environ[f"VARIABLE_{number}"] = ""
held = threading.Lock()
held.acquire()
held.acquire(timeout=0.1)
try:
    queue.Queue().get(timeout=0.1)
except queue.Empty:
    pass
time.sleep(0.1)
waited_seconds = time.monotonic() - began
clocks = [
    datetime.datetime.now(datetime.UTC),
    datetime.datetime.fromtimestamp(time.time(), datetime.UTC),
    datetime.datetime.fromisoformat(sqlite3.connect(":memory:").execute("SELECT datetime()").fetchone()[0] + "+00:00"),
    duckdb.sql("SELECT now()").fetchone()[0],
]
print(json.dumps([waited_seconds, *(moment.timestamp() for moment in clocks)]))
"""


@pytest.mark.long
@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("cc"), reason="needs Linux with a C compiler"
)
@pytest.mark.parametrize("moment", [datetime(2026, 1, 31, 12), datetime(2030, 10, 31, 3, 30)])
def test_every_clock_moves_and_waits_last_as_long_as_before(moment: datetime, tmp_path: Path) -> None:
    library = tmp_path / "machine_clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, SOURCE], check=True)
    ahead = round((moment - machine_now()) / timedelta(seconds=1))
    environment = os.environ | {"LD_PRELOAD": f"{library}", "MACHINE_CLOCK_AHEAD": f"{ahead}"}
    process = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=True)
    expected = machine_now() + timedelta(seconds=ahead)
    waited_seconds, *clocks = json.loads(process.stdout)
    assert 0.3 <= waited_seconds < 30
    for clock in clocks:
        assert abs(datetime.fromtimestamp(clock, UTC).replace(tzinfo=None) - expected) < timedelta(minutes=1)
