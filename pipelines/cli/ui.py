"""`ui`: serve Dagster's UI for this project."""

import click

from pipelines.cli.options import open_option
from pipelines.cli.serving import build_safe_python_path, check_port


@click.command("ui")
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Port on this machine.")
@open_option
def ui_command(port: int, *, open_it: bool) -> None:
    """Serve Dagster's UI, with its daemon, until stopped. Its history is under $LIVEHOUSE_HOME/dagster.

    Prints the address to open. The address contains a token: other users of this machine, and pages of other sites,
    are refused.
    """
    import os
    import sys

    from pipelines.cli.demo import find_demo_to_show
    from pipelines.cli.history import build_dagster_environment, open_history
    from pipelines.orchestration.partitions import find_first_day
    from pipelines.settings.demo_settings import build_demo_environment, load_demo_settings
    from pipelines.settings.settings import load_settings

    settings = load_settings()
    check_port(port)  # Dagster would report it after half a minute, in fifty lines
    environment = dict(os.environ)
    if demo := find_demo_to_show(settings):
        settings = load_demo_settings(LIVEHOUSE_HOME=str(demo.absolute()))
        environment = build_demo_environment(settings.home)
    with open_history(settings) as instance:  # reports an unusable history in one line
        environment["LIVEHOUSE_START_DATE"] = f"{find_first_day(settings, instance)}"
    environment |= build_dagster_environment(settings) | build_safe_python_path(environment)
    environment["DAGSTER_IS_DEV_CLI"] = "1"  # errors of the code are shown as `dagster dev` shows them
    command = [sys.executable, "-W", "ignore", "-m", "pipelines.ui.server", "--port", f"{port}"]
    if demo:
        os.chdir(demo)  # Dagster also loads `.env`, and the one in the working directory is of another account
    # Replace this process, so that a signal to it ends Dagster's servers too.
    os.execve(sys.executable, [*command, *(["--open"] if open_it else [])], environment)  # noqa: S606 - our own interpreter and arguments
