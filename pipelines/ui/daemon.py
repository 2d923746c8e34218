"""Dagster's daemon as a child of the UI: it ends with its parent, however that ends."""

import os
import signal
import sys
import threading

from dagster._daemon.cli import run_command


def main(arguments: list[str]) -> None:
    """Run the daemon until its standard input ends, which the operating system sees to when the parent is gone."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job is told to ignore
    threading.Thread(target=_end_with_parent, daemon=True).start()
    run_command(arguments)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main(sys.argv[1:])
