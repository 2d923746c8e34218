"""The result of a query as CSV, JSON or text: each value is written by DuckDB, which knows its type; rows are streamed."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, count
from typing import Any, NamedTuple

import duckdb

from pipelines.text import printable, printable_json

_ROWS_AT_ONCE = 10_000

_PLAIN = frozenset(
    {
        *("tinyint", "smallint", "integer", "bigint", "hugeint"),
        *("utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"),
        *("float", "double", "decimal", "bignum", "boolean", "date", "time", "timestamp", "varchar"),
    }
)
"""Types whose values Python shows as DuckDB does."""

_TEXTS = _PLAIN - {"varchar"}
"""Types of which no value is a formula, though it may begin with a minus."""


class Result(NamedTuple):
    """The columns of a query, the types of their values, and the rows."""

    names: list[str]
    types: list[str]
    rows: Iterator[tuple[Any, ...]]


def read_result(connection: duckdb.DuckDBPyConnection, query: str, parameters: list[object], style: str) -> Result:
    """Run a query that `check_query` let pass, for a style of output.

    For csv every value is text, for json JSON, and NULL is None; for people, what Python has no form of is text.
    """
    relation: Any = connection.sql(query, params=parameters)
    types = [str(kind.id) for kind in relation.types]
    columns = ", ".join(_column(number, kind, style) for number, kind in enumerate(types, 1))
    body = query.strip().removesuffix(";")
    try:
        is_one_query = [found.type for found in connection.extract_statements(body)] == [duckdb.StatementType.SELECT]
    except duckdb.Error:
        is_one_query = False
    if is_one_query and ";" not in body:  # streamed: a relation holds its whole result in memory
        result: Any = connection.execute(f"SELECT {columns} FROM ({body}\n)", parameters)
    else:
        result = relation.project(columns)
    return Result(list(relation.columns), types, _rows(result))


def _column(number: int, kind: str, style: str) -> str:
    if style == "json":  # `to_json` alone would not even evaluate what has no type, such as `error(…)`
        return f"CASE WHEN #{number} IS NOT NULL THEN to_json(#{number})::VARCHAR END"
    return f"#{number}" if style != "csv" and kind in _PLAIN else f"#{number}::VARCHAR"


def _rows(result: Any) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - a DuckDB result
    while rows := result.fetchmany(_ROWS_AT_ONCE):
        yield from rows


# --- CSV ----------------------------------------------------------------------------------------------------

_QUOTED = re.compile(r'[",\r\n]')
_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How a cell begins that a spreadsheet computes instead of showing it."""


def write_csv(result: Result, *, for_spreadsheet: bool) -> None:
    """Write CSV as DuckDB's COPY does: NULL is an empty cell, an empty text is `""`.

    `for_spreadsheet` puts a `'` in front of texts that a spreadsheet would take for a formula.
    """
    is_terminal = sys.stdout.isatty()  # a file gets every text as it is, a terminal must not obey it
    as_text = [kind not in _TEXTS for kind in result.types]

    def cell(text: str | None, *, is_text: bool) -> str:
        if text is None:
            return ""
        if for_spreadsheet and is_text and _FORMULA.match(text):
            text = f"'{text}"
        if is_terminal:
            text = printable(text)
        return '"' + text.replace('"', '""') + '"' if not text or _QUOTED.search(text) else text

    def line(values: Iterable[str | None], kinds: Iterable[bool]) -> str:
        return ",".join([cell(value, is_text=kind) for value, kind in zip(values, kinds, strict=True)]) + "\n"

    _write(chain([line(result.names, [True] * len(result.names))], (line(row, as_text) for row in result.rows)))


# --- JSON ---------------------------------------------------------------------------------------------------

_NO_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b')
_NO_NUMBERS = {"NaN": '"nan"', "Infinity": '"inf"', "-Infinity": '"-inf"'}


def write_json(result: Result) -> None:
    """Write an array of objects. NaN and Infinity are text: JSON has no number for them."""
    keys = [json.dumps(name, ensure_ascii=False) for name in _distinct(result.names)]

    def record(row: tuple[str | None, ...]) -> str:
        members = (f"{key}: {_json(value)}" for key, value in zip(keys, row, strict=True))
        return printable_json("{" + ", ".join(members) + "}")

    first = next(result.rows, None)
    if first is None:
        sys.stdout.write("[]\n")
        return
    _write(chain([f"[{record(first)}"], (f",\n {record(row)}" for row in result.rows), ["]\n"]))


def _json(value: str | None) -> str:
    if value is None:
        return "null"
    if "NaN" not in value and "Infinity" not in value:
        return value
    return _NO_NUMBER.sub(lambda found: _NO_NUMBERS.get(found[0], found[0]), value)


def _distinct(names: list[str]) -> list[str]:
    """Number names that come again, as DuckDB does in a subquery: a key of an object is there once."""
    taken: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}_{n}" for n in count(1))
        taken[name if name not in taken else next(one for one in numbered if one not in taken)] = None
    return list(taken)


def _write(lines: Iterable[str]) -> None:
    write: Callable[[str], object] = sys.stdout.write
    for line in lines:
        write(line)
