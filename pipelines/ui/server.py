"""Serve Dagster's UI behind the guard, together with Dagster's daemon: both end with this process.

`livehouse ui` runs it as a program, with Dagster's variables in its environment.
"""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._utils.log import configure_loggers
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__ as webserver_version

import pipelines
from pipelines.orchestration.run_origin import add_missing_origins
from pipelines.ui.guard import App
from pipelines.ui.guarded_server import GuardedServer, stop_at_signals

_MODULE = "pipelines.definitions"
_DAEMON_STOP_SECONDS = 60
"""The time that the daemon has to end."""

_PROJECT = str(Path(pipelines.__file__).parents[1])


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--open", "open_it", is_flag=True)
def main(*, port: int, open_it: bool) -> None:
    """Serve until stopped by SIGINT, SIGTERM or SIGHUP."""
    stop_at_signals()
    configure_loggers(log_level="WARNING")

    with suppress(KeyboardInterrupt), _own_sockets(), _daemon() as daemon:
        target = ModuleTarget(module_name=_MODULE, attribute=None, working_directory=_PROJECT, location_name=None)
        with (
            DagsterInstance.get() as instance,
            WorkspaceProcessContext(
                instance, target, version=webserver_version, code_server_log_level="warning"
            ) as context,
        ):
            add_missing_origins(instance, _MODULE)

            def create_app(path_prefix: str) -> App:
                app: App = create_app_from_workspace_process_context(context, path_prefix, 2000)
                return app

            server = GuardedServer(create_app, port=port, command="livehouse ui", open_it=open_it)
            threading.Thread(target=_stop_with_daemon, args=(daemon, server), daemon=True).start()
            server.run()
            _stop_daemon(daemon)
        if daemon.poll():
            raise click.ClickException("Dagster's daemon ended unexpectedly; its messages are above")


def _stop_with_daemon(daemon: "subprocess.Popen[bytes]", server: GuardedServer) -> None:
    daemon.wait()
    server.should_exit = True


@contextmanager
def _own_sockets() -> Iterator[None]:
    """Put the sockets of Dagster's processes into a directory that no other user can enter."""
    with tempfile.TemporaryDirectory(prefix="livehouse-ui-") as directory:
        tempfile.tempdir = os.environ["TMPDIR"] = directory
        try:
            yield
        finally:
            tempfile.tempdir = None
            del os.environ["TMPDIR"]


@contextmanager
def _daemon() -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-W", "ignore", "-m", "pipelines.ui.daemon", "-m", _MODULE, "-d", _PROJECT]
    command += ["--log-level", "warning"]
    daemon = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603 - our own interpreter and arguments
    try:
        yield daemon
    finally:
        _stop_daemon(daemon)
        try:
            daemon.wait(_DAEMON_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()


def _stop_daemon(daemon: "subprocess.Popen[bytes]") -> None:
    if daemon.stdin:
        daemon.stdin.close()


if __name__ == "__main__":
    main()
