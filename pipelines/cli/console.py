"""A console for results. Import it only where something is drawn: rich takes a while."""

import sys

from rich.console import Console


class OutputConsole(Console):
    """Writes to stdout. A reader that has seen enough (`| head`) is a `BrokenPipeError`, and no exit status of rich's."""

    def __init__(self, *, width: int | None = None, soft_wrap: bool = False) -> None:
        super().__init__(file=sys.stdout, highlight=False, width=width, soft_wrap=soft_wrap)

    def on_broken_pipe(self) -> None:
        """Raise."""
        raise BrokenPipeError
