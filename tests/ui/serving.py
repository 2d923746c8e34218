"""Helpers for tests of what is served: an app or a command on a free port, its processes, and a browser that resolves names below .test."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

CHROMIUM = os.environ.get("LIVEHOUSE_CHROMIUM") or next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

LIVEHOUSE = Path(sys.executable).parent / "livehouse"
PATIENCE = 120
"""Seconds that a busy machine may take."""


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@contextmanager
def served(app: Any, port: int) -> Iterator[None]:
    """An ASGI app on a port of this machine."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive()
        yield
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium, to which every name below .test means this machine."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP *.test 127.0.0.1"],
        )
        try:
            yield started
        finally:
            started.close()


@contextmanager
def served_by_command(
    command: str, home: Path, directory: Path, **variables: str
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The address that `livehouse COMMAND` prints, and its process, started in a directory."""
    log = directory / f"{command}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [LIVEHOUSE, command, "--port", f"{free_port()}"],
            env=os.environ | {"LIVEHOUSE_HOME": f"{home}"} | variables,
            cwd=directory,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not (found := [line for line in log.read_text().splitlines() if line.startswith("http://")]):
            assert time.monotonic() < deadline, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield found[0], process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and theirs."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(line.split()[0]): int(line.split()[1]) for line in listed.splitlines()}
    found = [pid]
    for one in found:
        found.extend(child for child, parent in parents.items() if parent == one)
    return found[1:]


def left_running(processes: list[int]) -> list[int]:
    """Those that have not ended after a while. One that nobody has waited for has no command line."""
    deadline = time.monotonic() + PATIENCE
    while left := [
        pid for pid in processes if Path(f"/proc/{pid}/cmdline").is_file() and Path(f"/proc/{pid}/cmdline").read_bytes()
    ]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return left
