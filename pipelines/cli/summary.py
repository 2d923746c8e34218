"""What a run did, on one screen."""

import json
import sys
from datetime import date
from typing import Any

import click

from pipelines.cli.jobs import Outcome
from pipelines.cli.text import command_name, printable, printable_json
from pipelines.load.warehouse import open_published
from pipelines.settings import Settings
from pipelines.steps.summary import set_aside, summarize


def show_summary(settings: Settings, outcome: Outcome, days: tuple[date, date], *, quiet: bool, as_json: bool) -> None:
    """Print the summary of a run to stdout; nothing where nothing was ever published."""
    if quiet or not settings.warehouse.exists():
        return
    with open_published(settings.warehouse) as connection:
        summary: dict[str, Any] = {
            "run_id": outcome.run_id,
            "succeeded": not outcome.errors,
            "first_day": f"{days[0]}",
            "last_day": f"{days[1]}",
            **summarize(connection, outcome.run_id),
            "warnings": outcome.warnings,
            "errors": [str(error) for error in outcome.errors],
            "warehouse": str(settings.warehouse),
        }
    if as_json:
        click.echo(printable_json(json.dumps(summary, ensure_ascii=False, indent=2)))
    else:
        _show(summary)


def _show(summary: dict[str, Any]) -> None:
    from rich.console import Console  # noqa: PLC0415 - not needed with --json
    from rich.table import Table  # noqa: PLC0415 - not needed with --json

    console = Console(file=sys.stdout, highlight=False)
    state = "loaded" if summary["succeeded"] else "loaded with faults"
    seconds = f" in {summary['seconds']:.1f} s" if summary["seconds"] is not None else ""
    console.print(f"{summary['first_day']} to {summary['last_day']} {state}{seconds}")
    table = Table("app", box=None, pad_edge=False)
    columns = ("livestreams", "sessions", "quarantined", "requests", "retries")
    for column in columns:
        table.add_column(column, justify="right")
    for app in summary["apps"]:
        table.add_row(printable(app["app_id"]), *("-" if app[name] is None else f"{app[name]:,}" for name in columns))
    console.print(table)
    for note in summary["notes"]:
        console.print(printable(note), markup=False)
    for warning in summary["warnings"]:
        console.print(f"Odd: {printable(warning)}", markup=False)
    if summary["quarantined"]:
        console.print("Set aside, since no rule could read them (all of it: ops.quarantine):")
        for entry in summary["quarantined"]:
            console.print(f"  {printable(set_aside(entry))}", markup=False)
    query = "select day, sum(ingest_seconds) from core.livestream_sessions group by day order by day"
    console.print(f"Warehouse: {summary['warehouse']}", markup=False, soft_wrap=True)
    console.print(f'Query it:  {command_name(summary["warehouse"])} sql "{query}"', markup=False, soft_wrap=True)
