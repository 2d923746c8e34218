"""A program, or a call of the command line, as it runs on a terminal."""

import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from fcntl import ioctl

from tests.promises.fault_runner import run_cli_with_streams


def run_on_terminal(command: Sequence[str], *, stdout: int | None = None, **environment: str) -> tuple[int, str, str]:
    """Run on a terminal of 80 by 24: exit status, what it wrote to `stdout` where that is a pipe, and what was seen."""
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
    seen = _seen(ours)
    written, _ = process.communicate(timeout=60)
    return process.returncode, written or "", seen


def run_cli_on_terminal(environment: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """The command line inside this process, its stdout and stderr a terminal: exit status, and what was seen.

    Nobody reads before the end: for what says no more than a screen or two.
    """
    ours, theirs = _terminal()
    with os.fdopen(theirs, "w") as terminal:
        status = run_cli_with_streams({"TERM": "xterm-256color", **environment}, arguments, terminal, terminal)
    return status, _seen(ours)


def _terminal() -> tuple[int, int]:
    """Both ends of a terminal: the one that is looked at, and the one for a program."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    return ours, theirs


def _seen(ours: int) -> str:
    """All that is shown until nobody writes any more."""
    seen = b""
    try:
        while piece := os.read(ours, 4096):
            seen += piece
    except OSError:  # what Linux says at the end of a terminal
        pass
    os.close(ours)
    return seen.decode()
