"""`explore`: the warehouse in a browser, read-only."""

import click

from pipelines.cli.options import open_option, timeout_option
from pipelines.cli.published import find_published
from pipelines.cli.serving import build_safe_python_path, check_port


@click.command("explore")
@click.option("--port", type=click.IntRange(1, 65535), default=3001, show_default=True, help="Port on 127.0.0.1.")
@open_option
@timeout_option(default_seconds=120, can_be_zero=False)
def explore_command(port: int, *, open_it: bool, timeout_seconds: float) -> None:
    """Show the warehouse in a browser, read-only, until stopped: tables, the examples as forms, SQL, charts, downloads.

    Prints the address to open. The address contains a token: other users of this machine, and pages of other sites,
    are refused. Needs the extra `explore`.
    """
    import os
    import sys
    from importlib.util import find_spec

    from pipelines.errors import UsageError
    from pipelines.settings.reader_settings import SECRETS_OF_RUNS, load_reader_settings

    if find_spec("marimo") is None:
        raise UsageError("`livehouse explore` needs marimo: pip install 'livehouse[explore]'")
    warehouse, _ = find_published(load_reader_settings())
    with warehouse.open_published():  # reports a missing warehouse here, and not on the page
        pass
    check_port(port)
    environment = {name: text for name, text in os.environ.items() if name.upper() not in SECRETS_OF_RUNS}
    environment |= build_safe_python_path(environment)
    command = [sys.executable, "-W", "ignore", "-m", "pipelines.explore.server", "--port", f"{port}"]
    command += ["--timeout", f"{timeout_seconds:g}", *(["--open"] if open_it else [])]
    # Replace this process, so that a signal to it ends the server.
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own interpreter and arguments
