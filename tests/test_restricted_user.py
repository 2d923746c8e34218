"""Whole nights of a user without passwd entry and HOME, who may start as many threads as the machine allows, or few."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pipelines.clock import machine_now
from pipelines.simulator.server import Simulator
from tests.pipeline_runner import environment_for, small_world
from tests.test_surroundings import run

UNKNOWN_USER = 54321
AS_UNKNOWN_USER = (
    f"unset HOME; exec setpriv --reuid={UNKNOWN_USER} --regid={UNKNOWN_USER} --clear-groups"
    " --inh-caps=+dac_override --ambient-caps=+dac_override"  # the interpreter and the tests may be in root's home
)
NIGHT = f"{AS_UNKNOWN_USER} livehouse nightly --quiet"
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can become another user, with setpriv"
    ),
]


@pytest.fixture
def served() -> Iterator[Simulator]:
    with Simulator(
        small_world(livestreams=2, sessions=6, now=machine_now())
    ) as simulator:  # processes have the real clock
        yield simulator


@pytest.fixture
def home() -> Iterator[Path]:
    """A home of that user, in a directory that every user can reach: those of pytest are for its own user only."""
    with TemporaryDirectory() as directory:
        os.chown(directory, UNKNOWN_USER, UNKNOWN_USER)
        yield Path(directory) / "home"


def test_a_night_of_a_user_without_passwd_entry_and_home_is_loaded(served: Simulator, home: Path) -> None:
    status, _, err = run(NIGHT, home, **environment_for(served, home))
    assert (status, "Traceback" in err) == (0, False), err
    assert (home / "warehouse.duckdb").stat().st_uid == UNKNOWN_USER


def test_a_night_with_12_threads_is_loaded_or_ends_with_one_line_and_the_next_is_loaded(
    served: Simulator, home: Path
) -> None:
    """The number of threads that a night needs grows with the CPUs."""
    status, _, err = run(f"ulimit -u 12; {NIGHT}", home, **environment_for(served, home))
    errors = [line for line in err.splitlines() if line.startswith("livehouse: ")]
    cause = "livehouse: cannot start another thread for this user: raise the limit (`ulimit -u`)"
    assert (status, errors) in [(0, []), (1, [cause])], err
    assert "Traceback" not in err
    status, _, err = run(NIGHT, home, **environment_for(served, home))
    assert status == 0, err
