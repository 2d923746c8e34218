"""The columns of marts, as the heads of their files describe them."""

import re
from typing import NamedTuple

_SQL_TYPES = {
    **dict.fromkeys(("id", "text"), "VARCHAR"),
    **dict.fromkeys(("UTC day", "first day of the month"), "DATE"),
    **dict.fromkeys(("count", "days", "rank", "hour of the day, 0 to 23, UTC"), "BIGINT"),
    "UTC time": "TIMESTAMP",
    "flag": "BOOLEAN",
    "sessions by milliseconds": "MAP(BIGINT, UBIGINT)",
    "US dollars": "DECIMAL(18,6)",
}
"""The SQL type of columns with these units; all others are measures."""


class MartColumn(NamedTuple):
    """Unit and description of a column."""

    unit: str
    description: str

    @property
    def sql_type(self) -> str:
        """The SQL type of its values, known without building the mart."""
        return _SQL_TYPES.get(self.unit, "DOUBLE")


def read_columns(sql: str) -> dict[str, MartColumn]:
    """Return the columns of a mart by name, in order."""
    found = re.findall(r"^-- column: (\w+) \((.+?)\): (.+)$", sql, re.MULTILINE)
    return {name: MartColumn(unit, description) for name, unit, description in found}


def read_description(sql: str) -> str:
    """Return the lines that describe a mart."""
    return "\n".join(line.removeprefix("-- ") for line in sql.partition("\n-- grain:")[0].splitlines())
