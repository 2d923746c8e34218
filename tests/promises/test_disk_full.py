"""A full disk, and a home that cannot be written: one clear line, status 1, and the published copy intact."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.errors import LivehouseError, WarehouseError
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from tests.pipeline_runner import DAYS, assert_matches_world, environment_for, run_pipeline, settings_for
from tests.promises.conftest import Serve
from tests.promises.fault_runner import run_cli, run_cli_process, stored_days, unexpected_files
from tests.promises.world_factory import change_everything, tiny_world

pytestmark = pytest.mark.file_only
"""The files of a lakehouse lie elsewhere: tests/lake/test_s3.py for a place that does not answer."""

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
        pytest.skip("a small disk can be mounted by root only")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path, *, left: int) -> Path:
    """Leave so many bytes of the disk free."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free - left, 1))
    return ballast


def assert_one_line_and_intact(said: str, settings: Settings, before: object) -> None:
    assert "\n" not in said
    assert "disk" in said or "space" in said
    assert stored_days(settings.warehouse) == before


@pytest.mark.parametrize("left", [0, 1 * MIB, 6 * MIB])
def test_full_disk_is_a_one_line_error_and_keeps_the_published_file(
    left: int, small_disk: Path, serve: Serve, tmp_path: Path
) -> None:
    world = tiny_world(apps=("aula",), broken=False)
    simulator = serve(Simulator(world))
    settings = settings_for(simulator, small_disk / "home")
    run_pipeline(settings, run_id="before")
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


@pytest.mark.parametrize("left", [0, 4 * MIB])
def test_command_on_a_full_disk_prints_a_one_line_error(left: int, small_disk: Path, serve: Serve) -> None:
    world = tiny_world(apps=("aula",), broken=False)
    simulator = serve(Simulator(world))
    settings = settings_for(simulator, small_disk / "home")
    run_pipeline(settings, run_id="before")
    before = stored_days(settings.warehouse)
    change_everything(world)
    fill(small_disk, left=left)
    ran = run_cli_process(simulator, settings.home, "backfill", f"{DAYS[0]}", f"{DAYS[1]}")
    assert ran.returncode == 1, ran.stderr
    lines = [line for line in ran.stderr.splitlines() if line.startswith("livehouse: ")]
    assert len(lines) == 1, ran.stderr
    assert "Traceback" not in ran.stderr + ran.stdout
    assert_one_line_and_intact(lines[0], settings, before)


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
def sealed(tmp_path: Path) -> Iterator[Path]:
    """A home that holds a warehouse and cannot be written."""
    place = tmp_path / "sealed"
    place.mkdir()
    yield place
    subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)


def test_read_only_home_is_a_one_line_error_and_stays_unchanged(sealed: Path, serve: Serve) -> None:
    world = tiny_world(apps=("aula",), broken=False)
    simulator = serve(Simulator(world))
    settings = settings_for(simulator, sealed / "home")
    mounts = (["mount", "--bind", f"{sealed}", f"{sealed}"], ["mount", "-o", "remount,bind,ro", f"{sealed}"])
    run_pipeline(settings, run_id="before")
    before = stored_days(settings.warehouse)
    for command in mounts:
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("a home can be sealed against root by root only")
    with pytest.raises(LivehouseError) as raised:
        run_pipeline(settings, run_id="sealed")
    assert "\n" not in str(raised.value)
    assert str(settings.home) in str(raised.value)
    status, _, said = run_cli(environment_for(simulator, settings.home), "nightly")
    assert status == 1
    assert len(said.splitlines()) == 1, said
    assert str(settings.home) in said
    assert stored_days(settings.warehouse) == before
