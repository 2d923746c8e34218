"""Questions put together from form fields: the rows of one table, grouped, and a figure of each group.

The result is SQL, which is shown, and runs as any other query of the page.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.catalog.streams import CORE_TABLES
from pipelines.catalog.types import SQL_TYPES
from pipelines.marts.columns import read_columns, read_description
from pipelines.marts.sql_files import sql_directory
from pipelines.text import quoted

SUMMARIES = {"sum": "sum", "average": "avg", "median": "median", "smallest": "min", "largest": "max"}
"""Functions of SQL by the name that the form shows."""

FIRST_TABLE = "marts.daily_usage"

_NUMBERS = ("BIGINT", "DOUBLE", "DECIMAL(18,6)")
_PERIODS = {
    "DATE": {
        "{}": "{}",
        "{}, week": "date_trunc('week', {})::DATE",
        "{}, month": "date_trunc('month', {})::DATE",
        "{}, weekday": "strftime({}, '%u %A')",
    },
    "TIMESTAMP": {"{}, day": "{}::DATE", "{}, hour of the day": "hour({})"},
}
"""Groupings of a day or time: the label, and the expression. Weekdays begin with their number, which sorts them."""


@dataclass(frozen=True)
class Source:
    """A table that a question can be about."""

    name: str
    description: str
    types: Mapping[str, str]
    """The SQL type of each column."""
    units: Mapping[str, str]

    @property
    def title(self) -> str:
        """The first sentence of its description."""
        return re.split(r"[.:](?:\s|$)", self.description)[0]

    @property
    def groupings(self) -> dict[str, str]:
        """Expressions that rows can be grouped by, by their label."""
        found: dict[str, str] = {}
        for name, kind in self.types.items():
            if kind in _PERIODS:
                found |= {label.format(name): sql.format(name) for label, sql in _PERIODS[kind].items()}
            elif kind in {"VARCHAR", "BOOLEAN"}:
                found[name] = name
        return found

    @property
    def figures(self) -> list[str]:
        """The columns that can be summarized."""
        return [name for name, kind in self.types.items() if kind in _NUMBERS]

    @property
    def day(self) -> str | None:
        """The column that a range of days restricts."""
        return next((name for name, kind in self.types.items() if kind == "DATE"), None)


@dataclass(frozen=True)
class Question:
    """The values of the form. Empty ones restrict nothing."""

    groups: Sequence[str] = ()
    figures: Sequence[str] = ()
    summary: str = "sum"
    first_day: str = ""
    last_day: str = ""
    only: Mapping[str, str] = field(default_factory=dict)
    """The text that a column must have, by column."""


def find_sources() -> dict[str, Source]:
    """Return the marts and the core tables by name."""
    marts = []
    # Not by `find_marts`: its module forbids the import of pandas, which marimo tries.
    for path in sorted((sql_directory() / "marts").glob("*.sql")):
        sql = path.read_text(encoding="utf-8")
        columns = read_columns(sql)
        marts.append(
            Source(
                f"marts.{path.stem}",
                read_description(sql),
                {name: column.sql_type for name, column in columns.items()},
                {name: column.unit for name, column in columns.items()},
            )
        )
    core = [
        Source(
            table.full_name,
            table.description,
            {column.name: SQL_TYPES[column.logical_type] for column in table.columns},
            {column.name: column.logical_type for column in table.columns},
        )
        for table in CORE_TABLES
    ]
    return {source.name: source for source in (*marts, *sorted(core, key=lambda source: source.name))}


def build_query(source: Source, question: Question) -> str:
    """Return the query. Beside each figure it counts the rows whose value is unknown, which no summary includes."""
    groups = [f'{source.groupings[label]} AS "{label}"' for label in question.groups]
    figures = [
        part
        for name in question.figures
        for part in (
            f"{SUMMARIES[question.summary]}({name}) AS {name}_{question.summary}",
            f"count(*) - count({name}) AS {name}_unknown_rows",
        )
    ]
    conditions = [
        f"{source.day} {side} {quoted(day)}::DATE"
        for side, day in ((">=", question.first_day), ("<=", question.last_day))
        if day and source.day
    ]
    conditions += [f"{name}::VARCHAR = {quoted(text)}" for name, text in question.only.items() if text]
    selected = ",\n    ".join([*groups, *figures, "count(*) AS rows"])
    parts = [f"SELECT\n    {selected}", f"FROM {source.name}"]
    if conditions:
        parts.append("WHERE " + "\n    AND ".join(conditions))
    if groups:
        numbers = ", ".join(f"{number}" for number in range(1, len(groups) + 1))
        parts += [f"GROUP BY {numbers}", f"ORDER BY {numbers}"]
    return "\n".join(parts)
