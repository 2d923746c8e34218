"""Options that several commands have."""

from collections.abc import Callable
from typing import Any

import click

open_option = click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")

spreadsheet_option = click.option(
    "--spreadsheet",
    is_flag=True,
    help="With --format csv: put ' in front of text that a spreadsheet would evaluate (= + - @).",
)


def check_spreadsheet(style: str, *, for_spreadsheet: bool) -> None:
    """Raise `click.UsageError` if `--spreadsheet` was given with another format than CSV."""
    if for_spreadsheet and style != "csv":
        raise click.UsageError("--spreadsheet goes with --format csv")


def timeout_option(*, default_seconds: int, can_be_zero: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option `--timeout`, the time after which a query is ended; zero is no limit."""
    return click.option(
        "--timeout",
        "timeout_seconds",
        type=click.FloatRange(min=0 if can_be_zero else 1),
        default=default_seconds,
        show_default=True,
        metavar="SECONDS",
        help=f"End a query after this time{'; 0 for no limit' if can_be_zero else ''}.",
    )
