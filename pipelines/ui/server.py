"""Serve Dagster's UI behind the guard, together with Dagster's daemon: both end with this process.

`livehouse ui` runs it as a program, with Dagster's variables in its environment.
"""

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import click
import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._utils.log import configure_loggers
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__ as webserver_version

import pipelines
from pipelines.orchestration.run_origin import add_missing_origins
from pipelines.ui.guard import TOKEN_PARAMETER, Guard

_MODULE = "pipelines.definitions"
_DAEMON_STOP_SECONDS = 60
"""The time that the daemon has to end."""

_CLOSE_SECONDS = 2
"""The time that open pages have to close their connections."""

_PROJECT = str(Path(pipelines.__file__).parents[1])


class _Server(uvicorn.Server):
    """A server that calls a function when it is ready."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--open", "open_it", is_flag=True)
def main(*, port: int, open_it: bool) -> None:
    """Serve until stopped by SIGINT, SIGTERM or SIGHUP."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    configure_loggers(log_level="WARNING")
    token = secrets.token_urlsafe(32)
    path_prefix = f"/{secrets.token_urlsafe(16)}"
    address = f"http://127.0.0.1:{port}{path_prefix}/?{TOKEN_PARAMETER}={token}"
    token_for_once = secrets.token_urlsafe(32) if open_it else None

    def announce() -> None:
        click.echo(address)
        click.echo(
            "livehouse: open that address; it contains a token, so do not share it; serving until ctrl-C", err=True
        )
        if token_for_once:
            click.launch(f"http://127.0.0.1:{port}/?{TOKEN_PARAMETER}={token_for_once}")

    with suppress(KeyboardInterrupt), _own_sockets(), _daemon() as daemon:
        target = ModuleTarget(module_name=_MODULE, attribute=None, working_directory=_PROJECT, location_name=None)
        with (
            DagsterInstance.get() as instance,
            WorkspaceProcessContext(
                instance, target, version=webserver_version, code_server_log_level="warning"
            ) as context,
        ):
            add_missing_origins(instance, _MODULE)
            dagster_app = create_app_from_workspace_process_context(context, path_prefix, 2000)
            app = Guard(dagster_app, port=port, path_prefix=path_prefix, token=token, token_for_once=token_for_once)
            server = _Server(
                uvicorn.Config(
                    app,
                    host="127.0.0.1",
                    port=port,
                    log_level="warning",
                    access_log=False,
                    proxy_headers=False,
                    server_header=False,
                    timeout_graceful_shutdown=_CLOSE_SECONDS,
                ),
                announce,
            )
            threading.Thread(target=_stop_with_daemon, args=(daemon, server), daemon=True).start()
            server.run()
            _stop_daemon(daemon)
        if daemon.poll():
            raise click.ClickException("Dagster's daemon ended unexpectedly; its messages are above")


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _stop_with_daemon(daemon: "subprocess.Popen[bytes]", server: _Server) -> None:
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
