"""Prepare the standard streams: a run must not fail because its output cannot be written."""

import contextlib
import io
import os
import sys


class _IgnoreWriteErrors(io.FileIO):
    """A file that ignores write errors: a full disk or a closed pipe behind stderr must not end a run."""

    def write(self, data: object, /) -> int:
        """Write the data, or drop it if that fails."""
        with contextlib.suppress(OSError):
            return super().write(data)  # type: ignore[arg-type]  # a buffer, as `io.FileIO` takes
        return memoryview(data).nbytes  # type: ignore[arg-type]  # same


def prepare_streams() -> None:
    """Open closed streams (`>&-`), escape characters that the terminal's encoding lacks, and ignore write errors of stderr."""
    for descriptor in range(3):  # else the next file to be opened becomes stdout, and receives the messages
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or _open(1)
    sys.stderr = sys.stderr or _open(2)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if isinstance(sys.stderr, io.TextIOWrapper):
        raw = _IgnoreWriteErrors(sys.stderr.fileno(), "w", closefd=False)
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(raw), encoding=sys.stderr.encoding, errors="backslashreplace", line_buffering=True
        )


def _open(descriptor: int) -> io.TextIOWrapper:
    return open(descriptor, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def discard_output() -> None:
    """Point stdout to /dev/null after a write error, so that flushing its buffer at exit does not fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
