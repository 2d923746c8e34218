"""`move`: from a file to a lakehouse, or back."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pipelines.settings.settings import Settings


@click.command("move")
@click.argument("source")
@click.argument("target")
def move_command(source: str, target: str) -> None:
    """Carry a whole warehouse from SOURCE to TARGET, each as LIVEHOUSE_WAREHOUSE names it.

    Every day of every table is compared by count and by a sum over its rows. Cut off and started again, it goes on
    where it stopped. SOURCE stays as it is. Passwords are taken from LIVEHOUSE_WAREHOUSE where it names the same place, from
    ~/.pgpass or from PGPASSWORD: other users of this machine can read arguments.
    """
    from pipelines.steps.move import move
    from pipelines.storage.warehouse import open_warehouse

    there, here = _settings_of("TARGET", target), _settings_of("SOURCE", source)
    for table, rows in move(here, there).items():
        click.echo(f"{table}\t{rows}")
    address = open_warehouse(there).address
    click.echo(f"livehouse: all of it is in {address}; set LIVEHOUSE_WAREHOUSE to it on every machine", err=True)


def _settings_of(name: str, argument: str) -> "Settings":
    from pipelines.errors import UsageError
    from pipelines.settings.settings import load_settings
    from pipelines.storage.postgres import Catalog

    settings = load_settings(LIVEHOUSE_WAREHOUSE=argument)
    if settings.lakehouse is None:
        return settings
    catalog = Catalog(settings.lakehouse)
    if catalog.names_password:
        raise UsageError(
            f"{name} holds a password, which other users of this machine can read (ps): leave it out, and put it into"
            " LIVEHOUSE_WAREHOUSE in .env, ~/.pgpass or PGPASSWORD; change it if it was in use"
        )
    own = load_settings()
    is_same = own.lakehouse is not None and Catalog(own.lakehouse).address == catalog.address
    return own if is_same else settings
