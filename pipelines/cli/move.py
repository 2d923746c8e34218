"""`move`: copy a warehouse from a file to a lakehouse, or back."""

from typing import TYPE_CHECKING

import click

from pipelines.text import printable

if TYPE_CHECKING:
    from pipelines.settings.settings import Settings


@click.command("move")
@click.argument("source")
@click.argument("target")
def move_command(source: str, target: str) -> None:
    """Copy a whole warehouse from SOURCE to TARGET, each written as in LIVEHOUSE_WAREHOUSE.

    Every day of every table is verified by row count and checksum. An interrupted move resumes when run again. SOURCE is
    not changed. Do not put a password into an argument, which other users of this machine can read: it is taken
    from LIVEHOUSE_WAREHOUSE if that names the same database, from ~/.pgpass or from PGPASSWORD.
    """
    from pipelines.steps.move import move
    from pipelines.storage.warehouse import open_warehouse
    from pipelines.telemetry.logs import log

    to_settings, from_settings = _parse_warehouse("TARGET", target), _parse_warehouse("SOURCE", source)
    for table, rows in move(from_settings, to_settings).items():
        click.echo(f"{printable(table)}\t{rows}")
    address = open_warehouse(to_settings).address
    log(f"livehouse: all tables are in {address}; set LIVEHOUSE_WAREHOUSE to it on every machine")


def _parse_warehouse(name: str, argument: str) -> "Settings":
    from pipelines.errors import UsageError
    from pipelines.settings.settings import load_settings
    from pipelines.storage.postgres import Catalog

    settings = load_settings(LIVEHOUSE_WAREHOUSE=argument)
    if settings.lakehouse is None:
        return settings
    catalog = Catalog(settings.lakehouse)
    if catalog.names_password:
        raise UsageError(
            f"{name} contains a password, which other users of this machine can read (ps): remove it, and put it into"
            " LIVEHOUSE_WAREHOUSE in .env, ~/.pgpass or PGPASSWORD; change the password if it is in use"
        )
    own = load_settings()
    is_same = own.lakehouse is not None and Catalog(own.lakehouse).address == catalog.address
    return own if is_same else settings
