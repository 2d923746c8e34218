"""Parses the SQL of marts with sqlglot, which takes long to import: import this module only where nothing is cached."""

from collections.abc import Iterator, Mapping
from functools import cache

import sqlglot
from sqlglot import exp
from sqlglot.lineage import Node, lineage

from pipelines.marts.parsed_sql import Source, TableColumns


@cache
def _parse(sql: str) -> exp.Expr:
    """Parse a query, once. Do not change the result."""
    return sqlglot.parse_one(sql, dialect="duckdb")


def find_tables(sql: str) -> list[str]:
    """Return the full names of the tables that a query reads."""
    return sorted({f"{table.db}.{table.name}" for table in _parse(sql).find_all(exp.Table) if table.db})


def find_columns(sql: str, tables: Mapping[str, TableColumns]) -> dict[str, list[str]]:
    """Return the columns that a query reads of each of `tables` that it reads.

    A column name that several tables have counts as read from each of them.
    """
    query = _parse(sql)
    names = {column.name for column in query.find_all(exp.Column)}
    names |= {name.name for join in query.find_all(exp.Join) for name in join.args.get("using") or ()}
    found = set(find_tables(sql)) & tables.keys()
    return {name: sorted(_columns_read(query, name, tables[name], names)) for name in sorted(found)}


def _columns_read(query: exp.Expr, full_name: str, table: TableColumns, names: set[str]) -> set[str]:
    for select in query.find_all(exp.Select):
        sources = [select.args.get("from_") or select.args.get("from"), *(select.args.get("joins") or ())]
        direct = {
            f"{source.this.db}.{source.this.name}"
            for source in sources
            if source and isinstance(source.this, exp.Table)
        }
        if full_name in direct and any(column.is_star for column in select.expressions):
            return set(table.names)
    return names & set(table.names) | set(table.key)


def find_lineage(sql: str, tables: Mapping[str, TableColumns]) -> dict[str, list[Source]]:
    """Return the columns of `tables` from which each column of a query is computed."""
    schema: dict[str, dict[str, dict[str, str]]] = {}
    for full_name, table in tables.items():
        group, _, name = full_name.partition(".")
        schema.setdefault(group, {})[name] = dict.fromkeys(table.names, "")
    query = _parse(sql)
    nodes = lineage(None, query, schema, dialect="duckdb", trim_selects=False)
    return {name: sorted(set(_sources(node, query, tables))) for name, node in nodes.items()}


def _sources(node: Node, query: exp.Expr, tables: Mapping[str, TableColumns]) -> Iterator[Source]:
    for leaf in (found for found in node.walk() if not found.downstream):
        if isinstance(leaf.expression, exp.Table):
            yield f"{leaf.expression.db}.{leaf.expression.name}", leaf.name.rpartition(".")[2]
        elif any(isinstance(count.this, exp.Star) for count in leaf.expression.find_all(exp.Count)):
            # count(*) names no column: it counts the keys of the table in its FROM
            counted = _counted_table(leaf.source, query)
            yield from ((counted, key) for key in tables[counted].key)


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
