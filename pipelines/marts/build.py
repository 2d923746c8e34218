"""Marts: each file in `sql/marts/` is one SELECT over tables of core and ops, and over other marts; the result is a table.

The comment at the head of a file documents the mart:

    -- Its content, and how to read it.
    -- grain: app_id, day                the key, asserted by a blocking check; has a day, or a month
    -- headline_metric: viewer_seconds   optional: a column whose sum over all apps Dagster shows after each build
    -- affects: FIRST, LAST              optional: the days that a change to the inputs of a day affects, if not that day only:
    --                                   two SQL expressions over a row of the mart
    -- column: NAME (unit): meaning      for each column, in order

Its dependencies are read from its SQL. A refresh evaluates `SELECT * FROM (the SELECT) WHERE day BETWEEN …` for the days
that a change affects (see `inputs.py`): its cost depends on the change, not on the history.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, cached_property
from graphlib import CycleError, TopologicalSorter
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from typing import Literal

import duckdb
from duckdb import DuckDBPyConnection

from pipelines.catalog.marts import MART_BUILDS
from pipelines.errors import LivehouseError
from pipelines.marts.columns import MartColumn, read_columns, read_description
from pipelines.marts.inputs import (
    Input,
    affected_days,
    compare_inputs,
    merge_inputs,
    read_changed,
    read_inputs,
    record_inputs,
)
from pipelines.marts.macros import create_macros, macros_used
from pipelines.marts.parsed_sql import read_tables
from pipelines.marts.sql_files import sql_directory
from pipelines.text import quoted

MAX_ROWS_PER_STATEMENT = 2_000_000
"""Facts that one statement evaluates, unless a single day or month has more: this bounds memory."""
MERGE_DISTANCE = {"day": 7, "month": 31}
"""Days between two ranges up to which they are evaluated as one, since evaluating a day again changes nothing."""


@dataclass(frozen=True)
class Mart:
    """One mart, as its file defines it."""

    name: str
    sql: str
    description: str
    grain: tuple[str, ...]
    columns: dict[str, MartColumn]
    depends_on: tuple[str, ...]
    """Full names of the tables of core and ops it depends on, directly or by way of other marts."""
    period: Literal["day", "month"]
    """The column by which it is refreshed."""
    inputs: frozenset[Input] = frozenset()
    """Those tables with the columns that matter."""
    affects: tuple[str, ...] = ()
    """SQL expressions for the first and last day that a change to a day affects; empty if only that day."""
    headline_metric: str | None = None
    builds_on: tuple["Mart", ...] = ()
    """The marts it reads, which are built before it."""

    @property
    def full_name(self) -> str:
        """`marts.name`."""
        return f"marts.{self.name}"

    @cached_property
    def sql_hash(self) -> str:
        """SHA-256 of its file, of the macros it uses and of the marts it builds on: if it changes, the mart is rebuilt."""
        parts = [*(mart.sql_hash for mart in self.builds_on), *macros_used(self.sql), self.sql]
        return sha256("".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class MartBuild:
    """The result of one build."""

    rows: int
    """Rows of the mart after the build."""
    refreshed: list[tuple[date, date]] | None
    """First and last day (or month) of each range that was evaluated; None for a full build."""


@cache
def find_marts() -> tuple[Mart, ...]:
    """Return every mart, after the marts it builds on."""
    paths = {path.stem: path for path in sorted((sql_directory() / "marts").glob("*.sql"))}
    return order_marts(paths)


def order_marts(paths: Mapping[str, Path]) -> tuple[Mart, ...]:
    """Read marts from their files, in the order in which they can be built. Raises `LivehouseError` for a circle."""
    graph = {name: _marts_read(path.read_text(encoding="utf-8")) & set(paths) for name, path in paths.items()}
    try:
        order = tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise LivehouseError(f"marts read each other in a circle: {' → '.join(error.args[1])}") from None
    marts: dict[str, Mart] = {}
    for name in order:
        marts[name] = read_mart(paths[name], marts)
    return tuple(marts.values())


def _marts_read(sql: str) -> set[str]:
    return {name.removeprefix("marts.") for name in read_tables(sql).full_names if name.startswith("marts.")}


def read_mart(path: Path, marts: Mapping[str, Mart]) -> Mart:
    """Read a mart from its file; `marts` are those it may build on. Raises `LivehouseError` if the file is invalid."""
    sql = path.read_text(encoding="utf-8")
    fields = dict(re.findall(r"^-- (grain|affects|headline_metric): (.+)$", sql, re.MULTILINE))
    columns = read_columns(sql)
    grain = tuple(re.findall(r"\w+", fields.get("grain", "")))
    if not columns or {"day", "month"}.isdisjoint(grain):
        raise LivehouseError(f"{path}: needs `-- grain: …, day` or month, and `-- column: NAME (unit): …`")
    tables = read_tables(sql)
    wrong = {name.partition(".")[0] for name in tables.full_names} - {"core", "ops", "marts"}
    wrong |= {f"marts.{name}" for name in _marts_read(sql) - set(marts)}
    builds_on = tuple(marts[name] for name in sorted(_marts_read(sql) & set(marts)))
    wrong |= {f"{mart.full_name} (it affects days by its rows)" for mart in builds_on if _affects_by_rows(mart)}
    if wrong:
        raise LivehouseError(
            f"{path} reads from {', '.join(sorted(wrong))}: a mart reads tables of core and ops, and other marts"
        )
    direct = {name for name in tables.full_names if not name.startswith("marts.")}
    inputs = read_inputs(tables.columns)
    return Mart(
        name=path.stem,
        sql=sql,
        description=read_description(sql),
        grain=grain,
        columns=columns,
        depends_on=tuple(sorted(direct.union(*(mart.depends_on for mart in builds_on)))),
        builds_on=builds_on,
        period="day" if "day" in grain else "month",
        inputs=merge_inputs(inputs.union(*(mart.inputs for mart in builds_on))),
        affects=tuple(fields["affects"].split(", ")) if "affects" in fields else (),
        headline_metric=fields.get("headline_metric"),
    )


def _affects_by_rows(mart: Mart) -> bool:
    """Whether the rows of a mart decide which days it affects: the old rows are gone when another mart is built on it."""
    return bool(set(re.findall(r"[a-z_]+", " ".join(mart.affects))) - {"day"})


def split_builds(marts: Iterable[Mart], builds: Mapping[str, str]) -> Iterator[list[Mart]]:
    """Split marts, in their order, into those to build in one transaction. `builds`: see `find_builds`.

    Refreshes are small, and each transaction costs a lakehouse dozens of statements. A full build has its own, which bounds memory.
    """
    for is_built, group in groupby(marts, lambda mart: builds.get(mart.full_name) == mart.sql_hash):
        some = [*group]
        yield from [some] if is_built else ([mart] for mart in some)


def build_mart(connection: DuckDBPyConnection, mart: Mart, now: datetime) -> MartBuild:
    """Bring a mart up to date, see `build_marts`."""
    return build_marts(connection, [mart], now)[mart.full_name]


def build_marts(connection: DuckDBPyConnection, marts: Sequence[Mart], now: datetime) -> dict[str, MartBuild]:
    """Bring marts up to date in one transaction: refresh the days that a change affects, or build a mart in full.

    `now` (naive UTC) is only recorded. A full build happens if a mart is missing, if its SQL changed, or if an input
    changed that has neither days nor livestreams. Returns the builds by full name of the mart.
    """
    refreshed: dict[str, list[tuple[date, date]] | None] = {}
    connection.begin()
    try:
        create_macros(connection, *(mart.sql for mart in marts))
        compare_inputs(connection, {mart.full_name: mart.inputs for mart in marts})
        changed, builds = read_changed(connection), find_builds(connection)
        outdated = [mart for mart in marts if mart.full_name in changed or builds.get(mart.full_name) != mart.sql_hash]
        for mart in outdated:
            is_built = builds.get(mart.full_name) == mart.sql_hash
            try:
                days = affected_days(connection, mart.inputs, changed.get(mart.full_name, {})) if is_built else None
                refreshed[mart.full_name] = _build(connection, mart, days)
            except duckdb.Error as error:
                error.args = (f"{mart.full_name}: {error}",)
                raise
        if outdated:
            record_inputs(connection)
            built = (
                "(SELECT unnest(?::VARCHAR[]) AS mart_name, unnest(?::VARCHAR[]) AS sql_hash, ?::TIMESTAMP AS built_at)"
            )
            hashes = [mart.sql_hash for mart in outdated]
            connection.execute(MART_BUILDS.merge_sql(built), [[*refreshed], hashes, now])
        counts = " UNION ALL ".join(f"SELECT '{mart.full_name}', count(*) FROM {mart.full_name}" for mart in marts)
        rows = dict(connection.execute(counts).fetchall())
        connection.commit()
    except BaseException:
        with suppress(duckdb.TransactionException):  # a refused commit has already ended the transaction
            connection.rollback()
        raise
    return {name: MartBuild(rows[name], refreshed.get(name, [])) for name in rows}


def _build(connection: DuckDBPyConnection, mart: Mart, days: set[date] | None) -> list[tuple[date, date]] | None:
    """Refresh the mart for changes to these days, or build it in full (None). Returns the ranges evaluated; None for all."""
    if days is not None:
        return _refresh(connection, mart, days)
    _create(connection, mart)
    _evaluate(connection, mart, None)
    return None


def find_builds(connection: DuckDBPyConnection) -> dict[str, str]:
    """Return the hash of the SQL that each existing mart was built from, by full name."""
    query = f"""
        SELECT mart_name, sql_hash FROM {MART_BUILDS.full_name} WHERE mart_name IN (
            -- duckdb_tables() would count the rows of every table: two statements each, if the catalog is in PostgreSQL
            SELECT schema_name || '.' || table_name FROM duckdb_columns() WHERE database_name = current_database())
    """
    return dict(connection.execute(query).fetchall())


def _create(connection: DuckDBPyConnection, mart: Mart) -> None:
    """Create the mart's table, empty, with its comments; replace an existing one."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS marts")
    # A failing CREATE … AS crashes the process if the catalog is a lakehouse (duckdb 1.5.5), so the types come from DESCRIBE.
    columns = connection.execute(f"DESCRIBE SELECT * FROM (\n{mart.sql}\n)").fetchall()
    column_types = ", ".join(f'"{name}" {sql_type}' for name, sql_type, *_ in columns)
    connection.execute(f"CREATE OR REPLACE TABLE {mart.full_name} ({column_types})")
    comments = {f"TABLE {mart.full_name}": mart.description}
    for name, column in mart.columns.items():
        comments[f"COLUMN {mart.full_name}.{name}"] = f"{column.description} ({column.unit})"
    for target, text in comments.items():
        connection.execute(f"COMMENT ON {target} IS {quoted(text)}")


def _refresh(connection: DuckDBPyConnection, mart: Mart, days: set[date]) -> list[tuple[date, date]]:
    """Evaluate the days that a change to these days affected before, and those that it affects now."""
    before = _affected_days(connection, mart, days)
    ranges = _evaluate(connection, mart, before)
    more = _affected_days(connection, mart, days) - before
    return ranges + (_evaluate(connection, mart, more) if more else [])


def _affected_days(connection: DuckDBPyConnection, mart: Mart, days: set[date]) -> set[date]:
    """Return these days and those that a change to them affects, by the current rows of the mart."""
    for other in mart.builds_on:
        days = _affected_days(connection, other, days)
    if not mart.affects:
        return days
    first, last = mart.affects
    query = f"""
        SELECT DISTINCT unnest(range({first}, {last} + 1, INTERVAL 1 DAY))::DATE
        FROM (SELECT unnest($days::DATE[]) AS day) AS changed LEFT JOIN {mart.full_name} USING (day)"""
    return days | {day for (day,) in connection.execute(query, {"days": list(days)}).fetchall()}


def _evaluate(connection: DuckDBPyConnection, mart: Mart, days: set[date] | None) -> list[tuple[date, date]]:
    """Replace the mart's rows of these days (None: of all days), with a bounded number of facts per statement.

    A day that is no longer loaded has no row afterwards. Returns the ranges evaluated.
    """
    query = f"""
        SELECT period, coalesce(sum(ledger.row_count), 0)::BIGINT
        FROM (
            SELECT DISTINCT date_trunc('{mart.period}', unnest($days::DATE[]))::DATE AS period WHERE $days IS NOT NULL
            UNION
            SELECT DISTINCT date_trunc('{mart.period}', day)::DATE FROM ops.days
            WHERE $days IS NULL AND list_contains($tables, table_name)
        ) AS wanted
        LEFT JOIN ops.days AS ledger
            ON date_trunc('{mart.period}', ledger.day)::DATE = wanted.period AND list_contains($tables, ledger.table_name)
        GROUP BY period ORDER BY period"""
    ranges: list[tuple[date, date]] = []
    rows = 0
    wanted = {"tables": mart.depends_on, "days": days if days is None else list(days)}
    for period, period_rows in connection.execute(query, wanted).fetchall():
        rows += period_rows
        if ranges and (period - ranges[-1][1]).days <= MERGE_DISTANCE[mart.period] and rows <= MAX_ROWS_PER_STATEMENT:
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
