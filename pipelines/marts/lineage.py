"""Column lineage of marts, read from their SQL."""

from collections.abc import Iterator

from sqlglot import exp
from sqlglot.lineage import Node, lineage

from pipelines.catalog.files import WAREHOUSE_FILE
from pipelines.marts.build import Mart, parse_sql

Source = tuple[str, str]
"""Full name of a table, and a column."""


def column_lineage(mart: Mart) -> dict[str, tuple[Source, ...]]:
    """Return the columns from which each column of a mart is computed, without those that only join or filter rows."""
    columns = {table.full_name: table.column_names for table in WAREHOUSE_FILE}
    columns |= {other.full_name: tuple(other.columns) for other in mart.builds_on}
    schema: dict[str, dict[str, dict[str, str]]] = {}
    for full_name, names in columns.items():
        group, _, table = full_name.partition(".")
        schema.setdefault(group, {})[table] = dict.fromkeys(names, "")
    query = parse_sql(mart.sql)
    nodes = lineage(None, query, schema, dialect="duckdb", trim_selects=False)
    keys = {table.full_name: table.key for table in WAREHOUSE_FILE}
    keys |= {other.full_name: other.grain for other in mart.builds_on}
    return {name: tuple(sorted(set(_sources(node, query, keys)))) for name, node in nodes.items()}


def _sources(node: Node, query: exp.Expr, keys: dict[str, tuple[str, ...]]) -> Iterator[Source]:
    for leaf in (found for found in node.walk() if not found.downstream):
        if isinstance(leaf.expression, exp.Table):
            yield f"{leaf.expression.db}.{leaf.expression.name}", leaf.name.rpartition(".")[2]
        elif any(isinstance(count.this, exp.Star) for count in leaf.expression.find_all(exp.Count)):
            # count(*) names no column: it counts the keys of the table in its FROM
            counted = _counted_table(leaf.source, query)
            yield from ((counted, key) for key in keys[counted])


def _counted_table(select: exp.Expr, query: exp.Expr) -> str:
    named = {cte.alias: cte.this for cte in query.find_all(exp.CTE)}
    while True:
        origin = select.find(exp.From)
        table = origin.find(exp.Table) if origin else None
        if table is None:
            raise ValueError(f"count(*) without a table: {select.sql(dialect='duckdb')}")
        if table.db:
            return f"{table.db}.{table.name}"
        select = named[table.name]
