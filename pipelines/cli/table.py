"""Draw a result as a table that fits the terminal. Numbers are never cut; columns that do not fit are named below.

rich draws the table. It cannot drop a column, and would cut numbers; DuckDB's own box does not name the columns that it
drops, and does not escape control characters.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.cli.console import OutputConsole, draw_at_full_width
from pipelines.telemetry.logs import log
from pipelines.text import printable

ROWS_SHOWN = 1_000
MIN_TEXT_WIDTH = 16
"""The number of characters to which a long text is cut at most. Numbers and times are never cut."""
GAP = 2


def show_table(names: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """Print rows to stdout: fitted to a terminal, in a pager if they are long; at full width to a pipe."""
    shown = list(islice(rows, ROWS_SHOWN))
    notes = [f"the first {ROWS_SHOWN:,} rows; --format csv gives all"] if next(rows, None) is not None else []
    console = OutputConsole()
    if not console.is_terminal:
        # not click.echo, which writes UTF-8 where the encoding of the output is ASCII
        sys.stdout.write("".join(f"{line}\n" for line in draw_at_full_width(_build_table(names, shown, None))))
        for note in notes:
            log(f"livehouse: {note}")
        return
    if not shown:
        notes.append("no rows")
    widths = _fit_columns(names, shown, console.width)
    if any(cell_len(_format_cell(row[n]).plain) > width for row in shown for n, width in enumerate(widths)):
        notes.append("text that ends in … is cut; --format lines shows all")
    if left_out := names[len(widths) :]:
        notes.append(f"columns that do not fit: {', '.join(map(printable, left_out))}; --format lines shows all")
    with console.capture() as drawn:
        console.print(_build_table(names, shown, widths))
        for note in notes:
            console.print(Text(f"-- {note}", style="dim"))
    _print_or_page(drawn.get(), console)


def show_lines(names: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """Print one value per line to stdout, uncut, with a blank line between rows; in a pager if they are long."""
    console = OutputConsole(soft_wrap=True)
    widest = max((cell_len(printable(name)) for name in names), default=0)
    shown = list(islice(rows, ROWS_SHOWN))
    with console.capture() as drawn:
        for n, row in enumerate(shown):
            if n:
                console.print()
            for name, value in zip(names, row, strict=True):
                heading = printable(name)
                padding = " " * (widest - cell_len(heading) + GAP)
                console.print(Text(f"{heading}{padding}", style="bold") + _format_cell(value))
    _print_or_page(drawn.get(), console)
    if next(rows, None) is not None:
        log(f"livehouse: the first {ROWS_SHOWN:,} rows; --format csv gives all")


def _print_or_page(text: str, console: Console) -> None:
    if not console.is_terminal:
        sys.stdout.write(text)
    elif text.count("\n") < console.height:
        click.echo(text, nl=False)
    else:
        click.echo_via_pager(text)


def _format_cell(value: Any) -> Text:  # noqa: ANN401 - a cell of any type
    if value is None:
        return Text("NULL", style="dim")
    if isinstance(value, bool):
        return Text(str(value).lower())
    if isinstance(value, float):
        # A DOUBLE has 15 significant digits: with more, 147292.443 is printed as 147292.44299999997
        return Text(f"{value:.15g}")
    if isinstance(value, datetime) and value.microsecond:
        return Text(str(value).replace(f"{value:.%f}", f"{value:.%f}".rstrip("0")))
    return Text(printable(str(value)))


def _is_number(value: Any) -> bool:  # noqa: ANN401 - a cell of any type
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _build_table(names: Sequence[str], rows: list[tuple[Any, ...]], widths: list[int] | None) -> Table:
    """Return a table of as many columns as there are widths; of all columns at full width if `widths` is None."""
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for n, name in enumerate(names if widths is None else names[: len(widths)]):
        table.add_column(
            Text(printable(name) if widths is None else _fold_name(printable(name), widths[n])),
            justify="right" if any(_is_number(row[n]) for row in rows) else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=None if widths is None else widths[n],
        )
    for row in rows:
        table.add_row(*(_format_cell(value) for value in row[: len(table.columns)]))
    return table


def _fold_name(name: str, width: int) -> str:
    """Return a column's name with line breaks after underscores where it is wider than the column."""
    lines = [""]
    for part in name.replace("_", "_\0").split("\0"):
        lines = [*lines[:-1], lines[-1] + part] if cell_len(lines[-1] + part) <= width else [*lines, part]
    return "\n".join(line for line in lines if line)


def _fit_columns(names: Sequence[str], rows: list[tuple[Any, ...]], room: int) -> list[int]:
    """Return the widths of as many columns as fit: names are folded first, then text is cut, then columns are dropped."""
    wide = [max((cell_len(_format_cell(row[n]).plain) for row in rows), default=0) for n in range(len(names))]
    parts = [max(map(cell_len, printable(name).replace("_", "_\0").split("\0"))) for name in names]
    is_text = [any(isinstance(row[n], str) for row in rows) for n in range(len(names))]

    def fit(longest_text: int, count: int) -> list[int]:
        cut = [min(wide[n], longest_text) if is_text[n] else wide[n] for n in range(count)]
        return [max(width, parts[n]) for n, width in enumerate(cut)]

    def is_too_wide(widths: list[int]) -> bool:
        return sum(widths) + GAP * len(widths) > room + GAP

    whole = [max(width, cell_len(printable(name))) for width, name in zip(wide, names, strict=True)]
    if not is_too_wide(whole):
        return whole
    count = len(names)
    while count > 1 and is_too_wide(fit(MIN_TEXT_WIDTH, count)):
        count -= 1
    longest = MIN_TEXT_WIDTH
    while longest < room and not is_too_wide(fit(longest + 1, count)):
        longest += 1
    return [min(width, room) for width in fit(longest, count)]
