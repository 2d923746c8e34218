"""`sql` and `report`: read the published warehouse."""

import re
import sys
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import check_spreadsheet, open_option, spreadsheet_option, timeout_option
from pipelines.cli.published import find_published
from pipelines.cli.suggestions import did_you_mean

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from pipelines.errors import QueryError
    from pipelines.marts.examples import Example


def _complete_example(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    from pipelines.marts.examples import find_examples

    return [example.name for example in find_examples() if example.name.startswith(typed)]


@click.command("sql")
@click.argument("query", required=False)
@click.option("-f", "--file", "file", help="Read the query from a file (- for stdin).")
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "lines", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="table fits the terminal; lines, csv and json leave nothing out.",
)
@spreadsheet_option
@timeout_option(default_seconds=600, can_be_zero=True)
@click.option("--param", "params", metavar="NAME=VALUE", multiple=True, help="Set the parameter $NAME of the query.")
@click.option("--example", metavar="NAME", shell_complete=_complete_example, help="Run an example, by name or number.")
@click.option("--sql", "prints_sql", is_flag=True, help="With --example: print its SQL instead of running it.")
@click.option("--examples", is_flag=True, help="List the examples, queries to start from, with their parameters.")
@click.option("--tables", is_flag=True, help="List all tables with their descriptions.")
@click.option("--columns", metavar="TABLE", help="List the columns of a table with types and descriptions.")
def sql_command(
    query: str | None,
    file: str | None,
    style: str,
    *,
    timeout_seconds: float,
    params: tuple[str, ...],
    example: str | None,
    prints_sql: bool,
    examples: bool,
    tables: bool,
    columns: str | None,
    spreadsheet: bool,
) -> None:
    """Run QUERY on the warehouse, read-only. Without QUERY, read it from piped input.

    `--format table` fits the terminal, `--format lines` prints one value per line. csv and json are for programs:
    every value exactly as DuckDB writes it; in CSV, NULL is an empty cell and an empty text is "". parquet keeps the types
    of numbers, days, times and texts; every other value is text.
    """
    check_spreadsheet(style, for_spreadsheet=spreadsheet)
    _refuse("parquet is binary: redirect it to a file", style == "parquet" and sys.stdout.isatty())
    sources = sum(source is not None for source in (query, file, example, columns)) + examples + tables
    if not sources and (piped := _read_pipe()):
        query, sources = piped, 1
    _refuse(
        'give one query, or -f FILE, --example NAME, --examples, --tables or --columns TABLE: livehouse sql "from marts.daily_usage"',
        sources != 1,
    )
    _refuse("--sql goes with --example NAME", prints_sql and example is None)
    values = _parse_params(params)
    _refuse("--param goes with a query or --example NAME", values and (examples or tables or columns is not None))
    run = partial(_run, style=style, timeout_seconds=timeout_seconds, for_spreadsheet=spreadsheet)
    if examples:
        _list_examples()
    elif example is not None:
        found = _find_example(example, values)
        if prints_sql:
            click.echo(found.fill(values).rstrip())
        else:
            run(found.sql, found.defaults | values)
    elif tables:
        run(_TABLES, {})
    elif columns is not None:
        run(_COLUMNS, {"table": columns})
    else:
        run(query if query is not None else _read_query(file or "-"), values)


def _refuse(message: str, is_wrong: object) -> None:
    if is_wrong:
        raise click.UsageError(message)


_TABLES = """
    SELECT
        schema_name || '.' || table_name AS "table",
        regexp_extract(regexp_replace(comment, '\\s+', ' ', 'g'), '^(.*?)(\\.? *$|\\. )', 1) AS meaning
    FROM duckdb_tables() WHERE schema_name IN ('core', 'marts', 'ops', 'raw') ORDER BY ALL
"""
_COLUMNS = """
    SELECT column_name AS "column", data_type AS type, comment AS meaning FROM duckdb_columns()
    WHERE schema_name || '.' || table_name = lower(trim($table)) ORDER BY column_index
"""


def _run(
    text: str, parameters: dict[str, str | None], *, style: str, timeout_seconds: float, for_spreadsheet: bool
) -> None:
    import duckdb

    from pipelines.cli.query_limits import TimeLimit, limit_memory
    from pipelines.cli.query_result import read_frame, read_result
    from pipelines.export.query_results import write_csv, write_json
    from pipelines.settings.reader_settings import load_reader_settings
    from pipelines.storage.ducklake_errors import is_unreadable_file
    from pipelines.storage.sandbox import check_query

    warehouse, _ = find_published(load_reader_settings())
    with warehouse.open_published() as connection, limit_memory():
        try:
            query = check_query(connection, text)
            limit = TimeLimit(connection, timeout_seconds)
            if style == "parquet":
                frame = read_frame(connection, query, parameters, limit)
                _check_columns(text, parameters, connection, has_rows=not frame.is_empty())
                frame.write_parquet(sys.stdout.buffer)
                return
            result = read_result(connection, query, parameters, style, limit)
            first = next(result.rows, None)
            _check_columns(text, parameters, connection, has_rows=first is not None)
            result = result._replace(rows=chain([first] if first is not None else [], result.rows))
            if style == "csv":
                write_csv(result, sys.stdout, for_spreadsheet=for_spreadsheet)
            elif style == "json":
                write_json(result, sys.stdout)
            else:
                from pipelines.cli.table import show_lines, show_table

                (show_table if style == "table" else show_lines)(result.names, result.rows)
        except duckdb.Error as error:
            if is_unreadable_file(error):
                raise  # not a fault of the query: the warehouse names the remedy
            raise _describe_error(error, connection) from None


def _check_columns(
    text: str, parameters: dict[str, str | None], connection: "DuckDBPyConnection", *, has_rows: bool
) -> None:
    """Raise `QueryError` if the columns of a table were listed and there are none."""
    if text is _COLUMNS and not has_rows:
        raise _describe_missing_table(str(parameters["table"]), connection)


def _describe_error(error: Exception, connection: "DuckDBPyConnection") -> "QueryError":
    """Return DuckDB's message in one line, with a suggestion, and its excerpt: the line of the query and a caret."""
    from pipelines.errors import QueryError

    message, _, at = str(error).partition("\n\nLINE ")
    excerpt = f"LINE {at}" if at else ""
    if found := re.match(r"Catalog Error: Table with name (.+?) does not exist", message):
        return _describe_missing_table(found[1], connection, excerpt)
    if found := re.match(r'Binder Error: Referenced column "(.+?)" not found', message):
        candidates = re.findall(r'"([^"]+)"', message.partition("Candidate bindings:")[2])
        if suggestion := did_you_mean(found[1], candidates):
            return QueryError(f"there is no column {found[1]!r}{suggestion}", excerpt)
    if found := re.search(r"not provided for the following prepared statement parameters: (.+)", message):
        return QueryError(f"the query needs {' '.join(f'--param {name}=VALUE' for name in found[1].split(', '))}")
    if found := re.search(r"identifiers of the excess parameters: (.+)", message):
        return QueryError(f"the query has no parameter {found[1]}")
    return QueryError(" ".join(message.split()), excerpt)


def _describe_missing_table(table: str, connection: "DuckDBPyConnection", excerpt: str = "") -> "QueryError":
    from pipelines.errors import QueryError

    known = [str(name) for name, _ in connection.execute(_TABLES).fetchall()]
    remedy = did_you_mean(table, known) or ": `livehouse sql --tables` lists them"
    return QueryError(f"there is no table {table!r}{remedy}", excerpt)


def _parse_params(params: tuple[str, ...]) -> dict[str, str | None]:
    """Return the values of parameters by name; an empty value is NULL."""
    from pipelines.text import is_utf8

    values: dict[str, str | None] = {}
    for param in params:
        name, equals, value = param.partition("=")
        if not equals or not name.isidentifier() or not is_utf8(param):
            raise click.UsageError(f"--param {param}: must be NAME=VALUE in UTF-8, e.g. --param month=2026-10")
        values[name] = value or None
    return values


def _read_pipe() -> str:
    """Return a query that another program has piped into this one; empty on a terminal."""
    with suppress(OSError):
        return sys.stdin.read().strip() if sys.stdin and not sys.stdin.isatty() else ""
    return ""


def _read_query(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.read() if sys.stdin else ""
        return Path(file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError(f"-f {file}: is not UTF-8 text") from None
    except OSError as error:
        raise click.UsageError(f"-f {file}: {error.strerror}") from None


def _list_examples() -> None:
    from pipelines.marts.examples import find_examples
    from pipelines.telemetry.logs import log

    width = get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for example in find_examples():
        click.echo(f"{example.name}\n{click.wrap_text(example.question, width, '    ', '    ')}")
        for parameter in example.parameters:
            default = "" if parameter.default is None else f" (default: {parameter.default})"
            line = f"--param {parameter.name}={parameter.form}: {parameter.description}{default}"
            click.echo(click.wrap_text(line, width, "    ", "        "))
    log("livehouse: run one with `livehouse sql --example NAME`; --sql prints its SQL instead")


def _find_example(named: str, values: dict[str, str | None]) -> "Example":
    """Return an example, by its full name, by its name without the number, or by its number; check its parameters."""
    from pipelines.marts.examples import find_examples

    short_names = []
    for example in find_examples():
        number, _, name = example.name.partition("_")
        if named in (example.name, name, number, number.lstrip("0")):
            for parameter in values.keys() - example.defaults.keys():
                suggestion = did_you_mean(parameter, example.defaults)
                raise click.UsageError(f"{example.name} has no parameter {parameter!r}{suggestion}")
            return example
        short_names.append(name)
    suggestion = did_you_mean(named, short_names)
    raise click.UsageError(f"there is no example {named!r}{suggestion or ': `livehouse sql --examples` lists them'}")


@click.command("report")
@open_option
def report_command(*, open_it: bool) -> None:
    """Write $LIVEHOUSE_HOME/report.html from the published warehouse, and print its path."""
    from pipelines.report.page import write_report
    from pipelines.settings.reader_settings import load_reader_settings

    settings = load_reader_settings()
    published, home = find_published(settings)
    with published.open_published() as connection:
        path = write_report(connection, home / "report.html")
    click.echo(path)
    if open_it:
        click.launch(str(path))
