"""Check and run a user's query: one statement that reads tables, and nothing else.

A reader's connection is read-only and has no access to other files (`publish.py`, `attach.py`), but some functions of
DuckDB bypass that: `postgres_execute` writes to the catalog of a lakehouse, `postgres_scan` sends a password to any
host, `COPY` may write where DuckDB must read, `current_setting` returns credentials. So the parsed tree of each query
is searched for functions that readers must not call. Table functions are refused unless they are listed here; scalar
functions are allowed unless they are listed, or come from an extension.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import duckdb

from pipelines.errors import QueryError, UsageError
from pipelines.text import is_utf8

TABLE_FUNCTIONS = frozenset(
    {
        *("generate_series", "range", "repeat", "repeat_row", "unnest", "json_each", "json_tree", "summary"),
        *("duckdb_columns", "duckdb_constraints", "duckdb_databases", "duckdb_dependencies", "duckdb_functions"),
        *("duckdb_indexes", "duckdb_keywords", "duckdb_schemas", "duckdb_sequences", "duckdb_tables", "duckdb_types"),
        *("duckdb_views", "duckdb_memory", "duckdb_optimizers", "icu_calendar_names", "pg_timezone_names"),
        *("pragma_collations", "pragma_database_size", "pragma_metadata_info", "pragma_platform", "pragma_show"),
        *("pragma_storage_info", "pragma_table_info", "pragma_user_agent", "pragma_version"),
        *("ducklake_current_snapshot", "ducklake_last_committed_snapshot", "ducklake_snapshots"),
        *("ducklake_table_changes", "ducklake_table_deletions", "ducklake_table_info", "ducklake_table_insertions"),
    }
)
"""Table functions that only read the warehouse, or compute."""

REFUSED_SCALARS = frozenset(
    {"current_setting", "getenv", "nextval", "currval", "write_log", "json_serialize_plan", "pg_sleep"}
)
"""Scalar functions that return settings or the environment, that change something, that wait, or that run a query given as text.

`json_serialize_plan` binds that query: it connects to the host of a `postgres_scan` and computes `current_setting`.
"""

REFUSED_PREFIXES = ("__internal", "ducklake_", "pg_clear", "postgres_", "read_", "write_")
"""The same for families of functions, to which DuckDB and its extensions add with each version."""

REFUSED_TABLES = frozenset({"duckdb_logs", "pg_settings"})
"""Views of DuckDB that show the values of settings, credentials included, or what was logged."""

_METADATA = "__ducklake_metadata"
"""DuckLake's name for the PostgreSQL database of its catalog, with every other table in it."""

_FILE = re.compile(r"\.(avro|csv|db|ddb|duckdb|geojson|gz|json|jsonl|ndjson|parquet|sqlite|tsv|txt|vortex|xlsx|zst)\b")
"""Matches names of files that DuckDB reads in place of a table: also `FROM "/lake/file".parquet`, whose parts it joins."""

_ALLOWED = "give one query that reads: SELECT, FROM, WITH, VALUES, DESCRIBE, SUMMARIZE, SHOW, PIVOT or EXPLAIN"

_EXPLAIN_OPTIONS = ("explain", "analyze", "verbose")


def run_query(
    connection: duckdb.DuckDBPyConnection, text: str, parameters: Sequence[object] | Mapping[str, object] = ()
) -> duckdb.DuckDBPyConnection:
    """Run one reading query. Returns the connection, which has its result.

    Raises `QueryError` if the text is anything else, `UsageError` if it is empty, and `duckdb.Error` if DuckDB
    refuses it.
    """
    return connection.execute(check_query(connection, text), parameters)


def check_query(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """Return the SQL to execute. Raises `QueryError` if it is not one query that only reads the warehouse."""
    if not is_utf8(text):
        raise UsageError("the query is not UTF-8 text")
    statements = connection.extract_statements(text)
    kinds = [statement.type.name for statement in statements]
    if not statements:
        raise UsageError(f"the query is empty: {_ALLOWED}")
    if _is_dynamic_pivot(statements):
        _check_tokens(connection, text)
        return text
    if len(statements) > 1 and all(statement.query for statement in statements):
        raise QueryError(f"{len(statements)} statements: {_ALLOWED}")
    query = str(statements[0].query)
    if kinds == ["EXPLAIN"]:
        _check_tree(connection, _explained_query(connection, query))
    elif kinds == ["SELECT"]:
        _check_tree(connection, query)
    elif "EXPLAIN" in kinds:
        raise QueryError("a PIVOT can be explained only where it lists its values: PIVOT … ON column IN (…)")
    else:
        raise QueryError(f"{kinds[0].replace('_', ' ')} is refused, queries only read: {_ALLOWED}")
    return query


def _is_dynamic_pivot(statements: Sequence[Any]) -> bool:
    """Whether DuckDB generated these statements from one PIVOT: it first creates a temporary type of the values it finds."""
    *before, last = [statement.type.name for statement in statements]
    is_generated = not any(statement.query for statement in statements)
    return bool(before) and is_generated and set(before) == {"CREATE"} and last == "SELECT"


def _explained_query(connection: duckdb.DuckDBPyConnection, text: str) -> str:
    """Return the query after EXPLAIN. Only its options are skipped: `EXPLAIN CREATE TABLE … AS SELECT` is refused."""
    tokens = _tokens(text)
    at = next((n for n, token in enumerate(tokens) if token.word not in _EXPLAIN_OPTIONS), len(tokens))
    starts = [at]
    if at < len(tokens) and tokens[at].word == "(":  # of options, or of the query itself
        depth = 0
        for number, token in enumerate(tokens[at:], at):
            depth += {"(": 1, ")": -1}.get(token.word, 0)
            if depth == 0:
                starts.append(number + 1)
                break
    for start in starts:
        rest = text[tokens[start].start :] if start < len(tokens) else ""
        try:
            statements = connection.extract_statements(rest)
        except duckdb.Error:
            continue
        if [statement.type.name for statement in statements] == ["SELECT"]:
            return rest
    raise QueryError(f"only a query can be explained: {_ALLOWED}")


def _check_tree(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    [(serialized,)] = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
    tree = json.loads(serialized)
    if tree["error"]:
        raise QueryError(f"{tree['error_message']}: {_ALLOWED}")
    nodes = list(_nodes(tree["statements"]))
    named_queries = {entry["key"].lower() for node in nodes for entry in _entries(node)}
    for node in nodes:
        if node.get("type") == "TABLE_FUNCTION":
            _check_table_function(str(node["function"].get("function_name", "")))
        elif "function_name" in node:
            _check_scalar(str(node["function_name"]))
        elif node.get("type") == "BASE_TABLE":
            _check_table(node, named_queries)


def _nodes(tree: object) -> Iterator[dict[str, Any]]:
    """Yield every object of a tree; without recursion, since a query may nest deeper than Python's stack."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(node)
        elif isinstance(node, dict):
            yield node
            if node.get("type") == "TABLE_FUNCTION":  # the call in it is checked as one, not as a scalar
                node = node | {"function": [*node["function"].values()]}
            waiting.extend(node.values())


def _entries(node: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the common table expressions of a WITH."""
    named = node.get("cte_map")
    return [entry for entry in named.get("map", []) if "key" in entry] if isinstance(named, dict) else []


def _check_table_function(name: str) -> None:
    if name.lower() not in TABLE_FUNCTIONS:
        raise QueryError(f"the table function {name} is refused: queries read the warehouse's own tables only")


def _check_scalar(name: str) -> None:
    lower = name.lower()
    if lower in REFUSED_SCALARS or lower.startswith(REFUSED_PREFIXES):
        raise QueryError(f"the function {name} is refused: queries read the warehouse's own tables only")


def _check_table(node: dict[str, Any], named_queries: set[str]) -> None:
    name = str(node.get("table_name", "")).lower()
    qualifiers = [str(node[part]).lower() for part in ("catalog_name", "schema_name") if node.get(part)]
    is_metadata = any(qualifier.startswith(_METADATA) for qualifier in qualifiers)
    # DuckDB reads `FROM 'file.csv'` as a table of that name, and looks for a file where there is none.
    is_unknown = not qualifiers and not name.replace(" ", "_").isidentifier() and name not in named_queries
    # A WITH elsewhere in the query may use the same name: it does not hide the file from the rest of the query.
    is_file = is_unknown or bool(_FILE.search(".".join([*qualifiers, name])))
    if is_metadata or is_file or name in REFUSED_TABLES:
        raise QueryError(f"{node['table_name']!r} is refused: queries read the warehouse's own tables only")


# --- by tokens: DuckDB returns no tree for a PIVOT without a list of values ------------------------------------

_TABLE_FOLLOWS = {"from", "join", "pivot", "pivot_wider", "unpivot", "table", "describe", "desc", "summarize", "show"}

_CALLABLE = """
    SELECT function_name, function_type LIKE 'table%' FROM duckdb_functions()
    UNION ALL SELECT keyword_name, false FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'
"""
_CALLABLE_KEYWORDS = {"cube", "exclude", "if", "ifnull", "materialized", "over", "rename", "rollup", "sets"}
"""Words of the grammar that an opening parenthesis may follow, though a function could have their name."""

_CONSTANT = re.compile(r"[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|(\$\w*\$).*?\1", re.DOTALL)

_WORD = re.compile(r'"(?:[^"]|"")*"|[\w$]+|.', re.DOTALL)


class _Token(NamedTuple):
    start: int
    """Offset in characters."""
    word: str
    """In lower case; identifiers without quotes, constants and operators only in part."""
    kind: Any


def _check_tokens(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    """Refuse every word that a tree must not contain, wherever it occurs, and every function that is not known."""
    found = connection.execute(_CALLABLE).fetchall()
    refused = {str(name) for name, is_table_function in found if is_table_function} - TABLE_FUNCTIONS
    known = {str(name) for name, _ in found} | _CALLABLE_KEYWORDS
    tokens = _tokens(text)
    words = ["", *(token.word for token in tokens)]
    for before, token, after in zip(words, tokens, [*tokens[1:], None], strict=False):
        if token.kind == duckdb.token_type.string_const and _may_name_file(text[token.start : after and after.start]):
            raise QueryError(
                "a text that may name a file is refused in a PIVOT without a list of values: list them with IN (…)"
            )
        if token.kind not in (duckdb.token_type.identifier, duckdb.token_type.keyword):
            continue
        if after and after.word == "(":
            _check_scalar(token.word)
            if token.word in refused:
                _check_table_function(token.word)
            if token.word not in known:  # DuckDB does not list DuckLake's macros, such as `lake.options()`
                raise QueryError(
                    f"{token.word}(…) is refused in a PIVOT without a list of values: list them with IN (…)"
                )
        if token.word in _TABLE_FOLLOWS and after and after.kind == duckdb.token_type.string_const:
            raise QueryError("a file is refused: queries read the warehouse's own tables only")
        is_file = re.search(r"[/\\:*]|\.\w+$", token.word) or (before == "." and _FILE.match(f".{token.word}"))
        if is_file or token.word in REFUSED_TABLES or token.word.startswith(_METADATA):
            raise QueryError(f"{token.word!r} is refused: queries read the warehouse's own tables only")


def _may_name_file(text: str) -> bool:
    """Whether a constant, with the text up to the next token, may name a file: also in parts or with escapes."""
    found = _CONSTANT.match(text)
    constant = found[0].lower() if found else text.lower()
    is_continued = "'" in text[len(constant) :]
    return is_continued or bool(_FILE.search(constant)) or (constant.startswith("e'") and "\\" in constant)


def _tokens(text: str) -> list[_Token]:
    """Split a text as DuckDB does, without comments."""
    text = "".join(" " if _is_unicode_space(character) else character for character in text)
    raw = text.encode()
    tokens, start, last = [], 0, 0
    for at, kind in duckdb.tokenize(text):
        start += len(raw[last:at].decode())
        last = at
        found = _WORD.match(text, start)
        word = found[0] if found else ""
        if word.startswith('"'):
            word = word[1:-1].replace('""', '"')
        if kind != duckdb.token_type.comment:
            tokens.append(_Token(start, word.lower(), kind))
    return tokens


def _is_unicode_space(character: str) -> bool:
    """Whether DuckDB's parser may take a character as a space: its tokenizer takes it as a letter of a word."""
    return character > "\x7f" and (character.isspace() or unicodedata.category(character) == "Cf")
