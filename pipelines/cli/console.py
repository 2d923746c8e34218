"""A rich console for results. Import it only where a table is drawn: rich takes a while to import."""

import sys

from rich.console import Console
from rich.table import Table

_FULL_WIDTH = 1_000_000


class OutputConsole(Console):
    """Writes to stdout, and raises `BrokenPipeError` when the reader has closed it (`| head`); rich would exit with 1."""

    def __init__(self, *, width: int | None = None, soft_wrap: bool = False) -> None:
        super().__init__(file=sys.stdout, highlight=False, width=width, soft_wrap=soft_wrap)

    def on_broken_pipe(self) -> None:
        """Raise."""
        raise BrokenPipeError


def draw_at_full_width(table: Table) -> list[str]:
    """Return the lines of a table that cuts nothing, without styles."""
    console = Console(width=_FULL_WIDTH, force_terminal=False, highlight=False)
    with console.capture() as drawn:
        console.print(table)
    return [line.rstrip() for line in drawn.get().splitlines()]
