"""Tables, columns and column lineage of marts, found by parsing their SQL, once.

Importing sqlglot and parsing took a tenth of a night without changes. The results depend only on the SQL files, the catalog,
sqlglot and the code here, so they are generated with the package (`hatch_build.py`), under a hash of these. Those that are missing there,
such as after an edit of a mart, are kept beside the report's charts.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.catalog.files import WAREHOUSE_FILE
from pipelines.files import PACKAGE_DATA

_FILE_NAME = "marts.json"
_SOURCES = ("parsed_sql.py", "sql_parser.py")

Source = tuple[str, str]
"""Full name of a table, and a column."""

_results: dict[str, Any] = {}
"""Results by the hash of what they depend on, without those of the package."""
_used: set[str] = set()


class TableColumns(NamedTuple):
    """The names of a table's columns in order, and its key."""

    names: tuple[str, ...]
    key: tuple[str, ...]


class ReadTables(NamedTuple):
    """The tables that a query reads."""

    full_names: frozenset[str]
    columns: dict[str, tuple[str, ...]]
    """The columns that matter, sorted, by table of core and ops."""


@contextmanager
def keep_parsed_sql(directory: Path) -> Iterator[None]:
    """Use the results that an earlier run has kept in a directory, and keep those of this run there.

    Results of the package are not kept again.
    """
    file = directory / _FILE_NAME
    if file.exists():
        _results.update(_read_results(file, version("sqlglot")))
    known = set(_results)
    try:
        yield
    finally:
        if _results.keys() - known:
            with suppress(OSError):  # the next run parses again
                directory.mkdir(parents=True, exist_ok=True)
                temporary = file.with_name(f".{_FILE_NAME}.{os.getpid()}")
                content = {"sqlglot": version("sqlglot"), "results": {key: _results[key] for key in sorted(_used)}}
                temporary.write_text(json.dumps(content), encoding="utf-8")
                temporary.replace(file)


def package_parsed_sql(parse: Callable[[], object]) -> None:
    """Save all results that `parse` needs with the package."""
    with keep_parsed_sql(PACKAGE_DATA):
        parse()


@cache
def _packaged_results() -> dict[str, Any]:
    """Return the results of the package, whatever version of sqlglot found them: the tests have checked them."""
    return _read_results(PACKAGE_DATA / _FILE_NAME)


def _read_results(file: Path, sqlglot: str | None = None) -> dict[str, Any]:
    """Return the results in a file, unless another version of sqlglot found them, or it is missing or damaged."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        content = json.loads(file.read_bytes())
        if sqlglot in {None, content["sqlglot"]}:
            return dict(content["results"])
    return {}


def read_tables(sql: str) -> ReadTables:
    """Return the tables that a query reads, without those that a WITH defines."""

    def parse() -> Any:  # noqa: ANN401 - JSON
        from pipelines.marts import sql_parser

        return sql_parser.find_tables(sql), sql_parser.find_columns(sql, _catalog())

    names, columns = _recall(["tables", sql], parse)
    return ReadTables(frozenset(names), {table: tuple(found) for table, found in columns.items()})


def read_lineage(sql: str, marts: Mapping[str, TableColumns]) -> dict[str, tuple[Source, ...]]:
    """Return the columns from which each column of a query is computed, without those that only join or filter rows.

    `marts` are those that it reads, by full name.
    """

    def parse() -> Any:  # noqa: ANN401 - JSON
        from pipelines.marts import sql_parser

        return sql_parser.find_lineage(sql, {**_catalog(), **marts})

    found = _recall(["lineage", sql, *map(repr, sorted(marts.items()))], parse)
    return {column: tuple((table, name) for table, name in sources) for column, sources in found.items()}


@cache
def _catalog() -> dict[str, TableColumns]:
    return {table.full_name: TableColumns(table.column_names, table.key) for table in WAREHOUSE_FILE}


@cache
def _rules() -> bytes:
    """Return what every result depends on, besides sqlglot."""
    code = (Path(__file__).with_name(name).read_bytes() for name in _SOURCES)
    return sha256(b"".join(code) + repr(_catalog()).encode()).digest()


def _recall(depends_on: list[str], parse: Callable[[], Any]) -> Any:  # noqa: ANN401 - JSON
    key = sha256(_rules() + json.dumps(depends_on).encode()).hexdigest()
    if key in _packaged_results():
        return _packaged_results()[key]
    if key not in _results:
        _results[key] = parse()
    _used.add(key)
    return _results[key]
