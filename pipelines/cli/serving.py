"""Checks and variables for commands that serve a page."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path


def check_port(port: int) -> None:
    """Raise `UsageError` if no server can listen on a port of this machine."""
    from pipelines.errors import UsageError

    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise UsageError(f"cannot serve on port {port}: {error.strerror}; try another one with --port") from None


def build_safe_python_path(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables with which Python imports nothing from the working directory: a `pipelines` there is another project's."""
    import pipelines

    ours = str(Path(pipelines.__file__).parents[1])
    found = os.pathsep.join(filter(None, (ours, environment.get("PYTHONPATH"))))
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": found}
