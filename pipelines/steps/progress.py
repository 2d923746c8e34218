"""Writes messages and progress bars of a run to stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.text import printable


def log(message: str) -> None:
    """Write one line to stderr, also with `--quiet`."""
    print(printable(message), file=sys.stderr, flush=True)  # noqa: T201 - messages belong on stderr


_is_quiet = False


def notify(message: str) -> None:
    """Write a line about a retry or a long wait, unless `--quiet`."""
    if not _is_quiet:
        log(f"livehouse: {message}")


@contextmanager
def quiet_output(*, quiet: bool) -> Iterator[None]:
    """Suppress progress bars and `notify` in this context if `quiet`; `log` still writes."""
    global _is_quiet  # noqa: PLW0603 - one process has one stderr
    before, _is_quiet = _is_quiet, quiet
    try:
        yield
    finally:
        _is_quiet = before


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar if stderr is a terminal. Yields a function that advances it by a count."""
    if _is_quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, rate="")

        def advance(count: int) -> None:
            bar.advance(task, count)
            speed = bar.tasks[task].speed
            bar.update(task, rate=f"{speed:.1f}/s" if speed else "")

        yield advance
