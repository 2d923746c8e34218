"""What each column of a mart is made of, read from the mart's SQL."""

from collections.abc import Iterator

from sqlglot import exp
from sqlglot.lineage import Node, lineage

from pipelines.catalog.files import WAREHOUSE_FILE
from pipelines.marts.build import Mart, parsed

Source = tuple[str, str]
"""Full name of a table, and one of its columns."""


def column_lineage(mart: Mart) -> dict[str, tuple[Source, ...]]:
    """The columns that each column of a mart is computed from; not those that only join or filter its rows."""
    columns = {table.full_name: table.column_names for table in WAREHOUSE_FILE}
    columns |= {other.full_name: tuple(other.columns) for other in mart.builds_on}
    schema: dict[str, dict[str, dict[str, str]]] = {}
    for full_name, names in columns.items():
        group, _, table = full_name.partition(".")
        schema.setdefault(group, {})[table] = dict.fromkeys(names, "")
    query = parsed(mart.sql)
    nodes = lineage(None, query, schema, dialect="duckdb", trim_selects=False)
    keys = {table.full_name: table.key for table in WAREHOUSE_FILE}
    keys |= {other.full_name: other.grain for other in mart.builds_on}
    return {name: tuple(sorted(set(_sources(node, query, keys)))) for name, node in nodes.items()}


def _sources(node: Node, query: exp.Expr, keys: dict[str, tuple[str, ...]]) -> Iterator[Source]:
    for leaf in (found for found in node.walk() if not found.downstream):
        if isinstance(leaf.expression, exp.Table):
            yield f"{leaf.expression.db}.{leaf.expression.name}", leaf.name.rpartition(".")[2]
        elif any(isinstance(count.this, exp.Star) for count in leaf.expression.find_all(exp.Count)):
            # count(*) names no column: what it counts is the keys of the table that its FROM leads to
            counted = _counted(leaf.source, query)
            yield from ((counted, key) for key in keys[counted])


def _counted(select: exp.Expr, query: exp.Expr) -> str:
    named = {cte.alias: cte.this for cte in query.find_all(exp.CTE)}
    while True:
        origin = select.find(exp.From)
        table = origin.find(exp.Table) if origin else None
        if table is None:
            raise ValueError(f"count(*) of nothing: {select.sql(dialect='duckdb')}")
        if table.db:
            return f"{table.db}.{table.name}"
        select = named[table.name]
