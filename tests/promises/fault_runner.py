"""Runs in child processes that can be killed, commands, and readers of the rows and files of a home.

Child processes are forked from a server that has imported everything, so they do not pay for imports.
"""

import io
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import date, timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Self, TextIO

import duckdb
import pytest

from pipelines import clock
from pipelines.cli import main
from pipelines.settings.settings import Settings
from pipelines.simulator.access import LoggedRequest
from pipelines.simulator.server import Simulator
from tests.pipeline_runner import environment_for, open_published, run_pipeline

TIMEOUT_SECONDS = 300.0
"""A process that runs longer is a failure. Nothing is measured by it."""
OWN_FILES = {"pipeline.duckdb", "pipeline_raw.duckdb", "pipeline.lock", "warehouse.duckdb"}
OPTIONAL_FILES = {"pipeline_live.duckdb", "pipeline_live.lock", "dagster", "report.html", "cache", "lake"}
TABLES = (
    "core.livestream_sessions",
    "core.livestream_analytics_daily",
    "core.meeting_sessions_daily",
    "core.recordings_daily",
    "marts.daily_usage",
    "marts.stream_concurrency",
)
_WRITES = ("INSERT", "DELETE", "UPDATE", "CREATE", "ALTER", "COMMIT", "CHECKPOINT", "DROP", "MERGE")

DayRows = dict[tuple[str, str, date], frozenset[tuple[Any, ...]]]
"""Rows by table, app and day."""

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.pipeline_runner", "tests.promises.fault_runner"])


# --- processes ----------------------------------------------------------------------------------------------


def _run_body(body: Callable[..., Any], clock_offset: timedelta, channel: Connection, *arguments: Any) -> None:
    clock.moved_by = clock_offset
    body(channel, *arguments)
    channel.close()


@contextmanager
def child_process(body: Callable[..., Any], *arguments: Any) -> Iterator[tuple[ForkServerProcess, Connection]]:
    """Run `body(channel, *arguments)` in a child process; yield it and our end of the channel. Kill it at the end."""
    mine, theirs = processes.Pipe()
    process = processes.Process(target=_run_body, args=(body, clock.moved_by, theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield process, mine
    finally:
        process.kill()
        process.join()
        process.close()
        mine.close()


def wait_for_exit(process: ForkServerProcess) -> int | None:
    """Return the exit status of a process once it has ended: the negative signal number if it was killed."""
    process.join(TIMEOUT_SECONDS)
    return process.exitcode


def run_cli_process(
    simulator: Simulator, home: Path, *arguments: str, **others: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command of the installed program, as cron does."""
    with start_cli_process(simulator, home, *arguments, **others) as process:
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@contextmanager
def start_cli_process(
    simulator: Simulator, home: Path, *arguments: str, **others: str
) -> Iterator["subprocess.Popen[str]"]:
    """Start a command of the installed program; yield the process. Kill it at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIVEHOUSE_")}
    with subprocess.Popen(
        [sys.executable, "-c", "from pipelines.cli import main; main()", *arguments],
        env=environment
        | environment_for(simulator, home, **others)
        | {"PYTHONPATH": f"{Path(__file__).parents[2]}:{environment['PYTHONPATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def run_cli(environment: Mapping[str, str], *arguments: str) -> tuple[int, str, str]:
    """Run a command inside this process, without the cost of imports; return exit status, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    return run_cli_with_streams(environment, arguments, out, err), out.getvalue(), err.getvalue()


def run_cli_with_streams(environment: Mapping[str, str], arguments: Sequence[str], out: TextIO, err: TextIO) -> int:
    """Run a command inside this process with these streams; return the exit status."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            main(list(arguments))
        except SystemExit as stopped:
            return int(stopped.code or 0)
    raise AssertionError("main() always exits")  # pragma: no cover


# --- a kill at the n-th write -------------------------------------------------------------------------------


class _KillSwitch:
    """Counts writes, and kills this process before the n-th."""

    def __init__(self, at: int | None) -> None:
        self.writes: list[str] = []
        self.at = at

    def note(self, write: str) -> None:
        self.writes.append(write)
        if len(self.writes) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


class _CountingConnection:
    """A DuckDB connection that counts writing statements and closing."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, switch: _KillSwitch) -> None:
        self._connection, self._switch = connection, switch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *arguments: Any, **named: Any) -> "_CountingConnection":
        if sql.lstrip().upper().startswith(_WRITES):
            self._switch.note(" ".join(sql.split())[:60])
        self._connection.execute(sql, *arguments, **named)
        return self

    def cursor(self) -> "_CountingConnection":
        return _CountingConnection(self._connection.cursor(), self._switch)

    def commit(self) -> None:
        self._switch.note("commit()")
        self._connection.commit()

    def close(self) -> None:
        self._switch.note("close()")
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_killed_at_write(
    channel: Connection,
    environment: dict[str, str],
    days: tuple[date, date],
    flags: dict[str, Any],
    at: int | None,
) -> None:
    """Run the pipeline and die before the n-th write; `at=None`: send the list of writes instead."""
    switch = _KillSwitch(at)
    connect, copyfile, fsync = duckdb.connect, shutil.copyfile, os.fsync

    def copy_half_first(source: Any, target: Any, **named: Any) -> Any:
        with Path(source).open("rb") as whole, Path(target).open("wb") as part:
            part.write(whole.read(Path(source).stat().st_size // 2))
        switch.note("half of the copy is written")
        return copyfile(source, target, **named)

    def sync(descriptor: int) -> None:
        switch.note("fsync")
        fsync(descriptor)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("os.rename", "os.remove", "shutil.copyfile"):
            switch.note(f"{event} {arguments[0]}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duckdb, "connect", lambda *given, **named: _CountingConnection(connect(*given, **named), switch))
        patch.setattr(shutil, "copyfile", copy_half_first)
        patch.setattr(os, "fsync", sync)
        sys.addaudithook(audit)
        run_pipeline(Settings(**environment), days, **flags)  # type: ignore[arg-type]  # read by alias
    channel.send(switch.writes)


def run_once(channel: Connection, environment: dict[str, str], days: tuple[date, date], flags: dict[str, Any]) -> None:
    """Run the pipeline, then send "done"."""
    run_pipeline(Settings(**environment), days, **flags)  # type: ignore[arg-type]  # read by alias
    channel.send("done")


# --- the contents of a home --------------------------------------------------------------------------------------


def stored_days(path: Path) -> DayRows:
    """Return the rows of a DuckDB file with its .wal, read from a copy: opening the original would repair it."""
    with tempfile.TemporaryDirectory() as directory:
        for file in path.parent.glob(f"{path.name}*"):
            if file.is_file():
                shutil.copyfile(file, Path(directory) / file.name)
        with duckdb.connect(Path(directory) / path.name) as connection:
            return _days_of(connection)


def published_days(settings: Settings) -> DayRows:
    """Return the published rows of a file or a lakehouse."""
    if settings.lakehouse is None:
        return stored_days(settings.warehouse)
    with open_published(settings) as connection:
        return _days_of(connection)


def _days_of(connection: duckdb.DuckDBPyConnection) -> DayRows:
    found: dict[tuple[str, str, date], set[tuple[Any, ...]]] = {}
    for table in TABLES:
        columns = "COLUMNS(lambda c: c NOT IN ('fetched_at', 'loaded_at'))"
        for row in connection.execute(f"SELECT app_id, day, {columns} FROM {table}").fetchall():
            # The last bit of a sum depends on the order in which threads add: at 567,282 seconds, that is the tenth decimal.
            rounded = tuple(float(f"{cell:.12g}") if isinstance(cell, float) else cell for cell in row)
            found.setdefault((table, row[0], row[1]), set()).add(rounded)
    return {at: frozenset(rows) for at, rows in found.items()}


def changed_days(before: DayRows, after: DayRows) -> set[tuple[str, str, date]]:
    """Return the keys whose rows differ."""
    return {at for at in before.keys() | after.keys() if before.get(at) != after.get(at)}


def unexpected_files(home: Path) -> set[str]:
    """Return the names of files and directories that the pipeline should not leave."""
    return {path.name for path in home.iterdir()} - OWN_FILES - OPTIONAL_FILES


def file_contents(home: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the bytes of every file under the home, and the rows of every DuckDB file, which compresses its texts."""
    for path in sorted(home.rglob("*")):
        if path.is_file():
            yield path.name, path.read_bytes()
        if path.suffix == ".duckdb":
            with duckdb.connect(path, read_only=True) as connection:
                tables = connection.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
                for schema, table in tables:
                    rows = connection.execute(f"SELECT * FROM {schema}.{table}").fetchall()
                    yield f"{path.name}: {schema}.{table}", repr(rows).encode()


def max_repeats(requests: list[LoggedRequest]) -> int:
    """Return how often the most repeated request was sent."""
    counted = Counter((request.path, repr(sorted(request.query.items()))) for request in requests)
    return max(counted.values(), default=0)
