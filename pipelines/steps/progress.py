"""What a person sees while a run goes on: count, rate and time left, on stderr, if that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipelines.text import printable


def log(message: str) -> None:
    """One line to whoever watches."""
    print(printable(message), file=sys.stderr, flush=True)  # noqa: T201 - messages belong on stderr


_hushed = False


def notify(message: str) -> None:
    """Write a line about how a run goes, unless `--quiet`: a retry, a long wait."""
    if not _hushed:
        log(f"livehouse: {message}")


@contextmanager
def quiet_output(*, quiet: bool) -> Iterator[None]:
    """No progress meanwhile, if so: `--quiet`. What is said with `say` is."""
    global _hushed  # noqa: PLW0603 - one terminal, one person in front of it
    before, _hushed = _hushed, quiet
    try:
        yield
    finally:
        _hushed = before


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A counter to call with how many more are done. Silent when nobody watches."""
    if _hushed or not sys.stderr.isatty():
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
