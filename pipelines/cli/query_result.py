"""Read the result of a query within its limits: streamed rows of values for a style of output, or a frame."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import duckdb

from pipelines.cli.query_limits import TimeLimit
from pipelines.export.query_results import PYTHON_TYPES, Result, number_duplicates

if TYPE_CHECKING:
    import polars as pl

_ROWS_AT_ONCE = 10_000

_PARQUET_TYPES = PYTHON_TYPES - {"bignum", "hugeint", "uhugeint"} | {
    *("timestamp_s", "timestamp_ms", "timestamp_ns", "timestamp with time zone", "blob")
}
"""Types that polars and Parquet hold without loss."""


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
    relation = _bind(connection, query, parameters)
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


def read_frame(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, str | None], limit: TimeLimit
) -> "pl.DataFrame":
    """Run a query like `read_result`, and return a frame. Values of types that Parquet lacks are text.

    HUGEINT, the type of every sum of counts, becomes DECIMAL(38, 0). Repeated names get a number.
    """
    import polars as pl

    with limit.running():
        relation = _bind(connection, query, parameters)
        kinds = [str(kind.id) for kind in relation.types]
        names = [name.replace('"', '""') for name in number_duplicates(relation.columns)]
        columns = [_build_column(number, kind, "parquet") for number, kind in enumerate(kinds, 1)]
        selected = ", ".join(f'{column} AS "{name}"' for column, name in zip(columns, names, strict=True))
        return pl.DataFrame(relation.project(selected))


def _bind(connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, str | None]) -> Any:  # noqa: ANN401 - a DuckDB relation
    try:
        return connection.sql(query, params=parameters or None)
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ConversionException):
        connection.execute(query, parameters)  # fails in the same way, but its error quotes the line
        raise


def _build_column(number: int, kind: str, style: str) -> str:
    if style == "json":  # `to_json` alone would not even evaluate an untyped expression, such as `error(…)`
        return f"CASE WHEN #{number} IS NOT NULL THEN to_json(#{number})::VARCHAR END"
    if style == "parquet" and kind in {"hugeint", "uhugeint"}:
        return f"#{number}::DECIMAL(38, 0)"
    unchanged = {"csv": frozenset(), "parquet": _PARQUET_TYPES}.get(style, PYTHON_TYPES)
    return f"#{number}" if kind in unchanged else f"#{number}::VARCHAR"


def _fetch_rows(result: Any, limit: TimeLimit) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - a DuckDB result
    rows = [()]
    while rows:
        with limit.running():
            rows = result.fetchmany(_ROWS_AT_ONCE)
        yield from rows
