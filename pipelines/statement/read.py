"""Read a month's statement from the published warehouse, by app or by customer."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import duckdb

from pipelines.catalog.cost import STATEMENTS, UNASSIGNED
from pipelines.errors import UsageError, WarehouseError
from pipelines.statement.changes import Change, read_changes
from pipelines.statement.figures import COST, ITEMS, Item, Level, Row, add, group_by, only, query

By = Literal["app", "customer"]

_UNLOADED = """
    SELECT app_id, min(month) AS first_month, max(month) AS last_month FROM marts.monthly_cost
    GROUP BY app_id HAVING NOT list_contains(list(month), ?) ORDER BY app_id
"""


@dataclass(frozen=True)
class Line:
    """One figure of an app, of a customer, or of all."""

    level: Level
    holder: str | None
    """App or customer; None for the total."""
    item: str
    unit: str
    quantity: float | None
    """None if it is unknown."""
    rate: float | None
    dollars: Decimal | None
    """The estimate; None if no rate is published, or the quantity is unknown."""
    included_minutes: float | None = None
    overage_minutes: float | None = None
    overage_rate: float | None = None
    overage_dollars: Decimal | None = None


@dataclass(frozen=True)
class Completeness:
    """How much of an app's month is known."""

    app_id: str
    days_in_month: int
    days_known: int
    meeting_days_known: int
    recording_days_known: int
    provisional_sessions: int
    quarantined_records: int
    sessions_without_figures: int
    is_complete: bool
    media: str | None
    export_rate: float | None
    participant_rate: float | None


@dataclass(frozen=True)
class UnloadedApp:
    """An app of which only other months are loaded."""

    app_id: str
    first_month: date
    last_month: date


@dataclass(frozen=True)
class Closed:
    """The last statement of the month that was closed."""

    number: int
    closed_at: datetime
    as_of: datetime
    is_complete: bool


@dataclass(frozen=True)
class Statement:
    """A month. Nothing in it depends on the clock, only on the warehouse."""

    month: date
    by: By
    as_of: datetime
    """The latest load of any figure."""
    is_complete: bool
    lines: list[Line]
    completeness: list[Completeness]
    unloaded_apps: list[UnloadedApp]
    closed: Closed | None
    changes: list[Change]
    """Differences from the closed statement."""


def read_statement(connection: duckdb.DuckDBPyConnection, month: date, by: By) -> Statement:
    """Read a statement; `connection` should see one snapshot.

    Raises:
        UsageError: nothing of the month is loaded.
        WarehouseError: no run of this version has published the warehouse.

    """
    try:
        rows = query(connection, "FROM marts.monthly_cost WHERE month = ? ORDER BY app_id, customer", month)
        allowances = query(
            connection, "FROM marts.monthly_allowance WHERE month = ? ORDER BY holder_type, holder, measure", month
        )
        unloaded = [UnloadedApp(**row) for row in query(connection, _UNLOADED, month)]
        closed = read_closed(connection, month)
    except duckdb.CatalogException:
        raise WarehouseError(
            "the warehouse has no marts.monthly_cost yet: run `livehouse nightly`, or `livehouse rebuild DAY DAY` with a loaded day"
        ) from None
    if not rows:
        raise UsageError(f"nothing of {month:%Y-%m} is loaded: {_describe_loaded(connection)}")
    return Statement(
        month=month,
        by=by,
        as_of=max(row["loaded_at"] for row in rows),
        is_complete=all(row["is_complete"] for row in rows)
        and not any(app.first_month < month < app.last_month for app in unloaded),
        lines=_build_lines(rows, allowances, by),
        completeness=_describe_apps(rows),
        unloaded_apps=unloaded,
        closed=closed,
        changes=read_changes(connection, month, closed.number, rows, allowances, by) if closed else [],
    )


def read_closed(connection: duckdb.DuckDBPyConnection, month: date) -> Closed | None:
    """Return the last closed statement of a month."""
    columns = "number, max(closed_at) AS closed_at, max(as_of) AS as_of, bool_and(is_complete) AS is_complete"
    sql = f"SELECT {columns} FROM {STATEMENTS.full_name} WHERE month = ? GROUP BY number ORDER BY number DESC LIMIT 1"
    return next((Closed(**row) for row in query(connection, sql, month)), None)


def _describe_loaded(connection: duckdb.DuckDBPyConnection) -> str:
    [(first, last)] = connection.execute("SELECT min(month), max(month) FROM marts.monthly_cost").fetchall()
    return f"loaded months are {first:%Y-%m} to {last:%Y-%m}" if first else "run `livehouse nightly`"


def _build_lines(rows: Sequence[Row], allowances: Sequence[Row], by: By) -> list[Line]:
    key = "app_id" if by == "app" else "customer"
    terms = {(row["holder"], row["measure"]): row for row in allowances if row["holder_type"] == by}
    # A customer without usage has no row in the month, but may have an allowance.
    groups: dict[str, list[Row]] = {holder: [] for holder, _ in terms}
    groups |= group_by(rows, key)
    lines: list[Line] = []
    for holder, own in sorted(groups.items(), key=lambda group: (group[0] == UNASSIGNED, group[0])):
        items = [item for item in (*ITEMS, COST) if item.has_customers or by == "app" or holder == UNASSIGNED]
        lines += [_build_line(by, holder, item, own, terms.get((holder, item.name))) for item in items]
    lines += [_build_line("total", None, item, rows, None) for item in (*ITEMS, COST)]
    return lines


def _build_line(level: Level, holder: str | None, item: Item, rows: Sequence[Row], allowance: Row | None) -> Line:
    quantity = None if item is COST else add(item.quantity(row) for row in rows)
    if allowance and not rows:
        quantity = allowance["used_minutes"]
    line = Line(
        level,
        holder,
        item.name,
        item.unit,
        quantity,
        rate=only(row[item.rate] for row in rows) if item.rate else None,
        dollars=add(row[item.cost] for row in rows) if item.cost else None,
    )
    if allowance is None:
        return line
    return replace(
        line,
        included_minutes=allowance["included_minutes"],
        overage_minutes=allowance["overage_minutes"],
        overage_rate=allowance["overage_rate"],
        overage_dollars=allowance["overage_cost"],
    )


def _describe_apps(rows: Sequence[Row]) -> list[Completeness]:
    found = []
    for _, own in sorted(group_by(rows, "app_id").items()):
        values: dict[str, Any] = {name: own[0][name] for name in Completeness.__dataclass_fields__}
        values["sessions_without_figures"] = add(row["sessions_without_figures"] for row in own) or 0
        found.append(Completeness(**values))
    return found
