"""`ui`: Dagster's UI on this project, until it is stopped."""

import click


@click.command("ui")
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
def ui_command(port: int, *, open_it: bool) -> None:
    """Start Dagster's UI, with its daemon, on this project; history is kept under $LIVEHOUSE_HOME/dagster.

    Prints the address to open. It holds a token: other users of this machine, and pages of other sites, are refused.
    """
    import os
    import socket
    import sys
    from pathlib import Path

    import pipelines
    from pipelines.cli.demo import demo_instead
    from pipelines.cli.history import dagster_variables, open_history
    from pipelines.errors import UsageError
    from pipelines.settings.settings import environment_of_demo, load_settings

    settings = load_settings()
    try:  # Dagster says it after half a minute, in fifty lines
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise UsageError(f"port {port} cannot be served on: {error.strerror}; try another with --port") from None
    environment = dict(os.environ)
    if demo := demo_instead(settings):
        settings = settings.model_copy(update={"home": demo.absolute()})
        environment = environment_of_demo(settings.home)
    open_history(settings).dispose()  # what is wrong with it is told here, in a line
    # Not what lies in the directory this is started from: a `pipelines` or `dagster` there is somebody else's.
    ours = str(Path(pipelines.__file__).parents[1])
    found = os.pathsep.join(filter(None, (ours, environment.get("PYTHONPATH"))))
    environment |= dagster_variables(settings) | {"PYTHONSAFEPATH": "1", "PYTHONPATH": found}
    environment["DAGSTER_IS_DEV_CLI"] = "1"  # errors of the code are shown as `dagster dev` shows them
    command = [sys.executable, "-W", "ignore", "-m", "pipelines.ui.server", "--port", f"{port}"]
    if demo:
        os.chdir(demo)  # a `.env` in this directory is another account's, and Dagster loads it by itself too
    # In place of this process: what ends it ends Dagster's servers with it.
    os.execve(sys.executable, [*command, *(["--open"] if open_it else [])], environment)  # noqa: S606 - our own interpreter and arguments
