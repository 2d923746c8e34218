"""Checks: each file in `sql/checks/` selects the rows that offend, and passes when there are none.

A file is named TABLE__RULE.sql, or RULE.sql where the same holds for several tables: its head then names a group of them
(`-- tables: GROUP`, one of `GROUPS`), and `{table}` in its text stands for each. The head comment says what is checked, and whether an offence
blocks publishing (`-- severity: block`: the figures are wrong) or warns (`-- severity: warn`: look at it). Each mart has one check more, made
from the grain that its file declares.
"""

import re
from dataclasses import dataclass
from typing import Any

import duckdb

from pipelines.catalog.streams import CORE_TABLES, FACTS, LOADED_STREAMS
from pipelines.errors import LivehouseError
from pipelines.marts.build import Mart, find_marts, sql_directory

ROWS_SHOWN = 20

GROUPS = {
    "core": CORE_TABLES,
    "facts": FACTS,
    "daily": tuple(table for table in FACTS if table.is_daily),
    "raw": tuple(stream.raw for stream in LOADED_STREAMS),
}
"""Groups of tables that a check can name. A stream added to `catalog/streams.py` is in them."""


@dataclass(frozen=True)
class Check:
    """One check of one table, as its file tells."""

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


def _grain_check(mart: Mart) -> Check:
    """Check that the grain is unique and not null; by hash first, since the rows of some marts are many and their keys long."""
    key = ", ".join(mart.grain)
    is_null = " OR ".join(f"{name} IS NULL" for name in mart.grain)
    sql = f"""
        SELECT {key}, count(*) AS copies FROM {mart.full_name}
        WHERE hash({key}) IN (
            SELECT hash({key}) AS suspect FROM {mart.full_name} GROUP BY suspect HAVING count(*) > 1 OR bool_or({is_null})
        )
        GROUP BY {key} HAVING count(*) > 1 OR bool_or({is_null}) ORDER BY {key}"""
    meaning = f"{mart.full_name} has one row for each {key}, none of them NULL: a figure counted twice is worse than one missing."
    return Check(mart.full_name, "unique_grain", meaning, blocks=True, sql=sql)


def find_checks() -> tuple[Check, ...]:
    """Every check, by table and rule."""
    found = [_grain_check(mart) for mart in find_marts()]
    for path in sorted((sql_directory() / "checks").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        listed = re.search(r"^-- tables: (.+)$", text, re.MULTILINE)
        named, _, rule = path.stem.rpartition("__")
        severity = re.search(r"^-- severity: (block|warn)$", text, re.MULTILINE)
        if not severity or bool(named) == bool(listed) or (listed and listed[1] not in GROUPS):
            raise LivehouseError(
                f"{path}: name it TABLE__RULE.sql, or RULE.sql with `-- tables: GROUP` in its head, where GROUP is one of"
                f" {', '.join(GROUPS)}; either needs `-- severity: block` or `-- severity: warn` there"
            )
        head = text[: (listed or severity).start()]
        meaning = " ".join(line.removeprefix("--").strip() for line in head.splitlines()).strip()
        for table in [each.full_name for each in GROUPS[listed[1]]] if listed else [named]:
            blocks = severity[1] == "block"
            found.append(Check(table, rule, meaning.replace("{table}", table), blocks, text.replace("{table}", table)))
    return tuple(sorted(found, key=lambda check: (check.table, check.rule)))


def run_check(connection: duckdb.DuckDBPyConnection, check: Check) -> Verdict:
    """Run one check. Counts all offending rows and keeps the first `ROWS_SHOWN`."""
    result = connection.execute(check.sql)
    columns = [column[0] for column in result.description or []]
    rows = result.fetchmany(ROWS_SHOWN)
    offending = len(rows)
    while more := result.fetchmany(10_000):
        offending += len(more)
    return Verdict(offending, columns, rows)
