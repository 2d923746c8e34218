"""An option that several commands have."""

import click

spreadsheet_option = click.option(
    "--spreadsheet",
    is_flag=True,
    help="With --format csv: put ' in front of text that a spreadsheet would evaluate (= + - @).",
)


def check_spreadsheet(style: str, *, for_spreadsheet: bool) -> None:
    """Raise `click.UsageError` if `--spreadsheet` was given with another format than CSV."""
    if for_spreadsheet and style != "csv":
        raise click.UsageError("--spreadsheet goes with --format csv")
