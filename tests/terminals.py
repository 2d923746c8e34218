"""Runs programs and commands on a pseudo-terminal."""

import os
import pty
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from fcntl import ioctl

import pytest

from tests.promises.fault_runner import run_cli_with_streams


def run_on_terminal(command: Sequence[str], *, stdout: int | None = None, **environment: str) -> tuple[int, str, str]:
    """Run on a terminal of 80 by 24; return exit status, piped stdout, and the terminal output."""
    ours, theirs = _terminal()
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        text=True,
        env=os.environ | {"TERM": "xterm-256color"} | environment,
    )
    os.close(theirs)
    output = _read_all(ours)
    written, _ = process.communicate(timeout=60)
    return process.returncode, written or "", output


def run_cli_on_terminal(environment: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Run a command inside this process on a terminal; return exit status and terminal output.

    The output is read at the end: only for commands that print no more than a screen or two.
    """
    ours, theirs = _terminal()
    with os.fdopen(theirs, "w") as terminal:
        status = run_cli_with_streams({"TERM": "xterm-256color", **environment}, arguments, terminal, terminal)
    return status, _read_all(ours)


def _terminal() -> tuple[int, int]:
    """Return both ends of a terminal: the one to read, and the one for a program."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    return ours, theirs


def _read_all(ours: int) -> str:
    """Return the output until the other end closes."""
    seen = b""
    try:
        while piece := os.read(ours, 4096):
            seen += piece
    except OSError:  # Linux reports the end of a terminal so
        pass
    os.close(ours)
    return seen.decode()


def read_on_terminal(body: Callable[[], None]) -> str:
    """Call a function whose stderr is a terminal; return what it wrote."""
    ours, theirs = _terminal()
    with os.fdopen(theirs, "w") as terminal, redirect_stderr(terminal), pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm-256color")
        patch.setenv("NO_COLOR", "1")
        body()
    return _read_all(ours)
