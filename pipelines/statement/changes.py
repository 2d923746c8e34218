"""Differences from a closed month: each is divided among causes found in the records.

The records behind the closed statement are kept (`ops.statement_records`), so each cause is a comparison of then and now, and
the parts add up. A part for which no record differs has the cause `unknown`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import duckdb

from pipelines.catalog.cost import STATEMENT_ALLOWANCES, STATEMENTS
from pipelines.statement.figures import COST, ITEMS, Item, Level, Row, add, group_by, last_day_of, query, to_dollars
from pipelines.statement.records import RECORD_CHANGES

UNKNOWN, RATE_CHANGED, ALLOWANCE_CHANGED, USE_CHANGED = "unknown", "rate changed", "allowance changed", "usage changed"
_TOLERANCE = 1e-6
"""The difference that the order of additions can make: minutes or dollars, and this share of a large figure."""
Figure = float | Decimal | None


@dataclass(frozen=True)
class Cause:
    """A part of a change."""

    cause: str
    change: float
    """In the unit of the figure."""
    records: int | None = None
    """Number of records that differ; None if the terms differ, or the cause is unknown."""
    first_day: date | None = None
    last_day: date | None = None
    examples: list[str] = field(default_factory=list)
    """At most three of them: session ids, or days."""


@dataclass(frozen=True)
class Change:
    """A figure that differs from the closed statement."""

    level: Level
    holder: str | None
    item: str
    unit: str
    stated: Figure
    now: Figure
    causes: list[Cause]


def read_changes(
    connection: duckdb.DuckDBPyConnection,
    month: date,
    number: int,
    rows: Sequence[Row],
    allowances: Sequence[Row],
    by: Level,
) -> list[Change]:
    """Compare the current rows of marts.monthly_cost and marts.monthly_allowance with a closed statement."""
    stated = query(connection, f"FROM {STATEMENTS.full_name} WHERE month = ? AND number = ?", month, number)
    steps = query(connection, RECORD_CHANGES, first=month, last=last_day_of(month))
    key = "app_id" if by == "app" else "customer"
    changes: list[Change] = []
    before, now, differences = (group_by(source, key) for source in (stated, rows, steps))
    for holder in sorted(before.keys() | now.keys()):
        changes += _compare(by, holder, before.get(holder, []), now.get(holder, []), differences.get(holder, []))
    changes += _compare("total", None, stated, rows, steps)
    return changes + list(_compare_allowances(connection, month, number, allowances, by))


def _compare(
    level: Level, holder: str | None, stated: Sequence[Row], rows: Sequence[Row], steps: Sequence[Row]
) -> Iterator[Change]:
    for item in ITEMS:
        before, now = (add(item.quantity(row) for row in source) for source in (stated, rows))
        causes = _merge(_cause(step, step[item.name] or 0) for step in steps)
        if change := _explain(level, holder, item, before, now, causes):
            yield change
    before = add(None if row["cost"] is None else to_dollars(row["cost"]) for row in stated)
    now = add(row["cost"] for row in rows)
    causes = _merge([*_price_steps(stated, rows, steps), *_price_rates(stated, rows)])
    if change := _explain(level, holder, COST, before, now, causes):
        yield change


def _explain(
    level: Level, holder: str | None, item: Item, before: Figure, now: Figure, causes: list[Cause]
) -> Change | None:
    """Return a change whose causes add up to it; None if nothing differs, not even by parts that cancel out."""
    size = max(abs(float(before or 0)), abs(float(now or 0)), 1.0)
    causes = [cause for cause in causes if abs(cause.change) > _TOLERANCE * size]
    rest = float(now or 0) - float(before or 0) - sum(cause.change for cause in causes)
    if abs(rest) > _TOLERANCE * size * (2 + len(causes)):
        causes.append(Cause(UNKNOWN, rest))
    if not causes and (before is None) == (now is None):
        return None
    return Change(level, holder, item.name, item.unit, before, now, causes)


def _cause(step: Row, change: float) -> Cause:
    return Cause(step["cause"], change, step["records"], step["first_day"], step["last_day"], step["examples"])


def _merge(parts: Iterable[Cause]) -> list[Cause]:
    """Add up the parts of each cause, leaving out parts without a change."""
    merged: dict[str, Cause] = {}
    for part in parts:
        if not part.change:
            continue
        other = merged.get(part.cause)
        merged[part.cause] = part if other is None else _add_causes(other, part)
    return list(merged.values())


def _add_causes(one: Cause, other: Cause) -> Cause:
    days = [day for day in (one.first_day, one.last_day, other.first_day, other.last_day) if day]
    return Cause(
        one.cause,
        one.change + other.change,
        add([one.records, other.records]),
        min(days, default=None),
        max(days, default=None),
        sorted({*one.examples, *other.examples})[:3],
    )


def _price_steps(stated: Sequence[Row], rows: Sequence[Row], steps: Sequence[Row]) -> Iterator[Cause]:
    """Yield what each step changed the estimate by, at the rates of the closed statement."""
    rates = {row["app_id"]: row for row in (*rows, *stated)}  # those of the closed statement, if it had the app
    for step in steps:
        prices = rates.get(step["app_id"], {})
        yield _cause(
            step, sum((step[item.name] or 0) * (prices.get(item.rate) or 0) for item in ITEMS if item.rate is not None)
        )


def _price_rates(stated: Sequence[Row], rows: Sequence[Row]) -> Iterator[Cause]:
    """Yield what changed rates changed the estimate by, for the current usage."""
    old = {row["app_id"]: row for row in stated}
    for row in rows:
        if (before := old.get(row["app_id"])) is not None:
            yield Cause(
                RATE_CHANGED,
                sum(
                    (item.quantity(row) or 0) * ((row[item.rate] or 0) - (before[item.rate] or 0))
                    for item in ITEMS
                    if item.rate is not None
                ),
            )


def _compare_allowances(
    connection: duckdb.DuckDBPyConnection, month: date, number: int, allowances: Sequence[Row], by: Level
) -> Iterator[Change]:
    """Yield differences of minutes beyond an allowance and of their cost: first by usage, then by the terms."""
    sql = f"FROM {STATEMENT_ALLOWANCES.full_name} WHERE month = ? AND number = ? AND holder_type = ?"
    stated = {(row["holder"], row["measure"]): row for row in query(connection, sql, month, number, by)}
    current = {(row["holder"], row["measure"]): row for row in allowances if row["holder_type"] == by}
    for holder, measure in sorted(stated.keys() | current.keys()):
        old, new = (source.get((holder, measure)) for source in (stated, current))
        before, now = (None if row is None else row["overage_minutes"] for row in (old, new))
        used = (new or old or {})["used_minutes"]
        middle = None if old is None or used is None else max(used - old["included_minutes"], 0.0)
        name = f"{measure} beyond the allowance"
        causes = _split(before, middle, now)
        if causes or (before is None) != (now is None):
            yield Change(by, holder, name, "minutes", before, now, causes)
        before, now = (None if row is None else row["overage_cost"] for row in (old, new))
        before = None if before is None else to_dollars(before)
        rate = None if old is None else old["overage_rate"]
        causes = _split(before, None if middle is None or rate is None else middle * rate, now)
        if causes or (before is None) != (now is None):
            yield Change(by, holder, f"{name}, cost", "US dollars", before, now, causes)


def _split(before: Figure, middle: float | None, now: Figure) -> list[Cause]:
    """Divide a difference between usage, which changes `before` to `middle`, and the terms, which change that to `now`."""
    start, end = float(before or 0), float(now or 0)
    middle = start if middle is None else middle
    parts = [Cause(USE_CHANGED, middle - start), Cause(ALLOWANCE_CHANGED, end - middle)]
    size = max(abs(start), abs(end), 1.0)
    return [part for part in parts if abs(part.change) > _TOLERANCE * size]
