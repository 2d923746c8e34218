"""A statement for the terminal."""

import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal

from rich.table import Table
from rich.text import Text

from pipelines.cli.console import draw_at_full_width
from pipelines.cli.statement_files import describe_cause
from pipelines.statement.assumptions import describe_assumptions
from pipelines.statement.changes import Figure
from pipelines.statement.figures import COST
from pipelines.statement.read import Completeness, Line, Statement
from pipelines.text import printable

_LEAST_SHOWN = Decimal("0.005")


def show_statement(statement: Statement, closed_as: int | None) -> None:
    """Print the figures, the assumptions, how complete they are, and what changed since the month was closed.

    `closed_as`: the number under which the statement has just been kept, if it has.
    """
    state = "complete" if statement.is_complete else "INCOMPLETE: figures can still change"
    lines = [
        f"{statement.month:%Y-%m} by {statement.by}, as of {statement.as_of:%Y-%m-%d %H:%M} UTC ({state})",
        "",
        *_draw_figures(statement),
        "",
        *describe_assumptions(statement),
        "",
        *map(_describe_completeness, statement.completeness),
        *(
            f"{app.app_id}: nothing of this month is loaded; its loaded months are {app.first_month:%Y-%m} to {app.last_month:%Y-%m}."
            for app in statement.unloaded_apps
        ),
        "",
        *_describe_changes(statement, closed_as),
    ]
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))


def _draw_figures(statement: Statement) -> list[str]:
    has_allowance = any(line.included_minutes is not None for line in statement.lines)
    names = [
        statement.by,
        "item",
        "quantity",
        "rate",
        "dollars",
        *(["included", "beyond", "dollars beyond"] * has_allowance),
    ]
    rows = []
    previous: str | None = ""
    for line in statement.lines:
        name = "total" if line.holder is None else line.holder
        cells = [name if line.holder != previous else "", line.item, *_figures(line)]
        if has_allowance:
            cells += [_number(line.included_minutes), _number(line.overage_minutes), _dollars(line.overage_dollars)]
        previous = line.holder
        rows.append(cells)
    return _draw(names, rows, right=range(2, len(names)))


def _figures(line: Line) -> list[str]:
    if line.item == COST.name:
        return ["", "", "unknown" if line.dollars is None else _dollars(line.dollars)]
    if line.quantity is None:
        return ["unknown", "", ""]
    quantity = f"{line.quantity:,.0f}" if line.unit == "sessions" else f"{line.quantity:,.1f}"
    return [quantity, "" if line.rate is None else f"{line.rate:g}", _dollars(line.dollars)]


def _draw(names: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int]) -> list[str]:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for n, name in enumerate(names):
        table.add_column(Text(name), justify="right" if n in right else "left", no_wrap=True)
    for cells in rows:
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return draw_at_full_width(table)  # a figure is never cut, so a narrow terminal wraps the lines


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def _dollars(value: Decimal | None) -> str:
    if value is None:
        return ""
    return f"{value:,.6f}" if 0 < abs(value) < _LEAST_SHOWN else f"{value:,.2f}"


def _describe_completeness(app: Completeness) -> str:
    if app.is_complete:
        text = f"all {app.days_in_month} days are known and final"
    else:
        days = f"{app.days_known}, {app.meeting_days_known} and {app.recording_days_known} of {app.days_in_month} days"
        text = f"sessions, meetings and recordings of {days} are known"
    details = [
        f"{what}: {count:,}"
        for count, what in (
            (app.provisional_sessions, "sessions that can still change"),
            (app.quarantined_records, "records in quarantine, which are not counted"),
            (app.sessions_without_figures, "sessions that report no figures"),
        )
        if count
    ]
    return f"{app.app_id}: {'; '.join([text, *details])}."


def _describe_changes(statement: Statement, closed_as: int | None) -> list[str]:
    closed = statement.closed
    if closed is None and closed_as is not None:
        return [f"Closed as statement {closed_as}: later statements of this month say what changed, and why."]
    if closed is None:
        return [f"Not closed: `livehouse statement {statement.month:%Y-%m} --close` keeps these figures."]
    last = f"statement {closed.number}, closed {closed.closed_at:%Y-%m-%d %H:%M} UTC"
    if not statement.changes:
        return [f"Nothing has changed since {last}."]
    rows = []
    for change in statement.changes:
        figures = [_figure(change.stated), _figure(change.now)]
        name = "total" if change.holder is None else change.holder
        first, *others = [describe_cause(cause, change.unit) for cause in change.causes] or ["unknown"]
        rows.append([name, change.item, *figures, first])
        rows += [["", "", "", "", other] for other in others]
    return [f"Changed since {last}:", "", *_draw([statement.by, "item", "stated", "now", "why"], rows, right=(2, 3))]


def _figure(value: Figure) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, Decimal):
        return f"${_dollars(value)}"
    return f"{value:,.0f}" if isinstance(value, int) else f"{value:,.1f}"
