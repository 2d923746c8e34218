"""Keep what a month's statement says, and the records behind it."""

from datetime import date, datetime

import duckdb

from pipelines.catalog.cost import STATEMENT_ALLOWANCES, STATEMENT_RECORDS, STATEMENTS
from pipelines.catalog.types import Table
from pipelines.statement.figures import last_day_of
from pipelines.statement.records import CURRENT_RECORDS

_COSTS = """
    SELECT *, $number AS number, $closed_at::TIMESTAMP AS closed_at, loaded_at AS as_of
    FROM marts.monthly_cost WHERE month = $month
"""
_ALLOWANCES = "SELECT *, $number AS number FROM marts.monthly_allowance WHERE month = $month"
_RECORDS = f"SELECT *, $first::DATE AS month FROM ({CURRENT_RECORDS})"


def close_month(connection: duckdb.DuckDBPyConnection, month: date, closed_at: datetime) -> int:
    """Write the current statement of a month in one transaction, and return its number.

    Earlier statements keep their figures. Only the records behind the last one are kept: a later statement is compared with it.
    """
    connection.execute("BEGIN")
    [(number,)] = connection.execute(
        f"SELECT coalesce(max(number), 0) + 1 FROM {STATEMENTS.full_name} WHERE month = ?", [month]
    ).fetchall()
    _insert(connection, STATEMENTS, _COSTS, month=month, number=number, closed_at=closed_at)
    _insert(connection, STATEMENT_ALLOWANCES, _ALLOWANCES, month=month, number=number)
    connection.execute(f"DELETE FROM {STATEMENT_RECORDS.full_name} WHERE month = ?", [month])
    _insert(connection, STATEMENT_RECORDS, _RECORDS, first=month, last=last_day_of(month))
    connection.execute("COMMIT")
    return int(number)


def _insert(connection: duckdb.DuckDBPyConnection, table: Table, query: str, **parameters: object) -> None:
    """Append the rows of a query, which may have further columns."""
    columns = ", ".join(table.column_names)
    connection.execute(f"INSERT INTO {table.full_name} BY NAME SELECT {columns} FROM ({query})", parameters)
