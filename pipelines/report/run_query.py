"""Run the page's queries."""

import re
from math import isfinite
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from pipelines.marts.macros import create_macros
from pipelines.marts.sql_files import named_tables

_FLOATS = ("DOUBLE", "FLOAT")

_QUERIES = Path(__file__).parent / "queries"

Column = list[Any]
Columns = dict[str, Column]


def tables_of_page() -> set[str]:
    """Return the tables that the page's queries name."""
    return named_tables(*(path.read_text(encoding="utf-8") for path in _QUERIES.glob("*.sql")))


def read_query(connection: DuckDBPyConnection, query: str, parameters: dict[str, Any]) -> Columns:
    """Run a file of `queries/` with those of the parameters that it names, and return its columns."""
    sql = (_QUERIES / f"{query}.sql").read_text(encoding="utf-8")
    body = "\n".join(line for line in sql.splitlines() if not line.startswith("--"))
    named = {name: parameters[name] for name in re.findall(r"\$(\w+)", body)}
    create_macros(connection, body)
    result = connection.execute(body, named)
    described = result.description or []
    rows = result.fetchall()
    columns = zip(*rows, strict=True) if rows else [()] * len(described)
    return {
        name: [*map(_finite_or_none, values)] if str(sql_type) in _FLOATS else list(values)
        for (name, sql_type, *_), values in zip(described, columns, strict=True)
    }


def _finite_or_none(value: float | None) -> float | None:
    """Return None for a sum beyond what a DOUBLE holds: it is unknown, and JSON has no infinity."""
    return value if value is None or isfinite(value) else None
