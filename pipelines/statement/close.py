"""Keep what a month's statement says, and the records behind it."""

from datetime import date, datetime

import duckdb

from pipelines.catalog.cost import STATEMENT_ALLOWANCES, STATEMENT_RECORDS, STATEMENTS
from pipelines.catalog.types import Table
from pipelines.statement.figures import last_day_of
from pipelines.statement.records import CURRENT_RECORDS

_COLUMNS = {
    STATEMENTS: "$number AS number, $closed_at::TIMESTAMP AS closed_at, loaded_at AS as_of",
    STATEMENT_ALLOWANCES: "$number AS number",
}


def close_month(connection: duckdb.DuckDBPyConnection, month: date, closed_at: datetime) -> int:
    """Write the current statement of a month in one transaction, and return its number.

    Earlier statements keep their figures. Only the records behind the last one are kept: a later statement is compared with it.
    """
    connection.execute("BEGIN")
    [(number,)] = connection.execute(
        f"SELECT coalesce(max(number), 0) + 1 FROM {STATEMENTS.full_name} WHERE month = ?", [month]
    ).fetchall()
    given = {"month": month, "number": number, "closed_at": closed_at}
    for table, mart in ((STATEMENTS, "marts.monthly_cost"), (STATEMENT_ALLOWANCES, "marts.monthly_allowance")):
        source = f"(SELECT *, {_COLUMNS[table]} FROM {mart} WHERE month = $month)"
        named = {name: value for name, value in given.items() if f"${name}" in source}
        connection.execute(f"INSERT INTO {table.full_name} BY NAME {_select(table, source)}", named)
    connection.execute(f"DELETE FROM {STATEMENT_RECORDS.full_name} WHERE month = ?", [month])
    source = f"(SELECT *, $first::DATE AS month FROM ({CURRENT_RECORDS}))"
    connection.execute(
        f"INSERT INTO {STATEMENT_RECORDS.full_name} BY NAME {_select(STATEMENT_RECORDS, source)}",
        {"first": month, "last": last_day_of(month)},
    )
    connection.execute("COMMIT")
    return int(number)


def _select(table: Table, source: str) -> str:
    return f"SELECT {', '.join(table.column_names)} FROM {source}"
