"""Marts: each file in `sql/marts/` is one SELECT over core and ops tables, and one table in `marts`.

A file's head comment is the only place for what its mart means; what it depends on is read from its SQL. A
refresh evaluates `SELECT * FROM (the SELECT) WHERE day BETWEEN …` for the days that a change affects (`inputs.py`): it costs
what changed, not the history.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

import sqlglot
from duckdb import DuckDBPyConnection, TransactionException
from sqlglot import exp

from pipelines.catalog.marts import MART_BUILDS
from pipelines.errors import LivehouseError
from pipelines.marts.inputs import Input, affected_days, compare_inputs, note_inputs, read_inputs
from pipelines.text import quoted

ROWS_AT_ONCE = 2_000_000
"""Facts that one statement evaluates at most (one day or month at least): this bounds memory."""
NEAR = {"day": 7, "month": 31}
"""Ranges this many days apart are evaluated as one: evaluating a day again changes nothing."""


@dataclass(frozen=True)
class Mart:
    """One mart, as its file tells."""

    name: str
    sql: str
    meaning: str
    grain: tuple[str, ...]
    columns: dict[str, tuple[str, str]]
    """Unit and meaning of each column, in order."""
    depends_on: tuple[str, ...]
    """Full names of the tables it is made of, also by way of other marts."""
    period: Literal["day", "month"]
    """The column by which it is refreshed."""
    inputs: frozenset[Input] = frozenset()
    """The tables it reads and the columns that matter, also by way of other marts."""
    affects: tuple[str, ...] = ()
    """Columns that name the first and last day that the facts of a day affect; without them only that day."""
    drawn: str | None = None
    """A column whose sum over all apps tells how things go: drawn after each build."""
    builds_on: tuple["Mart", ...] = ()
    """The marts it reads, which are built before."""

    @property
    def full_name(self) -> str:
        """`marts.name`."""
        return f"marts.{self.name}"

    @property
    def sql_hash(self) -> str:
        """SHA-256 of its file, and of those it builds on: another text is another mart."""
        return sha256("".join([*(mart.sql_hash for mart in self.builds_on), self.sql]).encode()).hexdigest()


@dataclass(frozen=True)
class MartBuild:
    """What one build did."""

    rows: int
    """Rows of the mart afterwards."""
    refreshed: list[tuple[date, date]] | None
    """First and last day (or month) of each range evaluated again; None for a whole build."""


def sql_directory() -> Path:
    """Where the SQL files are: inside the package once installed, beside it in a checkout."""
    here = Path(__file__).resolve()
    inside = here.parents[1] / "sql"
    return inside if inside.is_dir() else here.parents[2] / "sql"


@cache
def find_marts() -> tuple[Mart, ...]:
    """Every mart, by name, which is the order in which they are built."""
    return tuple(read_mart(path) for path in sorted((sql_directory() / "marts").glob("*.sql")))


def read_mart(path: Path) -> Mart:
    """Read one mart from its file."""
    sql = path.read_text(encoding="utf-8")
    fields = dict(re.findall(r"^-- (grain|affects|drawn): (.+)$", sql, re.MULTILINE))
    columns = re.findall(r"^-- column: (\w+) \((.+?)\): (.+)$", sql, re.MULTILINE)
    grain = tuple(re.findall(r"\w+", fields.get("grain", "")))
    if not columns or {"day", "month"}.isdisjoint(grain):
        raise LivehouseError(f"{path}: needs `-- grain: …, day` or month, and `-- column: NAME (unit): …`")
    tables = {table for table in parsed(sql).find_all(exp.Table) if table.db}
    marts = sorted({table.name for table in tables if table.db == "marts"})
    wrong = {table.db for table in tables} - {"core", "ops", "marts"}
    wrong |= {f"marts.{name}" for name in marts if name >= path.stem or not path.with_name(f"{name}.sql").is_file()}
    if wrong:
        raise LivehouseError(
            f"{path} reads from {', '.join(sorted(wrong))}: a mart reads tables of core and ops, and marts before it by name"
        )
    builds_on = tuple(read_mart(path.with_name(f"{name}.sql")) for name in marts)
    own = {f"{table.db}.{table.name}" for table in tables if table.db != "marts"}
    return Mart(
        name=path.stem,
        sql=sql,
        meaning="\n".join(line.removeprefix("-- ") for line in sql.partition("\n-- grain:")[0].splitlines()),
        grain=grain,
        columns={name: (unit, meaning) for name, unit, meaning in columns},
        depends_on=tuple(sorted(own.union(*(mart.depends_on for mart in builds_on)))),
        builds_on=builds_on,
        period="day" if "day" in grain else "month",
        inputs=frozenset(read_inputs(parsed(sql)).union(*(mart.inputs for mart in builds_on))),
        affects=tuple(re.findall(r"\w+", fields.get("affects", ""))),
        drawn=fields.get("drawn"),
    )


@cache
def parsed(sql: str) -> exp.Expr:
    """The query as a tree, not to be changed: parsed once, since that takes most of the time."""
    return sqlglot.parse_one(sql, dialect="duckdb")


def build_mart(connection: DuckDBPyConnection, mart: Mart, now: datetime) -> MartBuild:
    """Bring a mart up to date with what it reads, in one transaction: the days that a change affects, or the whole.

    `now` is naive UTC, and only noted. A mart is built whole when it is missing, its text is another, or a table changed
    that has neither days nor livestreams.
    """
    connection.begin()
    try:
        compare_inputs(connection, mart.full_name, mart.inputs)
        days = affected_days(connection, mart.inputs) if _is_built(connection, mart) else None
        if days is None:
            _create(connection, mart)
            _evaluate(connection, mart, None)
            refreshed = None
        else:
            refreshed = _refresh(connection, mart, days)
        note_inputs(connection, mart.full_name)
        built = "(SELECT ? AS mart_name, ? AS sql_hash, ?::TIMESTAMP AS built_at)"
        connection.execute(MART_BUILDS.merge_sql(built), [mart.full_name, mart.sql_hash, now])
        [(rows,)] = connection.execute(f"SELECT count(*) FROM {mart.full_name}").fetchall()
        connection.commit()
    except BaseException:
        with suppress(TransactionException):  # a commit that was refused has ended the transaction
            connection.rollback()
        raise
    return MartBuild(rows, refreshed)


def _is_built(connection: DuckDBPyConnection, mart: Mart) -> bool:
    """Whether the mart is there, built from this very text."""
    query = """
        SELECT count(*) > 0 FROM ops.mart_builds WHERE mart_name = $mart AND sql_hash = $sql_hash AND EXISTS (
            FROM duckdb_tables()
            WHERE database_name = current_database() AND schema_name || '.' || table_name = $mart)"""
    [(is_built,)] = connection.execute(query, {"mart": mart.full_name, "sql_hash": mart.sql_hash}).fetchall()
    return bool(is_built)


def _create(connection: DuckDBPyConnection, mart: Mart) -> None:
    """Make the mart's table anew, empty, with its comments."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS marts")
    # CREATE … AS that fails takes the process along where the catalog is a lakehouse (duckdb 1.5.5): described first.
    described = connection.execute(f"DESCRIBE SELECT * FROM (\n{mart.sql}\n)").fetchall()
    columns = ", ".join(f'"{name}" {kind}' for name, kind, *_ in described)
    connection.execute(f"CREATE OR REPLACE TABLE {mart.full_name} ({columns})")
    comments = {f"TABLE {mart.full_name}": mart.meaning}
    for name, (unit, meaning) in mart.columns.items():
        comments[f"COLUMN {mart.full_name}.{name}"] = f"{meaning} ({unit})"
    for what, text in comments.items():
        connection.execute(f"COMMENT ON {what} IS {quoted(text)}")


def _refresh(connection: DuckDBPyConnection, mart: Mart, days: set[date]) -> list[tuple[date, date]]:
    """Evaluate again the days that changed, those their facts affected before, and those they affect now."""
    first_pass = days | _affected(connection, mart, days)
    ranges = _evaluate(connection, mart, first_pass)
    return ranges + _evaluate(connection, mart, _affected(connection, mart, days) - first_pass)


def _affected(connection: DuckDBPyConnection, mart: Mart, days: set[date]) -> set[date]:
    """Days that the facts of these days affect, by the mart in its present state."""
    if not mart.affects:
        return set()
    first, last = mart.affects
    query = f"""SELECT DISTINCT unnest(range({first}, {last} + 1, INTERVAL 1 DAY))::DATE FROM {mart.full_name}
        WHERE list_contains($days, day)"""
    return {day for (day,) in connection.execute(query, {"days": list(days)}).fetchall()}


def _evaluate(connection: DuckDBPyConnection, mart: Mart, days: set[date] | None) -> list[tuple[date, date]]:
    """Replace the mart's rows of these days (None: of all), a bounded number of facts at a time.

    A day that is loaded no more has no row afterwards.
    """
    query = f"""
        SELECT period, coalesce(sum(held.row_count), 0)::BIGINT
        FROM (
            SELECT DISTINCT date_trunc('{mart.period}', unnest($days::DATE[]))::DATE AS period WHERE $days IS NOT NULL
            UNION
            SELECT DISTINCT date_trunc('{mart.period}', day)::DATE FROM ops.days
            WHERE $days IS NULL AND list_contains($tables, table_name)
        ) AS wanted
        LEFT JOIN ops.days AS held
            ON date_trunc('{mart.period}', held.day)::DATE = wanted.period AND list_contains($tables, held.table_name)
        GROUP BY period ORDER BY period"""
    ranges: list[tuple[date, date]] = []
    rows = 0
    wanted = {"tables": mart.depends_on, "days": days if days is None else list(days)}
    for period, period_rows in connection.execute(query, wanted).fetchall():
        rows += period_rows
        if ranges and (period - ranges[-1][1]).days <= NEAR[mart.period] and rows <= ROWS_AT_ONCE:
            ranges[-1] = (ranges[-1][0], period)
        else:
            ranges.append((period, period))
            rows = period_rows
    order = ", ".join(mart.grain)
    within = f"{mart.period} BETWEEN $first AND $last"
    for bounds in ({"first": first, "last": last} for first, last in ranges):
        connection.execute(f"DELETE FROM {mart.full_name} WHERE {within}", bounds)
        select = f"SELECT * FROM (\n{mart.sql}\n) WHERE {within} ORDER BY {order}"
        connection.execute(f"INSERT INTO {mart.full_name} BY NAME {select}", bounds)
    return ranges
