"""`sql` and `report`: read the published warehouse."""

import sys
from pathlib import Path
from shutil import get_terminal_size

import click

from pipelines.cli.published import find_published


def _complete_example(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    from pipelines.marts.examples import find_examples

    return [example.name for example in find_examples() if example.name.startswith(typed)]


@click.command("sql")
@click.argument("query", required=False)
@click.option("-f", "--file", "file", help="Read the query from a file (- for stdin).")
@click.option("--format", "style", type=click.Choice(["table", "lines", "csv", "json"]), default="table")
@click.option(
    "--spreadsheet",
    is_flag=True,
    help="With --format csv: put ' in front of text that a spreadsheet would evaluate (= + - @).",
)
@click.option(
    "--timeout",
    "timeout_seconds",
    type=click.FloatRange(min=0),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="End the query after this time; 0 for no limit.",
)
@click.option("--example", metavar="NAME", shell_complete=_complete_example, help="Run an example, by name or number.")
@click.option("--examples", is_flag=True, help="List the examples: queries to start from.")
@click.option("--tables", is_flag=True, help="List all tables with their descriptions.")
@click.option("--columns", metavar="TABLE", help="List the columns of a table with types and descriptions.")
def sql_command(
    query: str | None,
    file: str | None,
    style: str,
    *,
    timeout_seconds: float,
    example: str | None,
    examples: bool,
    tables: bool,
    columns: str | None,
    spreadsheet: bool,
) -> None:
    """Run QUERY on the warehouse, read-only.

    `--format table` fits the terminal, `--format lines` prints one value per line. csv and json are for programs:
    every value exactly as DuckDB writes it; in CSV, NULL is an empty cell and an empty text is "".
    """
    if spreadsheet and style != "csv":
        raise click.UsageError("--spreadsheet goes with --format csv")
    if sum(source is not None for source in (query, file, example, columns)) + examples + tables != 1:
        raise click.UsageError(
            'give one query, or -f FILE, --example NAME, --examples, --tables or --columns TABLE: livehouse sql "from marts.daily_usage"'
        )
    if examples:
        _list_examples()
        return
    if tables:
        text = _TABLES
    elif columns is not None:
        text = _COLUMNS
    elif example is not None:
        text = _find_example(example)
    else:
        text = query if query is not None else _read_query(file or "-")
    _run(text, style, timeout_seconds, about=columns, for_spreadsheet=spreadsheet)


_TABLES = """
    SELECT schema_name || '.' || table_name AS "table", split_part(comment, '. ', 1) AS meaning FROM duckdb_tables()
    WHERE schema_name IN ('core', 'marts', 'ops', 'raw') ORDER BY ALL
"""
_COLUMNS = """
    SELECT column_name AS "column", data_type AS type, comment AS meaning FROM duckdb_columns()
    WHERE schema_name || '.' || table_name = lower(trim(?)) ORDER BY column_index
"""


def _run(text: str, style: str, timeout_seconds: float, *, about: str | None, for_spreadsheet: bool) -> None:
    import duckdb

    from pipelines.cli.query_limits import TimeLimit, limit_memory
    from pipelines.cli.rendering import read_result, write_csv, write_json
    from pipelines.errors import QueryError
    from pipelines.settings.reader_settings import load_reader_settings
    from pipelines.storage.sandbox import check_query

    warehouse, _ = find_published(load_reader_settings())
    with warehouse.open_published() as connection, limit_memory():
        try:
            query = check_query(connection, text)
            limit = TimeLimit(connection, timeout_seconds)
            result = read_result(connection, query, [] if about is None else [about], style, limit)
            if about is not None:
                rows = list(result.rows)
                if not rows:
                    raise QueryError(f"there is no table {about!r}: `livehouse sql --tables` lists them")
                result = result._replace(rows=iter(rows))
            if style == "csv":
                write_csv(result, for_spreadsheet=for_spreadsheet)
            elif style == "json":
                write_json(result)
            else:
                from pipelines.cli.table import show_lines, show_table

                (show_table if style == "table" else show_lines)(result.names, result.rows)
        except duckdb.Error as error:
            raise QueryError(_describe_error(error, text)) from None
        except RuntimeError as error:  # DuckDB raises it on ctrl-C
            if "interrupted" not in str(error):
                raise
            raise KeyboardInterrupt from None


def _describe_error(error: Exception, query: str) -> str:
    """Return DuckDB's message without the quoted line of the query; with its number if the query has several lines."""
    message, _, at = str(error).partition("\n\nLINE ")
    line = f" (line {at.partition(':')[0]})" if at and "\n" in query.strip() else ""
    remedy = "; `livehouse sql --tables` lists all" if message.startswith("Catalog Error: Table") else ""
    return " ".join(message.split()) + line + remedy


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
    from pipelines.marts.sql_files import sql_directory

    width = get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for example in find_examples():
        click.echo(f"{example.name}\n{click.wrap_text(example.question, width, '    ', '    ')}")
    directory = sql_directory() / "examples"
    click.echo(f"livehouse: run one with `livehouse sql --example NAME`; their SQL is in {directory}", err=True)


def _find_example(named: str) -> str:
    """Return the SQL of an example, by its full name, by its name without the number, or by its number."""
    from pipelines.marts.examples import find_examples

    for example in find_examples():
        number, _, name = example.name.partition("_")
        if named in (example.name, name, number, number.lstrip("0")):
            return example.sql
    raise click.UsageError(f"there is no example {named!r}: `livehouse sql --examples` lists them")


@click.command("report")
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
def report_command(*, open_it: bool) -> None:
    """Write $LIVEHOUSE_HOME/report.html from the published warehouse, and print its path."""
    from pipelines.report.metrics import Rates
    from pipelines.report.page import write_report
    from pipelines.settings.reader_settings import load_reader_settings

    settings = load_reader_settings()
    published, home = find_published(settings)
    rates = Rates(settings.export_rate, settings.participant_rate)
    with published.open_published() as connection:
        path = write_report(connection, home / "report.html", rates)
    click.echo(path)
    if open_it:
        click.launch(str(path))
