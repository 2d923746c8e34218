"""`move`: from a file to a lakehouse, or back."""

import click


@click.command("move")
@click.argument("source")
@click.argument("target")
def move_command(source: str, target: str) -> None:
    """Carry a whole warehouse from SOURCE to TARGET, each as LIVEHOUSE_WAREHOUSE names it.

    Every day of every table is compared by count and by a sum over its rows. Cut off and started again, it goes on
    where it stopped. SOURCE stays as it is. Passwords are better in PGPASSWORD or ~/.pgpass than in an argument.
    """
    from pipelines.load.store import open_store  # noqa: PLC0415 - kept out of --help
    from pipelines.settings import load_settings  # noqa: PLC0415 - kept out of --help
    from pipelines.steps.move import move  # noqa: PLC0415 - kept out of --help

    there, here = load_settings(LIVEHOUSE_WAREHOUSE=target), load_settings(LIVEHOUSE_WAREHOUSE=source)
    for table, rows in move(here, there).items():
        click.echo(f"{table}\t{rows}")
    address = open_store(there).address
    click.echo(f"livehouse: all of it is in {address}; set LIVEHOUSE_WAREHOUSE to it on every machine", err=True)
