"""What `livehouse doctor` finds out about Dagster's history: every run writes to it, and none begins without it."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from pipelines.cli.diagnostics_api import Finding
from pipelines.cli.history import DAGSTER_YAML, check_config, history_files, is_replaceable
from pipelines.errors import LivehouseError
from pipelines.settings.settings import Settings


def examine_history(settings: Settings) -> Iterator[Finding]:
    """Say whether it can be written to, whether Dagster accepts its configuration, and whether its files are sound."""
    home = settings.dagster_home
    there = next(place for place in (home, *home.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        remedy = "fix its permissions, or set LIVEHOUSE_HOME elsewhere: no run begins without it"
        yield Finding("fault", "history", f"{there} cannot be written: {error.strerror}", remedy)
        return
    faults = [*_config_faults(home), *(fault for file in history_files(home) for fault in _file_faults(file))]
    yield from faults or [
        Finding("ok", "history", f"{home} can be written" if there == home else "made by the first run")
    ]


def _config_faults(home: Path) -> Iterator[Finding]:
    config = home / "dagster.yaml"
    try:
        content = config.read_bytes() if config.exists() else DAGSTER_YAML.encode()
        if content != DAGSTER_YAML.encode() and not is_replaceable(content):
            check_config(home)
    except OSError as error:
        yield Finding("fault", "history", f"{config}: {error.strerror}", "fix its permissions")
    except LivehouseError as error:
        said, _, remedy = str(error).rpartition("; ")
        yield Finding("fault", "history", said, remedy)


def _file_faults(file: Path) -> Iterator[Finding]:
    from pipelines.orchestration.sqlite_files import describe_holders

    if not file.exists():
        return
    try:
        with closing(
            sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None)
        ) as connection:
            connection.execute("BEGIN IMMEDIATE")  # nothing is written
            connection.execute("ROLLBACK")
            [(said,), *_] = connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as error:
        if error.sqlite_errorname.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            who = describe_holders(file)
            yield Finding("warning", "history", f"{file} is locked by {who}", "a run waits for it: wait too, or end it")
            return
        said = str(error)
    if said != "ok":
        remedy = "move it away: it holds the history of runs and no figures"
        yield Finding("fault", "history", f"{file}: {' '.join(said.split())}", remedy)
