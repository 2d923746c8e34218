"""Write the result of a query as CSV or JSON. DuckDB formats each value, because it knows the type; rows are streamed."""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, count
from typing import Any, NamedTuple

import duckdb

from pipelines.cli.query_limits import TimeLimit
from pipelines.text import FORMULA, MARKED_FORMULA, printable, printable_json

_ROWS_AT_ONCE = 10_000

_PYTHON_TYPES = frozenset(
    {
        *("tinyint", "smallint", "integer", "bigint", "hugeint"),
        *("utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"),
        *("float", "double", "decimal", "bignum", "boolean", "date", "time", "timestamp", "varchar"),
    }
)
"""Types whose values Python prints as DuckDB does."""

_NEVER_FORMULAS = _PYTHON_TYPES - {"varchar"}
"""Types whose values are never a formula, though they may begin with a minus."""


class Result(NamedTuple):
    """The columns of a query, the types of their values, and the rows."""

    names: list[str]
    types: list[str]
    rows: Iterator[tuple[Any, ...]]


def read_result(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, str | None], style: str, limit: TimeLimit
) -> Result:
    """Run a query that `check_query` has accepted, for a style of output, and within a limit of its time.

    For csv every value is text, for json it is JSON, and NULL is None. For table and lines only values of types that
    Python prints differently from DuckDB are text.
    """
    with limit.running():
        return _run_query(connection, query, parameters, style, limit)


def _run_query(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, str | None], style: str, limit: TimeLimit
) -> Result:
    try:
        relation: Any = connection.sql(query, params=parameters or None)
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ConversionException):
        connection.execute(query, parameters)  # fails in the same way, but its error quotes the line
        raise
    types = [str(kind.id) for kind in relation.types]
    columns = ", ".join(_build_column(number, kind, style) for number, kind in enumerate(types, 1))
    body = query.strip().removesuffix(";")
    try:
        is_one_query = [found.type for found in connection.extract_statements(body)] == [duckdb.StatementType.SELECT]
    except duckdb.Error:
        is_one_query = False
    if is_one_query and ";" not in body:  # streamed: a relation holds its whole result in memory
        try:
            result: Any = connection.execute(f"SELECT {columns} FROM ({body}\n)", parameters)
        except duckdb.Error as error:
            if "\nLINE " in str(error):
                connection.execute(query, parameters)  # fails in the same way, and quotes the user's own line
            raise
    else:
        result = relation.project(columns)
    return Result(list(relation.columns), types, _fetch_rows(result, limit))


def _build_column(number: int, kind: str, style: str) -> str:
    if style == "json":  # `to_json` alone would not even evaluate an untyped expression, such as `error(…)`
        return f"CASE WHEN #{number} IS NOT NULL THEN to_json(#{number})::VARCHAR END"
    return f"#{number}" if style != "csv" and kind in _PYTHON_TYPES else f"#{number}::VARCHAR"


def _fetch_rows(result: Any, limit: TimeLimit) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - a DuckDB result
    rows = [()]
    while rows:
        with limit.running():
            rows = result.fetchmany(_ROWS_AT_ONCE)
        yield from rows


# --- CSV ----------------------------------------------------------------------------------------------------

_QUOTED = re.compile(r'[",\r\n]')
_FORMULA = re.compile(FORMULA)


def write_csv(result: Result, *, for_spreadsheet: bool) -> None:
    """Write CSV as DuckDB's COPY does: NULL is an empty cell, an empty text is `""`.

    `for_spreadsheet` puts a `'` in front of text that a spreadsheet would evaluate as a formula.
    """
    is_terminal = sys.stdout.isatty()  # a file gets the exact text, but a terminal would obey its escapes
    as_text = [kind not in _NEVER_FORMULAS for kind in result.types]

    def cell(text: str | None, *, is_text: bool) -> str:
        if text is None:
            return ""
        if for_spreadsheet and is_text:
            text = _FORMULA.sub(MARKED_FORMULA, text)
        if is_terminal:
            text = printable(text)
        return '"' + text.replace('"', '""') + '"' if not text or _QUOTED.search(text) else text

    def line(values: Iterable[str | None], kinds: Iterable[bool]) -> str:
        return ",".join([cell(value, is_text=kind) for value, kind in zip(values, kinds, strict=True)]) + "\n"

    sys.stdout.writelines(
        chain([line(result.names, [True] * len(result.names))], (line(row, as_text) for row in result.rows))
    )


# --- JSON ---------------------------------------------------------------------------------------------------

_STRING_OR_NON_FINITE = re.compile(r'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b')
_NON_FINITE = {"NaN": '"nan"', "Infinity": '"inf"', "-Infinity": '"-inf"'}


def write_json(result: Result) -> None:
    """Write an array of objects. NaN and Infinity become text, because JSON has no number for them."""
    keys = [json.dumps(name, ensure_ascii=False) for name in _number_duplicates(result.names)]

    def record(row: tuple[str | None, ...]) -> str:
        members = (f"{key}: {_quote_non_finite(value)}" for key, value in zip(keys, row, strict=True))
        return printable_json("{" + ", ".join(members) + "}")

    first = next(result.rows, None)
    if first is None:
        sys.stdout.write("[]\n")
        return
    sys.stdout.writelines(chain([f"[{record(first)}"], (f",\n {record(row)}" for row in result.rows), ["]\n"]))


def _quote_non_finite(value: str | None) -> str:
    if value is None:
        return "null"
    if "NaN" not in value and "Infinity" not in value:
        return value
    return _STRING_OR_NON_FINITE.sub(lambda found: _NON_FINITE.get(found[0], found[0]), value)


def _number_duplicates(names: list[str]) -> list[str]:
    """Append a number to repeated names, as DuckDB does in a subquery: the keys of an object must be distinct."""
    taken: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}_{n}" for n in count(1))
        taken[name if name not in taken else next(one for one in numbered if one not in taken)] = None
    return list(taken)
