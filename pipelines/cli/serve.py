"""`ui`: serve Dagster's UI until stopped."""

import click


@click.command("ui")
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
def ui_command(port: int) -> None:
    """Start Dagster's UI, with its daemon, on this project; history is kept under $LIVEHOUSE_HOME/dagster."""
    import os  # noqa: PLC0415 - kept out of --help
    import signal  # noqa: PLC0415 - kept out of --help
    import socket  # noqa: PLC0415 - kept out of --help
    import sys  # noqa: PLC0415 - kept out of --help
    from pathlib import Path  # noqa: PLC0415 - kept out of --help

    import pipelines  # noqa: PLC0415 - kept out of --help
    from pipelines.cli.demo import demo_instead  # noqa: PLC0415 - kept out of --help
    from pipelines.cli.jobs import dagster_variables, open_history  # noqa: PLC0415 - kept out of --help
    from pipelines.errors import UsageError  # noqa: PLC0415 - kept out of --help
    from pipelines.settings import environment_of_demo, load_settings  # noqa: PLC0415 - kept out of --help

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
    environment |= dagster_variables(settings) | {"PYTHONSAFEPATH": "1"}
    ours = Path(pipelines.__file__).parents[1]
    dagster = f"-m dagster dev -m pipelines.definitions -h 127.0.0.1 -p {port} -d"
    command = [sys.executable, "-W", "ignore", *dagster.split(), str(ours)]
    # In place of this process: what ends it ends Dagster's servers with it. Dagster takes SIGTERM as it takes SIGINT,
    # which a shell's background job is told to ignore.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if demo:
        os.chdir(demo)  # a `.env` in this directory is another account's, and Dagster loads it by itself too
    os.execve(sys.executable, command, environment)  # noqa: S606 - our own interpreter and arguments
