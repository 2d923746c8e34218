"""A full disk and a read-only home: a one-line error, status 1, and an intact published file."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import LivehouseError, WarehouseError
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from tests.parameters import long_except
from tests.pipeline_runner import DAYS, assert_matches_world, environment_for, run_pipeline
from tests.promises.conftest import LoadHome, Serve, template_world
from tests.promises.fault_runner import run_cli, run_cli_process, stored_days, unexpected_files
from tests.promises.world_factory import change_everything, tiny_world

pytestmark = pytest.mark.file_only
"""The files of a lakehouse are elsewhere: tests/lake/test_s3.py covers a store that does not answer."""

MIB = 2**20
DISK = 96 * MIB


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, *, left: int) -> Path:
    """Fill the disk up to so many free bytes; return the file that fills it."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free - left, 1))
    return ballast


def assert_one_line_and_intact(message: str, settings: Settings, before: object) -> None:
    assert "\n" not in message
    assert "disk" in message or "space" in message
    assert stored_days(settings.warehouse) == before


@pytest.mark.parametrize("left", long_except([0, 1 * MIB, 6 * MIB], 0))
def test_full_disk_is_a_one_line_error_and_keeps_the_published_file(
    left: int, small_disk: Path, serve: Serve, load_home: LoadHome, tmp_path: Path
) -> None:
    world = template_world()
    simulator = serve(Simulator(world))
    settings = load_home(simulator, small_disk / "home")
    before = stored_days(settings.warehouse)
    change_everything(world)
    ballast = fill(small_disk, left=left)
    with pytest.raises(WarehouseError) as raised:
        run_pipeline(settings, run_id="full")
    assert_one_line_and_intact(str(raised.value), settings, before)
    assert "warehouse.duckdb.publishing" not in unexpected_files(settings.home)
    ballast.unlink()
    run_pipeline(settings, run_id="after")
    assert_matches_world(settings, world)


@pytest.mark.long
@pytest.mark.parametrize("left", [0, 4 * MIB])
def test_command_on_a_full_disk_prints_a_one_line_error(
    left: int, small_disk: Path, serve: Serve, load_home: LoadHome
) -> None:
    world = template_world()
    simulator = serve(Simulator(world))
    settings = load_home(simulator, small_disk / "home")
    before = stored_days(settings.warehouse)
    change_everything(world)
    fill(small_disk, left=left)
    ran = run_cli_process(simulator, settings.home, "backfill", f"{DAYS[0]}", f"{DAYS[1]}")
    assert ran.returncode == 1, ran.stderr
    lines = [line for line in ran.stderr.splitlines() if line.startswith("livehouse: ")]
    assert len(lines) == 1, ran.stderr
    assert "Traceback" not in ran.stderr + ran.stdout
    assert_one_line_and_intact(lines[0], settings, before)


@pytest.mark.long
@pytest.mark.parametrize("command", [["nightly"], ["report"], ["doctor"]])
def test_file_in_place_of_the_home_is_a_one_line_error(command: list[str], serve: Serve, tmp_path: Path) -> None:
    simulator = serve(Simulator(tiny_world(apps=("aula",))))
    (tmp_path / "home").write_text("not a directory")
    ran = run_cli_process(simulator, tmp_path / "home", *command)
    assert ran.returncode == 1, ran.stderr
    assert "Traceback" not in ran.stderr
    assert str(tmp_path / "home") in ran.stderr + ran.stdout
    assert len([line for line in ran.stderr.splitlines() if line.startswith("livehouse: ")]) <= 1
    assert (tmp_path / "home").read_text() == "not a directory"


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A directory that a test makes read-only."""
    place = tmp_path / "read_only"
    place.mkdir()
    yield place
    subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)


def test_read_only_home_is_a_one_line_error_and_stays_unchanged(
    read_only: Path, serve: Serve, load_home: LoadHome
) -> None:
    simulator = serve(Simulator(template_world()))
    settings = load_home(simulator, read_only / "home")
    mounts = (["mount", "--bind", f"{read_only}", f"{read_only}"], ["mount", "-o", "remount,bind,ro", f"{read_only}"])
    before = stored_days(settings.warehouse)
    for command in mounts:
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("only root can make a home read-only for root")
    with pytest.raises(LivehouseError) as raised:
        run_pipeline(settings, run_id="read_only")
    assert "\n" not in str(raised.value)
    assert str(settings.home) in str(raised.value)
    status, _, err = run_cli(environment_for(simulator, settings.home), "nightly")
    assert status == 1
    assert len(err.splitlines()) == 1, err
    assert str(settings.home) in err
    assert stored_days(settings.warehouse) == before
