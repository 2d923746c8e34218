"""A statement as CSV or JSON."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pipelines.export import query_results
from pipelines.statement.assumptions import describe_assumptions
from pipelines.statement.changes import Cause, Change
from pipelines.statement.read import Statement
from pipelines.text import printable_json

_COLUMNS = {
    "month": "varchar",
    "level": "varchar",
    "name": "varchar",
    "item": "varchar",
    "unit": "varchar",
    "quantity": "double",
    "rate": "double",
    "dollars": "decimal",
    "included_minutes": "double",
    "overage_minutes": "double",
    "overage_rate": "double",
    "overage_dollars": "decimal",
    "closed_at": "timestamp",
    "stated": "double",
    "change": "double",
    "causes": "varchar",
    "is_complete": "boolean",
    "as_of": "timestamp",
}
"""The columns of the CSV and their types."""

_RATES = ("rate", "overage_rate")
"""Columns that are not rounded: millions of minutes are multiplied by them."""


def write_csv(statement: Statement) -> None:
    """Write one row for each figure, with what changed since the month was closed."""
    rows = (tuple(_format(name, row.get(name)) for name in _COLUMNS) for row in _build_rows(statement))
    query_results.write_csv(
        query_results.Result(list(_COLUMNS), list(_COLUMNS.values()), rows), sys.stdout, for_spreadsheet=True
    )


def _build_rows(statement: Statement) -> Iterator[dict[str, Any]]:
    whole = {"month": f"{statement.month:%Y-%m}", "is_complete": statement.is_complete, "as_of": statement.as_of}
    closed = {"closed_at": statement.closed.closed_at} if statement.closed else {}
    changes = {(change.level, change.holder, change.item): change for change in statement.changes}
    for line in statement.lines:
        change = changes.pop((line.level, line.holder, line.item), None)
        yield whole | closed | asdict(line) | {"name": line.holder} | _describe_change(change)
    for change in changes.values():  # an app or customer without usage by now, or an allowance
        figure = {"dollars" if isinstance(change.now, Decimal) else "quantity": change.now}
        yield whole | closed | asdict(change) | {"name": change.holder} | figure | _describe_change(change)


def _describe_change(change: Change | None) -> dict[str, Any]:
    if change is None:
        return {}
    total = sum(cause.change for cause in change.causes)
    return {
        "stated": change.stated,
        "change": total,
        "causes": "; ".join(describe_cause(cause, change.unit) for cause in change.causes),
    }


def describe_cause(cause: Cause, unit: str) -> str:
    """Return a cause in words: its part, the number of records, their days and some of them."""
    part = f"{cause.change:+,.0f}" if unit == "sessions" else f"{cause.change:+,.6f}".rstrip("0").rstrip(".")
    text = f"{cause.cause}: {part}"  # a cell that begins with the sign would be a formula
    if cause.records is None:
        return text
    days = f"{cause.first_day}" if cause.first_day == cause.last_day else f"{cause.first_day} to {cause.last_day}"
    more = ", …" if cause.records > len(cause.examples) else ""
    return f"{text} ({cause.records:,} record{'' if cause.records == 1 else 's'}, {days}: {', '.join(cause.examples)}{more})"


def _format(column: str, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value if column in _RATES else round(value, 6))
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def write_json(statement: Statement) -> None:
    """Write one object with everything that the statement says."""
    content = asdict(statement) | {"month": f"{statement.month:%Y-%m}", "assumptions": describe_assumptions(statement)}
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=1, default=_encode)
    sys.stdout.write(printable_json(text) + "\n")


def _encode(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    assert isinstance(value, date | datetime)  # noqa: S101 - the other types of a statement are JSON's
    return value.isoformat()
