"""Serve the page behind the guard.

`livehouse explore` runs it as a program. marimo serves the page as an app, in which no code can be edited or run.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from pipelines.explore.queries import RUNNER
from pipelines.ui.guard import App
from pipelines.ui.guarded_server import GuardedServer, stop_at_signals

_PAGE = Path(__file__).with_name("app.py")

CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; style-src 'self' 'unsafe-inline';"
    " script-src 'self' 'unsafe-inline' 'unsafe-eval'; worker-src 'self' blob:; connect-src 'self' data: blob:;"
    " form-action 'none'; base-uri 'self'; object-src 'none'"
)
"""Nothing is loaded from other hosts: marimo loads the image whose address a table contains. Vega evaluates expressions."""

_CLOSED_PAGE_SECONDS = 120
"""How long the results of a page that was closed are kept, in case its connection was only interrupted."""


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--timeout", "timeout_seconds", type=float, required=True)
@click.option("--open", "open_it", is_flag=True)
def main(*, port: int, timeout_seconds: float, open_it: bool) -> None:
    """Serve until stopped by SIGINT, SIGTERM or SIGHUP."""
    stop_at_signals()
    RUNNER.timeout_seconds = timeout_seconds
    with suppress(KeyboardInterrupt), _private_directory():
        server = GuardedServer(
            create_app, port=port, command="livehouse explore", open_it=open_it, content_policy=CONTENT_POLICY
        )
        try:
            server.run()
        finally:
            RUNNER.close()
    sys.stdout.flush()
    os._exit(0)  # threads of marimo wait for their pages for ever


def create_app(path_prefix: str) -> App:
    """Return the page as an app, to be served below a path."""
    import marimo

    app: App = (
        marimo.create_asgi_app(quiet=True, session_ttl=_CLOSED_PAGE_SECONDS)
        .with_app(path=path_prefix, root=str(_PAGE))
        .build()
    )
    return app


@contextmanager
def _private_directory() -> Iterator[None]:
    """Work in an empty directory.

    marimo reads settings from the nearest `pyproject.toml`, the `.env` files that it names, and settings of the user.
    """
    with tempfile.TemporaryDirectory(prefix="livehouse-explore-") as directory:
        Path(directory, "pyproject.toml").write_text('[tool.marimo.display]\ntheme = "system"\n', encoding="utf-8")
        os.chdir(directory)
        os.environ |= dict.fromkeys(("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "TMPDIR"), directory)
        tempfile.tempdir = directory
        yield


if __name__ == "__main__":
    main()
