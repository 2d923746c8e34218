"""`export`: core and marts as files for other engines."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.options import check_spreadsheet, spreadsheet_option
from pipelines.cli.param_types import day
from pipelines.cli.published import find_published
from pipelines.cli.suggestions import did_you_mean

if TYPE_CHECKING:
    from pipelines.export.tables import ExportTable


@click.command("export")
@click.argument("target", metavar="DIR")
@click.option(
    "--format",
    "style",
    type=click.Choice(["parquet", "csv"]),
    default="parquet",
    show_default=True,
    help="Format of the files.",
)
@click.option("--tables", metavar="NAMES", help="Only these tables, separated by commas, such as marts.daily_usage.")
@click.option("--since", type=day, metavar="DAY", help="Only days of facts from DAY on (YYYY-MM-DD).")
@spreadsheet_option
@click.option(
    "--dbt", "for_dbt", is_flag=True, help="Also write DIR/sources.yml, with which dbt-duckdb reads the files."
)
def export_command(
    target: str, style: str, tables: str | None, since: date | None, *, spreadsheet: bool, for_dbt: bool
) -> None:
    """Write core and marts as files into DIR, or to s3://BUCKET/PREFIX.

    Facts have a file for each app and day, in app_id=…/day=…/; other tables have one file. In a directory a finished export
    replaces the older one atomically. Days that were not loaded again since are not written again.
    """
    from pipelines.errors import UsageError
    from pipelines.export.files import Export, Style
    from pipelines.export.run import export_warehouse
    from pipelines.settings.reader_settings import load_reader_settings
    from pipelines.settings.values import parse_data_path
    from pipelines.telemetry.logs import log

    check_spreadsheet(style, for_spreadsheet=spreadsheet)
    try:
        parse_data_path(target)
    except ValueError:  # its value may hold a password
        raise UsageError("DIR must be a directory, or s3://BUCKET/PREFIX") from None
    if for_dbt and (style != "parquet" or "://" in target):
        raise UsageError("--dbt goes with --format parquet and a directory")
    chosen = _choose_tables(tables or "")
    kind: Style = "csv" if style == "csv" else "parquet"
    settings = load_reader_settings()
    warehouse, _ = find_published(settings)
    exported = export_warehouse(
        warehouse,
        target if "://" in target else str(Path(target).expanduser()),
        Export(chosen, kind, since, spreadsheet, for_dbt),
        wait_seconds=settings.lock_wait_seconds,
        log=log,
    )
    log(f"{len(exported.files):,} files, {exported.kept:,} of them unchanged since the last export")
    click.echo(target)


def _choose_tables(names: str) -> "list[ExportTable]":
    """Return the tables with these names, separated by commas; without any, all of them."""
    from pipelines.export.tables import find_tables

    known = {table.name: table for table in find_tables()}
    chosen = list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    for name in chosen:
        if name not in known:
            remedy = did_you_mean(name, known) or f"; the tables are {', '.join(sorted(known))}"
            raise click.UsageError(f"--tables: there is no {name!r} to export{remedy}")
    return [known[name] for name in chosen or known]
