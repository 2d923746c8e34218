"""`statement`: one month by app or by customer, for finance."""

from datetime import date
from typing import TYPE_CHECKING

import click

from pipelines.cli.param_types import month as parse_month
from pipelines.cli.published import find_published

if TYPE_CHECKING:
    from pipelines.statement.read import By, Statement


@click.command("statement")
@click.argument("month", type=parse_month, metavar="MONTH")
@click.option(
    "--by",
    type=click.Choice(["app", "customer"]),
    default="app",
    show_default=True,
    help="Group by app or by customer.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="A table to read, CSV for a spreadsheet, or JSON with everything.",
)
@click.option(
    "--close", "closes", is_flag=True, help="Keep the figures: later statements show what changed since, and why."
)
@click.option("--allow-incomplete", is_flag=True, help="With --close: also a month that is not over, or not complete.")
def statement_command(month: date, by: str, style: str, *, closes: bool, allow_incomplete: bool) -> None:
    """Print usage and estimated cost of MONTH (YYYY-MM), how complete the figures are, and what changed since it was closed.

    Amounts are estimates at the rates of the last run, in US dollars. The table rounds them to cents; csv and json have them
    exactly. CSV has a ' in front of text that a spreadsheet would evaluate.
    """
    from pipelines.clock import today
    from pipelines.errors import UsageError

    if allow_incomplete and not closes:
        raise click.UsageError("--allow-incomplete goes with --close")
    if month > today():
        raise UsageError(f"{month:%Y-%m} is in the future: there is nothing to state yet")
    grouping: By = "customer" if by == "customer" else "app"
    number = None
    if closes:
        statement, number = _close(month, grouping, allow_incomplete=allow_incomplete)
    else:
        statement = _read(month, grouping)
    if style == "table":
        from pipelines.cli.statement_table import show_statement

        show_statement(statement, number)
    else:
        from pipelines.cli import statement_files

        (statement_files.write_csv if style == "csv" else statement_files.write_json)(statement)


def _read(month: date, by: "By") -> "Statement":
    from pipelines.settings.reader_settings import load_reader_settings
    from pipelines.statement.read import read_statement

    warehouse, _ = find_published(load_reader_settings())
    with warehouse.open_published() as connection:
        return read_statement(connection, month, by)


def _close(month: date, by: "By", *, allow_incomplete: bool) -> "tuple[Statement, int | None]":
    from pipelines.errors import WarehouseError
    from pipelines.settings.settings import load_settings
    from pipelines.steps.statement import close_statement
    from pipelines.storage.warehouse import open_warehouse
    from pipelines.telemetry.logs import log

    settings = load_settings()
    warehouse = open_warehouse(settings)
    if not warehouse.exists():
        raise WarehouseError(f"{warehouse.address} holds nothing yet: run `livehouse nightly` first")
    statement, number = close_statement(settings, month, by, allow_incomplete=allow_incomplete)
    before = statement.closed
    closed = f"statement {before.number} of {before.closed_at:%Y-%m-%d %H:%M} UTC" if before else ""
    if number is None:
        log(f"{month:%Y-%m} is closed already, by {closed}, and nothing has changed since")
    else:
        log(f"closed {month:%Y-%m} as statement {number}{f'; it was closed before, by {closed}' if before else ''}")
    return statement, number
