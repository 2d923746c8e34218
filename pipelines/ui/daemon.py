"""Run Dagster's daemon as a child process of the UI that ends with its parent, however the parent ends."""

import os
import signal
import sys
import threading

from dagster._daemon.cli import run_command


def main(arguments: list[str]) -> None:
    """Run the daemon until its standard input is closed; the operating system closes it when the parent ends."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    run_command(arguments)


def _end_with_parent() -> None:
    while os.read(0, 1024):  # not sys.stdin: its lock, held at the end of the interpreter, is a fatal error
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main(sys.argv[1:])
