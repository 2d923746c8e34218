"""`upkeep`: maintain a lakehouse, as the weekly job does."""

import sys

import click

from pipelines.text import printable


@click.command("upkeep")
@click.option("--keep-days", type=click.FloatRange(0, 3650), help="Keep everything of the last N days; 7 by default.")
def upkeep_command(keep_days: float | None) -> None:
    """Merge a lakehouse's small files, expire old snapshots, remove unreferenced files; print the size of every table.

    Runs and readers can continue meanwhile. A warehouse in a file needs no maintenance: only sizes are printed.
    """
    from rich.filesize import decimal

    from pipelines.cli.table import show_table
    from pipelines.settings.settings import load_settings
    from pipelines.steps.maintenance import KEEP_DAYS, keep_up

    sizes = keep_up(load_settings(), keep_days=KEEP_DAYS if keep_days is None else keep_days)
    if sys.stdout.isatty():
        show_table(["table", "files", "size"], ((size.name, size.files, decimal(size.bytes)) for size in sizes))
        return
    click.echo("table\tfiles\tbytes")
    for size in sizes:
        click.echo(f"{printable(size.name)}\t{size.files}\t{size.bytes}")
