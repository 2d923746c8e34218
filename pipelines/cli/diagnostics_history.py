"""The checks of `livehouse doctor` on Dagster's history, without which no run starts."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from pipelines.cli.diagnostics_api import Finding
from pipelines.cli.history import DAGSTER_YAML, check_config, history_files, is_replaceable
from pipelines.errors import LivehouseError
from pipelines.settings.settings import Settings


def check_history(settings: Settings) -> Iterator[Finding]:
    """Check that the directory is writable, that Dagster accepts its configuration, and that its files are intact."""
    home = settings.dagster_home
    existing = next(directory for directory in (home, *home.parents) if directory.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        remedy = "fix its permissions, or set LIVEHOUSE_HOME elsewhere: no run starts without it"
        yield Finding("fault", "history", f"{existing} cannot be written: {error.strerror}", remedy)
        return
    faults = [*_check_config_file(home), *(fault for file in history_files(home) for fault in _check_database(file))]
    message = f"{home} can be written" if existing == home else "created by the first run"
    yield from faults or [Finding("ok", "history", message)]


def _check_config_file(home: Path) -> Iterator[Finding]:
    config = home / "dagster.yaml"
    try:
        content = config.read_bytes() if config.exists() else DAGSTER_YAML.encode()
        if content != DAGSTER_YAML.encode() and not is_replaceable(content):
            check_config(home)
    except OSError as error:
        yield Finding("fault", "history", f"{config}: {error.strerror}", "fix its permissions")
    except LivehouseError as error:
        message, _, remedy = str(error).rpartition("; ")
        yield Finding("fault", "history", message, remedy)


def _check_database(file: Path) -> Iterator[Finding]:
    from pipelines.orchestration.sqlite_files import describe_holders

    if not file.exists():
        return
    try:
        with closing(
            sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None)
        ) as connection:
            connection.execute("BEGIN IMMEDIATE")  # nothing is written
            connection.execute("ROLLBACK")
            [(result,), *_] = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as error:
        if error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            message = f"{file} is locked by {describe_holders(file)}"
            yield Finding("warning", "history", message, "runs wait for that program: wait too, or end it")
            return
        result = str(error)
    if result != "ok":
        remedy = "move it away: it contains the history of runs and no figures"
        yield Finding("fault", "history", f"{file}: {' '.join(result.split())}", remedy)
