"""`mend`: repair a lakehouse that lost files."""

import click

from pipelines.text import printable


@click.command("mend")
def mend_command() -> None:
    """Forget a lakehouse's missing or incomplete files, and rebuild what they held from the raw tables. Sends no request.

    Restore the files from a backup instead if you have one. Prints what was lost, what was rebuilt, and what the next
    runs fetch again. Readers see nothing in between; other runs wait. A warehouse in a file is refused: `livehouse doctor`
    checks it.
    """
    from pipelines.settings.settings import load_settings
    from pipelines.steps.mend import mend

    for line in mend(load_settings()):
        click.echo(printable(line))
