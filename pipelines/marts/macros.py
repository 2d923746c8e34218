"""DuckDB macros that the SQL of marts and of the report shares: `sql/macros.sql`."""

import re
from functools import cache

from duckdb import DuckDBPyConnection

from pipelines.marts.sql_files import sql_directory


@cache
def find_macros() -> dict[str, str]:
    """Return the statement that creates each macro, by name; a macro follows those that it uses."""
    text = (sql_directory() / "macros.sql").read_text(encoding="utf-8")
    statements = re.findall(r"^CREATE OR REPLACE TEMP MACRO .+?;$", text, re.MULTILINE | re.DOTALL)
    return {statement.split()[5].partition("(")[0]: statement for statement in statements}


@cache
def macros_used(sql: str) -> tuple[str, ...]:
    """Return the statements that create the macros that a query uses, also by way of other macros."""
    used: dict[str, str] = {}
    text = sql
    for name, statement in reversed(find_macros().items()):
        if re.search(rf"\b{name}\(", text):
            used[name] = statement
            text += statement.partition(" AS")[2]
    return tuple(reversed(used.values()))


def create_macros(connection: DuckDBPyConnection, *queries: str) -> None:
    """Create the macros that queries use. They are temporary, so the warehouse may be read-only."""
    if statements := dict.fromkeys(statement for sql in queries for statement in macros_used(sql)):
        connection.execute("\n".join(statements))
