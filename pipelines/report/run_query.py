"""Run the page's queries."""

import re
from math import isfinite
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from pipelines.marts.macros import create_macros

Column = list[Any]
Columns = dict[str, Column]


def read_query(connection: DuckDBPyConnection, query: str, parameters: dict[str, Any]) -> Columns:
    """Run a file of `queries/` with those of the parameters that it names, and return its columns."""
    sql = (Path(__file__).parent / "queries" / f"{query}.sql").read_text(encoding="utf-8")
    body = "\n".join(line for line in sql.splitlines() if not line.startswith("--"))
    named = {name: parameters[name] for name in re.findall(r"\$(\w+)", body)}
    create_macros(connection, body)
    result = connection.execute(body, named)
    names = [column[0] for column in result.description or ()]
    rows = result.fetchall()
    return {name: [_finite_or_none(row[n]) for row in rows] for n, name in enumerate(names)}


def _finite_or_none(value: Any) -> Any:  # noqa: ANN401 - a cell of any type
    """Return None for a sum beyond what a DOUBLE holds: it is unknown, and JSON has no infinity."""
    return None if isinstance(value, float) and not isfinite(value) else value
