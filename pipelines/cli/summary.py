"""What a run did, on one screen."""

import json
import sys
from datetime import date
from typing import Any

import click

from pipelines.cli.jobs import Outcome
from pipelines.cli.text import command_name, printable, printable_json
from pipelines.errors import WarehouseError
from pipelines.load.store import open_store
from pipelines.settings import Settings
from pipelines.steps.summary import set_aside, summarize

_APPS_SHOWN, _LINES_SHOWN = 8, 8
"""So that it fits a screen, however many apps there are and whatever happened."""


def show_summary(settings: Settings, outcome: Outcome, days: tuple[date, date], *, as_json: bool) -> None:
    """Print the summary of a run to stdout, of as much as was published.

    A copy that a reader has locked is no fault of the run: the figures are then left out, and a warning says so.
    """
    warehouse = open_store(settings)
    is_there = warehouse.is_there()
    warnings = list(outcome.warnings)
    figures: dict[str, Any] = {"seconds": None, "apps": [], "quarantined": [], "notes": []}
    if is_there:
        try:
            with warehouse.open_published() as connection:
                figures = summarize(connection, outcome.run_id)
        except WarehouseError as locked:
            warnings.append(f"no figures can be shown: {locked}")
    summary = {
        "run_id": outcome.run_id,
        "succeeded": not outcome.errors,
        "first_day": f"{days[0]}",
        "last_day": f"{days[1]}",
        **figures,
        "warnings": warnings,
        "errors": [str(error) for error in outcome.errors],
        "warehouse": warehouse.address,
    }
    if as_json:
        click.echo(printable_json(json.dumps(summary, ensure_ascii=False, indent=2)))
    elif is_there:
        _show(summary)


def _show(summary: dict[str, Any]) -> None:
    from rich.console import Console  # noqa: PLC0415 - not needed with --json
    from rich.table import Table  # noqa: PLC0415 - not needed with --json

    console = Console(file=sys.stdout, highlight=False)
    state = "loaded" if summary["succeeded"] else "loaded with faults" if summary["apps"] else "not loaded"
    seconds = f" in {summary['seconds']:.1f} s" if summary["seconds"] is not None else ""
    console.print(f"{summary['first_day']} to {summary['last_day']} {state}{seconds}")
    table = Table("app", box=None, pad_edge=False)
    columns = ("livestreams", "sessions", "quarantined", "requests", "retries")
    for column in columns:
        table.add_column(column, justify="right")
    for app in summary["apps"][:_APPS_SHOWN]:
        table.add_row(printable(app["app_id"]), *("-" if app[name] is None else f"{app[name]:,}" for name in columns))
    console.print(table)
    if len(summary["apps"]) > _APPS_SHOWN:
        console.print(f"… and {len(summary['apps']) - _APPS_SHOWN} more apps")
    # what is set aside stands below, record by record
    odd = [f"Odd: {warning}" for warning in summary["warnings"] if " quarantine_empty " not in warning]
    lines = [*summary["notes"], *odd]
    if summary["quarantined"]:
        lines.append("Set aside, since no rule could read them (all of it: ops.quarantine):")
        lines += [f"  {set_aside(entry)}" for entry in summary["quarantined"]]
    for line in lines[:_LINES_SHOWN]:
        console.print(printable(line), markup=False)
    if len(lines) > _LINES_SHOWN:
        console.print(f"… and {len(lines) - _LINES_SHOWN} lines more; --json tells all")
    command = command_name(summary["warehouse"])
    query = "select day, sum(ingest_seconds) from core.livestream_sessions group by day order by day"
    console.print(f"Warehouse: {summary['warehouse']}", markup=False, soft_wrap=True)
    console.print(f'Query it:  {command} sql "{query}"', markup=False, soft_wrap=True)
    console.print(f"Look:      {command} report --open    {command} ui", markup=False, soft_wrap=True)
