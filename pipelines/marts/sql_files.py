"""The directory of the SQL files, and the tables that a text of SQL names."""

import re
from pathlib import Path

_TABLE_NAME = re.compile(r"\b(?:raw|core|marts|ops)\.\w+")


def sql_directory() -> Path:
    """Return `sql/`: inside the package once installed, beside it in a checkout."""
    here = Path(__file__).resolve()
    inside = here.parents[1] / "sql"
    return inside if inside.is_dir() else here.parents[2] / "sql"


def named_tables(*queries: str) -> set[str]:
    """Return the full names of tables in queries, without parsing them: names in comments and texts are among them."""
    return {name for query in queries for name in _TABLE_NAME.findall(query)}
