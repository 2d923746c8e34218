"""Write the result of a query as CSV or JSON. The values are text that DuckDB has formatted, because it knows their types."""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain, count
from typing import Any, NamedTuple, TextIO

from pipelines.text import FORMULA, MARKED_FORMULA, printable, printable_json

PYTHON_TYPES = frozenset(
    {
        *("tinyint", "smallint", "integer", "bigint", "hugeint"),
        *("utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"),
        *("float", "double", "decimal", "bignum", "boolean", "date", "time", "timestamp", "varchar"),
    }
)
"""Types whose values Python prints as DuckDB does."""

_NEVER_FORMULAS = PYTHON_TYPES - {"varchar"}
"""Types whose values are never a formula, though they may begin with a minus."""


class Result(NamedTuple):
    """The columns of a query, the types of their values, and the rows."""

    names: list[str]
    types: list[str]
    rows: Iterator[tuple[Any, ...]]


# --- CSV ----------------------------------------------------------------------------------------------------

_QUOTED = re.compile(r'[",\r\n]')
_FORMULA = re.compile(FORMULA)


def write_csv(result: Result, output: TextIO, *, for_spreadsheet: bool) -> None:
    """Write CSV as DuckDB's COPY does: NULL is an empty cell, an empty text is `""`.

    `for_spreadsheet` puts a `'` in front of text that a spreadsheet would evaluate as a formula.
    """
    is_terminal = output.isatty()  # a file gets the exact text, but a terminal would obey its escapes
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

    output.writelines(
        chain([line(result.names, [True] * len(result.names))], (line(row, as_text) for row in result.rows))
    )


# --- JSON ---------------------------------------------------------------------------------------------------

_STRING_OR_NON_FINITE = re.compile(r'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b')
_NON_FINITE = {"NaN": '"nan"', "Infinity": '"inf"', "-Infinity": '"-inf"'}


def write_json(result: Result, output: TextIO) -> None:
    """Write an array of objects. NaN and Infinity become text, because JSON has no number for them."""
    keys = [json.dumps(name, ensure_ascii=False) for name in number_duplicates(result.names)]

    def record(row: tuple[str | None, ...]) -> str:
        members = (f"{key}: {_quote_non_finite(value)}" for key, value in zip(keys, row, strict=True))
        return printable_json("{" + ", ".join(members) + "}")

    first = next(result.rows, None)
    if first is None:
        output.write("[]\n")
        return
    output.writelines(chain([f"[{record(first)}"], (f",\n {record(row)}" for row in result.rows), ["]\n"]))


def _quote_non_finite(value: str | None) -> str:
    if value is None:
        return "null"
    if "NaN" not in value and "Infinity" not in value:
        return value
    return _STRING_OR_NON_FINITE.sub(lambda found: _NON_FINITE.get(found[0], found[0]), value)


def number_duplicates(names: list[str]) -> list[str]:
    """Append a number to repeated names, as DuckDB does in a subquery: keys of objects and columns of frames must be distinct."""
    taken: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}_{n}" for n in count(1))
        taken[name if name not in taken else next(one for one in numbered if one not in taken)] = None
    return list(taken)
