"""Checks: each file in `sql/checks/` selects the rows that offend, and passes when there are none.

A file is named TABLE__RULE.sql. Its head comment says what is checked, and whether an offence blocks
publishing (`-- severity: block`: the figures are wrong) or warns (`-- severity: warn`: look at it).
"""

import re
from dataclasses import dataclass
from typing import Any

import duckdb

from pipelines.errors import LivehouseError
from pipelines.report.marts import sql_directory

ROWS_SHOWN = 20


@dataclass(frozen=True)
class Check:
    """One check, as its file tells."""

    table: str
    rule: str
    meaning: str
    blocks: bool
    sql: str


@dataclass(frozen=True)
class Verdict:
    """How many rows offend, and the first of them."""

    offending: int
    columns: list[str]
    rows: list[tuple[Any, ...]]

    @property
    def passed(self) -> bool:
        """Whether nothing offends."""
        return self.offending == 0

    def complaint(self, rule: str) -> str:
        """What is wrong, to be followed by what the rule means."""
        return f"{self.offending:,} row{' breaks' if self.offending == 1 else 's break'} `{rule}`"


def find_checks() -> tuple[Check, ...]:
    """Every check, by table and rule."""
    found = []
    for path in sorted((sql_directory() / "checks").glob("*.sql")):
        table, separator, rule = path.stem.partition("__")
        sql = path.read_text(encoding="utf-8")
        severity = re.search(r"^-- severity: (block|warn)$", sql, re.MULTILINE)
        if not separator or not severity:
            raise LivehouseError(f"{path}: name it TABLE__RULE.sql, with `-- severity: block` or `warn` in its head")
        head = sql[: severity.start()]
        meaning = " ".join(line.removeprefix("--").strip() for line in head.splitlines())
        found.append(Check(table, rule, meaning.strip(), severity[1] == "block", sql))
    return tuple(found)


def run_check(connection: duckdb.DuckDBPyConnection, check: Check) -> Verdict:
    """Run one check. Counts all offending rows and keeps the first `ROWS_SHOWN`."""
    result = connection.execute(check.sql)
    columns = [column[0] for column in result.description or []]
    rows = result.fetchmany(ROWS_SHOWN)
    offending = len(rows)
    while more := result.fetchmany(10_000):
        offending += len(more)
    return Verdict(offending, columns, rows)
