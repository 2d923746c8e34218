"""What a run did, on one screen."""

import json
import sys
from datetime import date
from typing import Any

import click

from pipelines.cli.jobs import Outcome
from pipelines.cli.text import command_name, printable, printable_json
from pipelines.load.frames import read_frame
from pipelines.load.store import open_store
from pipelines.settings import Settings

_TOTALS = """
    SELECT app_id,
        max(rows_landed) FILTER (table_name = 'core.livestreams') AS livestreams,
        max(rows_landed) FILTER (table_name = 'core.livestream_sessions') AS sessions,
        sum(rows_quarantined) FILTER (starts_with(table_name, 'core.'))::BIGINT AS quarantined,
        sum(api_requests)::BIGINT AS requests, sum(api_retries)::BIGINT AS retries
    FROM ops.loads WHERE run_id = ? GROUP BY app_id ORDER BY app_id
"""
_SECONDS = "SELECT round(epoch(max(finished_at) - min(started_at)), 1) AS seconds FROM ops.loads WHERE run_id = ?"
_QUARANTINE = """
    SELECT table_name, field, reason, count(*) AS records FROM ops.quarantine WHERE run_id = ?
    GROUP BY ALL ORDER BY records DESC, table_name, field LIMIT 8
"""
_NOTES = """
    SELECT app_id || ': ' || note AS note FROM ops.loads
    WHERE run_id = ? AND note IS NOT NULL AND NOT starts_with(note, 'failed')
"""


def show_summary(settings: Settings, outcome: Outcome, days: tuple[date, date], *, quiet: bool, as_json: bool) -> None:
    """Print the summary of a run to stdout; nothing where nothing was ever published."""
    warehouse = open_store(settings)
    if quiet or not warehouse.is_there():
        return
    with warehouse.open_published() as connection:
        summary: dict[str, Any] = {
            "run_id": outcome.run_id,
            "succeeded": not outcome.errors,
            "first_day": f"{days[0]}",
            "last_day": f"{days[1]}",
            **read_frame(connection, _SECONDS, [outcome.run_id]).to_dicts()[0],
            "apps": read_frame(connection, _TOTALS, [outcome.run_id]).to_dicts(),
            "quarantined": read_frame(connection, _QUARANTINE, [outcome.run_id]).to_dicts(),
            "notes": read_frame(connection, _NOTES, [outcome.run_id])["note"].to_list(),
            "warnings": outcome.warnings,
            "errors": [str(error) for error in outcome.errors],
            "warehouse": warehouse.address,
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
            line = f"  {entry['records']} in {entry['table_name']}: {entry['field']} is {entry['reason']}"
            console.print(printable(line), markup=False)
    query = "select day, sum(ingest_seconds) from core.livestream_sessions group by day order by day"
    console.print(f"Warehouse: {summary['warehouse']}", markup=False, soft_wrap=True)
    console.print(f'Query it:  {command_name(summary["warehouse"])} sql "{query}"', markup=False, soft_wrap=True)
