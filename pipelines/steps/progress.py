"""Shows the progress of a run on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from pipelines.catalog.streams import FACTS
from pipelines.telemetry.logs import is_json, log

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


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


def _shows_bars() -> bool:
    return not _is_quiet and sys.stderr.isatty() and not is_json()


_SHARES = {"livestreams": 5.0, "overall": 20.0, "sessions": 50.0, "core": 15.0}
"""The typical share of each phase in the duration of a run, in percent. Marts, checks and publishing take the rest."""
_REPEATS = {"core": len(FACTS)}
"""How often a phase occurs for each app, if more than once."""


class _RunProgress:
    """The bar of a whole run, above the bars of its phases."""

    def __init__(self, bars: "Progress", label: str, apps: int) -> None:
        self._bars, self._apps = bars, apps
        self._lock = Lock()
        self._done = dict.fromkeys(_SHARES, 0.0)
        self._task: TaskID = bars.add_task(label, total=100, count="", rate="")
        self.count_retries: Callable[[], int] = int

    def advance(self, phase: str, part: float) -> None:
        """Add a part of a phase of one app, and show the retries so far."""
        share = _SHARES[phase]
        with self._lock:
            done = self._done[phase] + part * share / self._apps / _REPEATS.get(phase, 1)
            self._done[phase] = min(done, share)  # a phase may be repeated
            percent = sum(self._done.values())
            retries = _describe_retries(self.count_retries())
            self._bars.update(self._task, completed=percent, count=f"{percent:.0f} %", rate=retries)


def _describe_retries(count: int) -> str:
    return "" if not count else "1 retry" if count == 1 else f"{count:,} retries"


_run_progress: tuple["Progress", _RunProgress] | None = None
_only_display = Lock()
"""Held while the bar of one phase is shown, outside of a run with a bar of its own."""


@contextmanager
def run_progress(label: str, apps: int) -> Iterator[None]:
    """Show one bar for a run of `apps` apps, with the time left, if stderr is a terminal."""
    global _run_progress  # noqa: PLW0603 - one process has one stderr
    if not _shows_bars():
        yield
        return
    with _build_bars() as bars:
        _run_progress = bars, _RunProgress(bars, label, apps)
        try:
            yield
        finally:
            _run_progress = None


def show_retries(count: Callable[[], int]) -> None:
    """Show the number that `count` returns, the retries so far, beside the bar of the run."""
    if _run_progress:
        _run_progress[1].count_retries = count


@contextmanager
def progress(label: str, total: int | None = None, *, phase: str = "") -> Iterator[Callable[[int], None]]:
    """Show a progress bar if stderr is a terminal. Yields a function that advances it by a count.

    `phase`, a key of `_SHARES`, is the part of the run that is done when the context ends.
    """
    if not _shows_bars():
        yield lambda _: None
        return
    if _run_progress is None:
        if not _only_display.acquire(blocking=False):  # rich allows one, and several apps are fetched side by side
            yield lambda _: None
            return
        try:
            with _build_bars() as bars, _show_phase(bars, label, total, lambda _: None) as advance:
                yield advance
        finally:
            _only_display.release()
        return
    bars, whole = _run_progress
    left = 1.0

    def advance_run(part: float) -> None:
        nonlocal left
        if phase:
            left -= part
            whole.advance(phase, part)

    with _show_phase(bars, label, total, advance_run) as advance:
        yield advance
    advance_run(left)


@contextmanager
def _show_phase(
    bars: "Progress", label: str, total: int | None, advance_run: Callable[[float], None]
) -> Iterator[Callable[[int], None]]:
    task = bars.add_task(label, total=total, count="", rate="")
    of_total = f"/{total}" if total is not None else ""

    def advance(count: int) -> None:
        bars.advance(task, count)
        shown = next(one for one in bars.tasks if one.id == task)
        rate = f"{shown.speed:.1f}/s" if shown.speed else ""
        bars.update(task, count=f"{shown.completed:.0f}{of_total}", rate=rate)
        if total:
            advance_run(count / total)

    try:
        yield advance
    finally:
        bars.refresh()
        bars.remove_task(task)


def _build_bars() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[count]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)
