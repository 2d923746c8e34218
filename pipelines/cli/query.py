"""`sql` and `report`: what was published, for people."""

import csv
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from pipelines.load.store import Store

_ROWS_AT_ONCE = 10_000


def _published() -> "Store":
    """The warehouse of the settings, or the demo's where that is meant."""
    from pipelines.cli.demo import demo_instead  # noqa: PLC0415 - kept out of --help
    from pipelines.load.store import open_store  # noqa: PLC0415 - kept out of --help
    from pipelines.load.warehouse import Warehouse  # noqa: PLC0415 - kept out of --help
    from pipelines.settings import load_settings  # noqa: PLC0415 - kept out of --help

    settings = load_settings()
    demo = demo_instead(settings)
    return Warehouse(demo / "warehouse.duckdb") if demo else open_store(settings)


@click.command("sql")
@click.argument("query", required=False)
@click.option(
    "-f", "--file", "file", type=click.File(encoding="utf-8"), help="Read the query from a file (- for stdin)."
)
@click.option("--format", "style", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
@click.option("--examples", is_flag=True, help="List the example queries in sql/examples.")
def sql_command(query: str | None, file: TextIO | None, style: str, *, examples: bool) -> None:
    """Run QUERY on the warehouse, read-only."""
    if examples:
        _list_examples()
        return
    if (query is None) == (file is None):
        raise click.UsageError('give a query, or -f FILE: livehouse sql "select * from marts.daily_usage"')
    text = query if query is not None else file.read() if file else ""
    import duckdb  # noqa: PLC0415 - kept out of --help

    from pipelines.errors import QueryError  # noqa: PLC0415 - kept out of --help

    with _published().open_published() as connection:
        try:
            result = connection.execute(text)
            names = [column[0] for column in result.description or []]
            _WRITERS[style](names, _rows(result))
        except duckdb.Error as error:
            raise QueryError(" ".join(str(error).split())) from None


def _rows(result: Any) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - a DuckDB result
    while rows := result.fetchmany(_ROWS_AT_ONCE):
        yield from rows


def _write_csv(names: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    from pipelines.cli.text import printable  # noqa: PLC0415 - kept out of --help

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    if sys.stdout.isatty():  # a file gets every text as it is, a terminal must not obey it
        rows = (tuple(printable(cell) if isinstance(cell, str) else cell for cell in row) for row in rows)
    writer.writerows(rows)


def _write_json(names: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    from pipelines.cli.text import printable_json  # noqa: PLC0415 - kept out of --help

    separator = "["
    for row in rows:
        record = json.dumps(dict(zip(names, row, strict=True)), default=_plain, ensure_ascii=False)
        sys.stdout.write(separator + printable_json(record))
        separator = ",\n "
    sys.stdout.write("]\n" if separator != "[" else "[]\n")


def _plain(value: Any) -> str:  # noqa: ANN401 - what JSON has no form for
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _write_table(names: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    from pipelines.cli.table import show_table  # noqa: PLC0415 - rich, only for tables

    show_table(names, rows)


_WRITERS = {"table": _write_table, "csv": _write_csv, "json": _write_json}


def _list_examples() -> None:
    from pipelines.report.marts import sql_directory  # noqa: PLC0415 - kept out of --help

    for path in sorted((sql_directory() / "examples").glob("*.sql")):
        question = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("--").strip()
        click.echo(f"{path}\n    {question}")


@click.command("report")
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
def report_command(*, open_it: bool) -> None:
    """Write report.html beside the warehouse's home, from what was published."""
    from pipelines.report.page import Rates, write_report_from  # noqa: PLC0415 - kept out of --help
    from pipelines.settings import load_settings  # noqa: PLC0415 - kept out of --help

    settings, published = load_settings(), _published()
    home = published.directory if published.directory.name == "demo" else settings.home
    rates = Rates(settings.export_rate, settings.participant_rate)
    with published.open_published() as connection:
        path = write_report_from(connection, home / "report.html", rates)
    click.echo(path)
    if open_it:
        click.launch(str(path))
