"""One run at a time on a home, whatever happens to the others."""

import os
from pathlib import Path

import pytest

from pipelines.errors import AlreadyRunningError, WarehouseError
from pipelines.storage.lock import exclusive_lock, lock_holder
from tests.storage.conftest import Start

HOLD = """
import sys
from pathlib import Path
from pipelines.storage.lock import exclusive_lock
with exclusive_lock(Path(sys.argv[1]), wait_seconds=0, log=print):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def silent(message: str) -> None:
    raise AssertionError(message)


def test_alone(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.lock"
    for _ in range(2):
        with exclusive_lock(path, wait_seconds=0, log=silent):
            assert lock_holder(path) == f"PID {os.getpid()}"


def test_the_second_logs_the_holder_and_gives_up_in_time(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "pipeline.lock"
    first, messages = start(HOLD, path), list[str]()
    with pytest.raises(AlreadyRunningError, match="LIVEHOUSE_LOCK_WAIT_SECONDS") as raised:
        with exclusive_lock(path, wait_seconds=0, log=messages.append):
            pytest.fail("two at once")
    assert messages == [f"waiting for PID {first.process.pid}, which is writing to {tmp_path}"]
    assert f"PID {first.process.pid}" in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_the_second_waits_and_then_does_its_work(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "pipeline.lock"
    first, messages = start(HOLD, path), list[str]()

    def log(message: str) -> None:
        messages.append(message)
        assert first.finish()[0] == 0

    with exclusive_lock(path, wait_seconds=60, log=log):
        assert lock_holder(path) == f"PID {os.getpid()}"
    assert len(messages) == 1


def test_a_holder_that_is_killed_holds_no_longer(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "pipeline.lock"
    start(HOLD, path).kill()
    assert "PID" in path.read_text()
    with exclusive_lock(path, wait_seconds=0, log=silent):
        pass


def test_a_run_that_fails_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.lock"
    with pytest.raises(ZeroDivisionError), exclusive_lock(path, wait_seconds=0, log=silent):
        raise ZeroDivisionError
    with exclusive_lock(path, wait_seconds=0, log=silent):
        pass


def test_two_in_one_process_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.lock"
    with exclusive_lock(path, wait_seconds=0, log=silent), pytest.raises(AlreadyRunningError):
        with exclusive_lock(path, wait_seconds=0, log=lambda _: None):
            pass


def test_a_lock_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "pipeline.lock").mkdir()
    with pytest.raises(WarehouseError, match=r"pipeline\.lock: .*LIVEHOUSE_HOME"):
        with exclusive_lock(tmp_path / "pipeline.lock", wait_seconds=0, log=silent):
            pytest.fail("held")


@pytest.mark.parametrize("text", ["", "  \n", None])
def test_a_holder_without_a_name(text: str | None, tmp_path: Path) -> None:
    path = tmp_path / "pipeline.lock"
    if text is not None:
        path.write_text(text)
    assert lock_holder(path) == "another process"


def test_a_lock_file_left_by_another_version_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.lock"
    path.write_text("PID 1\n")
    with exclusive_lock(path, wait_seconds=0, log=silent):
        pass
