"""What a run did, on one screen."""

import json
import re
from collections.abc import Iterator
from datetime import date
from typing import Any

import click

from pipelines.cli.jobs import Outcome
from pipelines.cli.program_name import command_name
from pipelines.errors import WarehouseError
from pipelines.settings.settings import Settings
from pipelines.steps.summary import set_aside, summarize
from pipelines.storage.warehouse import open_warehouse
from pipelines.text import printable, printable_json

_APPS_SHOWN, _LINES_SHOWN = 8, 3
"""Apps, and lines of each kind, so that it fits a screen, however many apps there are and whatever happened."""


def show_summary(settings: Settings, outcome: Outcome, job: str, days: tuple[date, date], *, as_json: bool) -> None:
    """Print the summary of a run of a job to stdout, of as much as was published.

    A copy that a reader has locked is no fault of the run: the figures are then left out, and a warning says so.
    """
    warehouse = open_warehouse(settings)
    exists = warehouse.exists()
    warnings = list(outcome.warnings)
    figures: dict[str, Any] = {"seconds": None, "apps": [], "quarantined": [], "notes": []}
    if exists:
        try:
            with warehouse.open_published() as connection:
                figures = summarize(connection, outcome.run_id)
        except WarehouseError as locked:
            warnings.append(f"no figures can be shown: {locked}")
    summary = {
        "run_id": outcome.run_id,
        "job": job,
        "succeeded": not outcome.errors,
        "first_day": f"{days[0]}",
        "last_day": f"{days[1]}",
        "caught_up": outcome.caught_up,
        **figures,
        "warnings": warnings,
        "errors": [str(error) for error in outcome.errors],
        "warehouse": warehouse.address,
    }
    if as_json:
        click.echo(printable_json(json.dumps(summary, ensure_ascii=False, indent=2)))
    elif exists:
        print_summary(summary, command_name(settings))


def print_summary(summary: dict[str, Any], command: str = "livehouse") -> None:
    """Print what `show_summary` gathered, for a person: at most a screen, however much it is.

    `command` is how the reader calls livehouse on this warehouse.
    """
    from pipelines.cli.console import OutputConsole

    console = OutputConsole()

    def line(text: str) -> None:
        console.print(printable(text), markup=False, soft_wrap=not console.is_terminal)

    done = "rebuilt" if summary["job"] == "rebuild" else "loaded"
    state = done if summary["succeeded"] else f"{done} with faults" if summary["apps"] else f"not {done}"
    seconds = f" in {summary['seconds']:.1f} s" if summary["seconds"] is not None else ""
    line(f"{summary['first_day']} to {summary['last_day']} {state}{seconds}")
    if summary["caught_up"]:
        line(f"{summary['caught_up']}.")
    if summary["apps"]:
        console.print(_apps_table(summary["apps"]))
    odd = _odd(summary["warnings"])
    aside = [f"  {set_aside(entry)}" for entry in summary["quarantined"]]
    if aside:
        aside = ["Set aside, since no rule could read them (all of it: ops.quarantine):", *aside]
    is_cut = False
    for lines, shown in ((summary["notes"], _LINES_SHOWN), (odd, _LINES_SHOWN), (aside, 2 * _LINES_SHOWN)):
        for told in lines[:shown]:
            line(told)
        if len(lines) > shown:
            line(f"… and {len(lines) - shown} more like this")
            is_cut = True
    if summary["succeeded"] or summary["apps"]:  # else there is nothing new to look at, and the fault is told next
        line(f"Warehouse: {summary['warehouse']}{' (--json tells all of the above)' if is_cut else ''}")
        for what in _to_look_at(command, doubtful=bool(odd)):
            console.print(what, markup=False, soft_wrap=True)  # whole, to be copied


def _to_look_at(command: str, *, doubtful: bool) -> Iterator[str]:
    query = "select day, sum(ingest_seconds) from core.livestream_sessions group by day order by day"
    yield f'Query it:  {command} sql "{query}"'
    if doubtful:
        yield f"Doubtful:  {command} sql --example can_it_be_trusted"
    yield f"Look:      {command} report --open    {command} ui"


def _odd(warnings: list[str]) -> list[str]:
    """A line for each rule that something breaks, however many tables break it."""
    by_rule: dict[str, list[str]] = {}
    for told in warnings:
        rule = re.search(r"`(\w+)`", told)
        by_rule.setdefault(rule[1] if rule else told, []).append(told)
    by_rule.pop("quarantine_empty", None)  # what is set aside is told by itself
    return [
        f"Odd: {told[0]}{f' ({len(told) - 1} more like this)' if len(told) > 1 else ''}" for told in by_rule.values()
    ]


def _apps_table(apps: list[dict[str, Any]]) -> Any:  # noqa: ANN401 - rich is not imported here
    from rich.table import Table

    more = len(apps) - _APPS_SHOWN
    table = Table("app", box=None, pad_edge=False, caption=f"… and {more} more apps" if more > 0 else None)
    table.caption_justify = "left"
    columns = ("livestreams", "sessions", "quarantined", "requests", "retries")
    for column in columns:
        table.add_column(column, justify="right")
    for app in apps[:_APPS_SHOWN]:
        table.add_row(printable(app["app_id"]), *("-" if app[name] is None else f"{app[name]:,}" for name in columns))
    return table
