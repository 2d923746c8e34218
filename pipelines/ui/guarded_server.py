"""Serves a web app behind the guard, for the user who started it: prints its address, and ends at a signal."""

import secrets
import signal
import socket
from collections.abc import Callable
from types import FrameType

import click
import uvicorn

from pipelines.telemetry.logs import log
from pipelines.ui.guard import TOKEN_PARAMETER, App, Guard

_CLOSE_SECONDS = 2
"""The time that open pages have to close their connections."""


class GuardedServer(uvicorn.Server):
    """A server on loopback that prints its address, with a new token in it, when it is ready."""

    def __init__(
        self, create_app: Callable[[str], App], *, port: int, command: str, open_it: bool, content_policy: str = ""
    ) -> None:
        """Take a function that returns the app to serve below a random path.

        `command` started it, and is named in messages. `open_it`: also open the address in a browser. `content_policy`:
        directives of the pages' Content-Security-Policy.
        """
        path_prefix = f"/{secrets.token_urlsafe(16)}"
        token = secrets.token_urlsafe(32)
        self._address = f"http://127.0.0.1:{port}{path_prefix}/?{TOKEN_PARAMETER}={token}"
        token_for_once = secrets.token_urlsafe(32) if open_it else None
        self._address_for_once = f"http://127.0.0.1:{port}/?{TOKEN_PARAMETER}={token_for_once}" if open_it else None
        guard = Guard(
            create_app(path_prefix),
            port=port,
            path_prefix=path_prefix,
            token=token,
            token_for_once=token_for_once,
            command=command,
            content_policy=content_policy,
        )
        super().__init__(
            uvicorn.Config(
                guard,
                host="127.0.0.1",
                port=port,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=_CLOSE_SECONDS,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and print the address."""
        await super().startup(sockets)
        if not self.started:
            return
        click.echo(self._address)
        log("livehouse: open that address; it contains a token, so do not share it; serving until ctrl-C")
        if self._address_for_once:
            click.launch(self._address_for_once)


def stop_at_signals() -> None:
    """Raise `KeyboardInterrupt` at SIGINT, SIGTERM and SIGHUP."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup ignores it
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
