"""A program as it runs on a terminal."""

import os
import pty
import struct
import subprocess
import termios
from collections.abc import Sequence
from fcntl import ioctl


def on_a_terminal(command: Sequence[str], *, stdout: int | None = None, **environment: str) -> tuple[int, str, str]:
    """Run on a terminal of 80 by 24: exit status, what it wrote to `stdout` where that is a pipe, and what was seen."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        text=True,
        env=os.environ | {"TERM": "xterm-256color"} | environment,
    )
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 4096):
            seen += piece
    except OSError:  # what Linux says at the end of a terminal
        pass
    os.close(ours)
    written, _ = process.communicate(timeout=60)
    return process.returncode, written or "", seen.decode()
