"""Print the summary of a run on one screen."""

import json
import re
from collections.abc import Iterator
from datetime import date
from importlib.util import find_spec
from typing import Any

import click

from pipelines.cli.jobs import Outcome
from pipelines.cli.program_name import build_program_name
from pipelines.errors import WarehouseError
from pipelines.settings.settings import Settings
from pipelines.steps.summary import describe_quarantine, summarize
from pipelines.storage.warehouse import open_warehouse
from pipelines.text import printable, printable_json

_APPS_SHOWN, _LINES_SHOWN = 8, 3
"""The number of apps, and of lines of each section, that fit on one screen."""


def show_summary(
    settings: Settings, outcome: Outcome, job: str, days: tuple[date, date], *, seconds: float, as_json: bool
) -> None:
    """Print the summary of a run, which took `seconds` on the clock, to stdout, with figures from the published warehouse.

    If a reader has that file locked, the summary has a warning instead of figures: the run itself has not failed.
    """
    warehouse = open_warehouse(settings)
    exists = warehouse.exists()
    warnings = list(outcome.warnings)
    figures: dict[str, Any] = {"apps": [], "quarantined": [], "notes": []}
    if exists:
        try:
            with warehouse.open_published() as connection:
                figures = summarize(connection, outcome.run_id)
        except WarehouseError as error:
            warnings.append(f"cannot read the figures of this run: {error}")
    summary = {
        "run_id": outcome.run_id,
        "job": job,
        "succeeded": not outcome.errors,
        "first_day": f"{days[0]}",
        "last_day": f"{days[1]}",
        "caught_up": outcome.caught_up,
        "seconds": round(seconds, 1),
        **figures,
        "warnings": warnings,
        "errors": [str(error) for error in outcome.errors],
        "warehouse": warehouse.address,
    }
    if as_json:
        click.echo(printable_json(json.dumps(summary, ensure_ascii=False, indent=2)))
    elif exists:
        print_summary(summary, build_program_name(settings))


def print_summary(summary: dict[str, Any], program_name: str = "livehouse") -> None:
    """Print the summary that `show_summary` has collected, as text of at most one screen.

    `program_name` is the command with which the user calls livehouse on this warehouse.
    """
    from pipelines.cli.console import OutputConsole

    console = OutputConsole()

    def line(text: str) -> None:
        console.print(printable(text), markup=False, soft_wrap=not console.is_terminal)

    done = "rebuilt" if summary["job"] == "rebuild" else "loaded"
    state = done if summary["succeeded"] else f"{done} with errors" if summary["apps"] else f"not {done}"
    line(f"{summary['first_day']} to {summary['last_day']} {state} in {summary['seconds']:.1f} s")
    if summary["caught_up"]:
        line(f"{summary['caught_up']}.")
    if summary["apps"]:
        console.print(_apps_table(summary["apps"]))
    warnings = _group_warnings(summary["warnings"])
    quarantined = [f"  {describe_quarantine(entry)}" for entry in summary["quarantined"]]
    if quarantined:
        quarantined = ["Quarantined, because no rule accepts a value (all records: ops.quarantine):", *quarantined]
    is_cut = False
    for lines, shown in ((summary["notes"], _LINES_SHOWN), (warnings, _LINES_SHOWN), (quarantined, 2 * _LINES_SHOWN)):
        for text in lines[:shown]:
            line(text)
        if len(lines) > shown:
            line(f"… and {len(lines) - shown} more like this")
            is_cut = True
    if summary["succeeded"] or summary["apps"]:  # else nothing new was loaded, and the error is printed next
        line(f"Warehouse: {summary['warehouse']}{' (--json lists all of the above)' if is_cut else ''}")
        for text in _list_next_steps(program_name, has_warnings=bool(warnings)):
            console.print(printable(text), markup=False, soft_wrap=True)  # unbroken, so that it can be copied


def _list_next_steps(program_name: str, *, has_warnings: bool) -> Iterator[str]:
    query = "select day, sum(ingest_seconds) from core.livestream_sessions group by day order by day"
    yield f'Query it:  {program_name} sql "{query}"'
    if has_warnings:
        yield f"Verify it: {program_name} sql --example can_it_be_trusted"
    explore = f"    {program_name} explore --open" if find_spec("marimo") else ""
    yield f"View it:   {program_name} report --open{explore}    {program_name} ui"


def _group_warnings(warnings: list[str]) -> list[str]:
    """Return one line per check that failed, for however many tables it failed."""
    by_rule: dict[str, list[str]] = {}
    for warning in warnings:
        rule = re.search(r"`(\w+)`", warning)
        by_rule.setdefault(rule[1] if rule else warning, []).append(warning)
    by_rule.pop("quarantine_empty", None)  # quarantined records have their own section
    return [
        f"Warning: {group[0]}{f' ({len(group) - 1} more like this)' if len(group) > 1 else ''}"
        for group in by_rule.values()
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
