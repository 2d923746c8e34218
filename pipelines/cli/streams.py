"""The standard streams as a run needs them: it must not fail because nobody can read what it says."""

import contextlib
import io
import os
import sys


class _Unfailing(io.FileIO):
    """A file to which writing never fails: a full disk or a closed pipe behind stderr must not end a run."""

    def write(self, data: object, /) -> int:
        """Write, or drop what cannot be written."""
        with contextlib.suppress(OSError):
            return super().write(data)  # type: ignore[arg-type]  # a buffer, as `io.FileIO` takes
        return memoryview(data).nbytes  # type: ignore[arg-type]  # same


def prepare_streams() -> None:
    """Open what was closed (`>&-`), write out what an old terminal's encoding cannot say, and never fail on stderr."""
    for descriptor in range(3):  # else the next file that is opened becomes stdout, and messages are written into it
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or _open(1)
    sys.stderr = sys.stderr or _open(2)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if isinstance(sys.stderr, io.TextIOWrapper):
        raw = _Unfailing(sys.stderr.fileno(), "w", closefd=False)
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(raw), encoding=sys.stderr.encoding, errors="backslashreplace", line_buffering=True
        )


def _open(descriptor: int) -> io.TextIOWrapper:
    return open(descriptor, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def end_output() -> None:
    """Nothing more can be written to stdout: what is left in the buffer must not fail once more at the end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
