"""Data quality checks: each file in `sql/checks/` selects the rows that violate a rule; a check without rows passes.

A file is named TABLE__RULE.sql, or RULE.sql if the rule applies to several tables: its head then names a group of them
(`-- tables: GROUP`, see `GROUPS`), and its text has `{table}` in place of each. The head comment describes the check, and says
whether it blocks publishing (`-- severity: block`: figures are wrong) or warns (`-- severity: warn`: inspect the rows). Each
mart also has a check that asserts the grain its file declares.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import duckdb

from pipelines.catalog.streams import CORE_TABLES, FACTS, LOADED_STREAMS
from pipelines.errors import LivehouseError
from pipelines.marts.build import Mart, find_marts
from pipelines.marts.sql_files import sql_directory

MAX_ROWS_SHOWN = 20

GROUPS = {
    "core": CORE_TABLES,
    "facts": FACTS,
    "daily": tuple(table for table in FACTS if table.is_daily),
    "raw": tuple(stream.raw for stream in LOADED_STREAMS),
}
"""Groups of tables that a check can name. A stream added to `catalog/streams.py` is in them."""


@dataclass(frozen=True)
class Check:
    """A check of one table."""

    table: str
    rule: str
    description: str
    is_blocking: bool
    sql: str


@dataclass(frozen=True)
class CheckResult:
    """The number of rows that violate the rule, and the first of them."""

    row_count: int
    columns: list[str]
    rows: list[tuple[Any, ...]]

    @property
    def passed(self) -> bool:
        """Whether no row violates the rule."""
        return self.row_count == 0

    def summarize(self, rule: str) -> str:
        """Return the finding in words, without the description of the rule."""
        return f"{self.row_count:,} row{' breaks' if self.row_count == 1 else 's break'} `{rule}`"


def _grain_check(mart: Mart) -> Check:
    """Assert that the grain is unique and not null. Compare hashes first: some marts have many rows and long keys."""
    key = ", ".join(mart.grain)
    is_null = " OR ".join(f"{name} IS NULL" for name in mart.grain)
    sql = f"""
        SELECT {key}, count(*) AS copies FROM {mart.full_name}
        WHERE hash({key}) IN (
            SELECT hash({key}) AS key_hash FROM {mart.full_name} GROUP BY key_hash HAVING count(*) > 1 OR bool_or({is_null})
        )
        GROUP BY {key} HAVING count(*) > 1 OR bool_or({is_null}) ORDER BY {key}"""
    description = f"{mart.full_name} has one row per {key}, none of which is NULL. A duplicate would be counted twice."
    return Check(mart.full_name, "unique_grain", description, is_blocking=True, sql=sql)


def find_checks() -> tuple[Check, ...]:
    """Return every check, sorted by table and rule. Raises `LivehouseError` if a file is invalid."""
    checks = [_grain_check(mart) for mart in find_marts()]
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
        description = " ".join(line.removeprefix("--").strip() for line in head.splitlines()).strip()
        tables = [table.full_name for table in GROUPS[listed[1]]] if listed else [named]
        checks += [
            Check(
                table,
                rule,
                description.replace("{table}", table),
                is_blocking=severity[1] == "block",
                sql=text.replace("{table}", table),
            )
            for table in tables
        ]
    return tuple(sorted(checks, key=lambda check: (check.table, check.rule)))


def run_check(connection: duckdb.DuckDBPyConnection, check: Check, *, other_apps: Collection[str] = ()) -> CheckResult:
    """Run one check. Counts all rows, except those of `other_apps`, and keeps the first `MAX_ROWS_SHOWN`."""
    result = connection.execute(check.sql)
    columns = [column[0] for column in result.description or []]
    app = columns.index("app_id") if "app_id" in columns else None
    rows: list[tuple[Any, ...]] = []
    row_count = 0
    while fetched := result.fetchmany(10_000):
        of_run = [row for row in fetched if app is None or row[app] not in other_apps]
        rows += of_run[: MAX_ROWS_SHOWN - len(rows)]
        row_count += len(of_run)
    return CheckResult(row_count, columns, rows)
