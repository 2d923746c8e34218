"""No test depends on the day it runs: the program and its tests read one clock, which the tests set."""

import re
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipelines.clock import days_from, today, utc_now
from pipelines.simulator.server import Simulator
from tests.fixed_clock import TEST_START, clock_set_to
from tests.pipeline_runner import APPS, assert_matches_world, run_pipeline, settings_for
from tests.promises.world_factory import tiny_world

ROOT = Path(__file__).parents[1]
READS_THE_MACHINE = re.compile(
    r"\btime\.time\(|\bdatetime\.(?:now|utcnow|today)\(|\bdate\.today\(|\bgmtime\(|\blocaltime\("
)
MAY_READ_IT = {
    "pipelines/clock.py": "it is the clock",
    "pipelines/alerts/webhook.py": "receivers compare the time of a signature with their own clock",
    "pipelines/orchestration/sensors.py": "measures for how long runs have had no session",
    "pipelines/extract/client.py": "Retry-After names a moment of the other machine's clock",
    "pipelines/extract/shared_budget.py": "Ratelimit may name a moment of the other machine's clock",
    "pipelines/simulator/thread_clock.py": "is the clock outside of a served world",
    "tests/extract/test_client_waits.py": "names a moment in Retry-After",
    "tests/alerts/test_messages.py": "checks the time of a signature, as receivers do",
    "tests/deploy/test_run_sessions.py": "calls what the sensor calls",
    "tests/test_machine_clock.py": "checks the machine's clock",
    "tests/test_live_and_runs.py": "dates a poll of another machine",
}
MOMENTS = [
    "2026-11-27T16:00:00",  # the day on which the suite failed
    "2026-01-31T12:00:00",
    "2026-04-30T23:50:00",
    "2026-05-01T00:00:10",
    "2026-12-31T23:50:00",
    "2027-01-01T00:00:10",
    "2027-02-28T09:00:00",
    "2028-02-29T23:50:00",
    "2028-03-01T00:00:10",
    "2030-10-31T03:30:00",
]
"""Month ends, a leap day, the end of a year, either side of midnight. `make test-dates` runs the suite at them."""


def test_only_the_clock_module_reads_the_system_time() -> None:
    files = [*(ROOT / "pipelines").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    found = {f"{file.relative_to(ROOT)}" for file in files if READS_THE_MACHINE.search(file.read_text("utf-8"))}
    assert found - {"tests/test_fixed_clock.py"} == MAY_READ_IT.keys()


def test_child_processes_see_the_same_time() -> None:
    code = "from pipelines.clock import utc_now; print(utc_now())"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert TEST_START <= datetime.fromisoformat(shown.stdout.strip()) < TEST_START + timedelta(minutes=2)
    assert TEST_START <= utc_now() < TEST_START + timedelta(minutes=2)


def test_make_test_dates_lists_these_moments() -> None:
    assert re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", (ROOT / "Makefile").read_text("utf-8")) == MOMENTS


@pytest.mark.long
@pytest.mark.parametrize("moment", MOMENTS)
def test_two_runs_leave_exact_rows_at_any_moment(moment: str, tmp_path: Path) -> None:
    now = datetime.fromisoformat(moment)
    world = tiny_world(now=now)
    last = now.date() - timedelta(days=1)
    days = (last - timedelta(days=9), last)
    with Simulator(world) as simulator, clock_set_to(now):
        settings = settings_for(simulator, tmp_path)
        run_pipeline(settings, days, run_id="first")
        assert_matches_world(settings, world, days)
        assert today() == now.date()
        for app_id in APPS:
            for livestream, day in zip(world.apps[app_id].livestreams, days_from(*days), strict=False):
                created_at = datetime.combine(day, datetime.min.time()) + timedelta(hours=23, minutes=59)
                world.add_session(app_id, livestream.id, created_at=created_at, ingest_seconds=30.0, viewer_seconds=9.0)
        world.advance(timedelta(days=1))
        with clock_set_to(now + timedelta(days=1)):
            run_pipeline(settings, (days[0], now.date()), run_id="second")
            assert_matches_world(settings, world, (days[0], now.date()))
