"""The figures of a statement, each declared once: where it comes from, its unit, and what its price is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

import duckdb

Row = Mapping[str, Any]
DOLLARS = Decimal("0.000001")
"""Amounts are exact to this, as in marts.monthly_cost."""


@dataclass(frozen=True)
class Item:
    """One line of a statement."""

    name: str
    column: str
    """Column of marts.monthly_cost and ops.statements."""
    divisor: int = 1
    """From that column's unit to minutes."""
    unit: str = "minutes"
    rate: str | None = None
    """Column with the price of a minute; None if none is published."""
    cost: str | None = None
    """Column of marts.monthly_cost with the amount."""
    has_customers: bool = True
    """Whether customers have this figure, or only apps."""

    def quantity(self, row: Row) -> float | int | None:
        """Return the quantity in a row, in the item's unit; None if it is unknown."""
        value: float | int | None = row[self.column]
        return value if value is None or self.divisor == 1 else value / self.divisor


ITEMS = (
    Item("sessions", "sessions", unit="sessions"),
    Item("viewer_minutes", "viewer_seconds", 60),
    Item("ingest_minutes", "ingest_seconds", 60),
    Item("meeting_ingest_minutes", "meeting_ingest_seconds", 60, rate="export_rate", cost="export_cost"),
    Item("recording_minutes", "recording_minutes", rate="export_rate", cost="recording_cost", has_customers=False),
    Item("meeting_minutes", "meeting_minutes", rate="participant_rate", cost="meeting_cost", has_customers=False),
)
COST = Item("cost", "cost", unit="US dollars", cost="cost")
"""The sum of the amounts."""

Level = Literal["app", "customer", "total"]


def query(connection: duckdb.DuckDBPyConnection, sql: str, *parameters: object, **named: object) -> list[Row]:
    """Return the rows of a query by column name."""
    cursor = connection.execute(sql, named or list(parameters))
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def last_day_of(month: date) -> date:
    """Return the last day of the month that begins on this day."""
    return (month + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def add(values: Iterable[Any]) -> Any:  # noqa: ANN401 - numbers of one type
    """Return the sum of the known values; None if none is known."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None


def group_by(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    """Return the rows by the value of a column."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row[key], []).append(row)
    return groups


def only(values: Iterable[Any]) -> Any:  # noqa: ANN401 - any value
    """Return the value that all have in common; None if they differ or there are none."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def to_dollars(amount: float) -> Decimal:
    """Return an amount as marts.monthly_cost rounds it."""
    return Decimal(repr(amount)).quantize(DOLLARS)
