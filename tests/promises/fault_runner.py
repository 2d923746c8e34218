"""What the attacks share: runs in processes of their own that can be killed, and what a home holds afterwards.

Processes are forked from a server that has imported everything: a run of its own costs what the run costs.
"""

import io
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
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
from pipelines.report.chart_bundle import read_chart_bundle
from pipelines.settings.settings import Settings
from pipelines.simulator.access import LoggedRequest
from pipelines.simulator.server import Simulator
from tests.pipeline_runner import environment_for, open_published, run_pipeline

PATIENCE = 300.0
"""Seconds after which a process that should have ended is a failure; nothing is measured by it."""
OWN_FILES = {"pipeline.duckdb", "pipeline_raw.duckdb", "pipeline.lock", "warehouse.duckdb"}
OTHERS = {"pipeline_live.duckdb", "pipeline_live.lock", "dagster", "report.html", "cache", "lake"}
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
"""The rows of each table of days, by table, app and day."""

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.pipeline_runner", "tests.promises.fault_runner"])


# --- processes ----------------------------------------------------------------------------------------------


def _work(body: Callable[..., Any], ahead: timedelta, told: Connection, *arguments: Any) -> None:
    clock.moved_by = ahead
    body(told, *arguments)
    told.close()


@contextmanager
def child_process(body: Callable[..., Any], *arguments: Any) -> Iterator[tuple[ForkServerProcess, Connection]]:
    """Run `body(connection, *arguments)` beside this one; `connection` speaks with it. Killed at the end."""
    mine, theirs = processes.Pipe()
    process = processes.Process(target=_work, args=(body, clock.moved_by, theirs, *arguments), daemon=True)
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
    """Wait for its end; its exit status, negative if it was killed."""
    process.join(PATIENCE)
    return process.exitcode


def run_cli_process(
    simulator: Simulator, home: Path, *arguments: str, **others: str
) -> "subprocess.CompletedProcess[str]":
    """The program itself, as cron starts it."""
    with start_cli_process(simulator, home, *arguments, **others) as process:
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@contextmanager
def start_cli_process(
    simulator: Simulator, home: Path, *arguments: str, **others: str
) -> Iterator["subprocess.Popen[str]"]:
    """The program itself, still running. Killed at the end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIVEHOUSE_")}
    read_chart_bundle(home / "cache")  # made once by this process, not by each program
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
    """The command line inside this process, which spares the imports: exit status, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    return call_main(environment, arguments, out, err), out.getvalue(), err.getvalue()


def call_main(environment: Mapping[str, str], arguments: Sequence[str], out: TextIO, err: TextIO) -> int:
    """The same, with streams of one's own: the exit status."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            main(list(arguments))
        except SystemExit as stopped:
            return int(stopped.code or 0)
    raise AssertionError("main() always exits")  # pragma: no cover


# --- killed at the n-th write -------------------------------------------------------------------------------


class _Death:
    """Counts writes, and kills this process in front of the n-th."""

    def __init__(self, at: int | None) -> None:
        self.writes: list[str] = []
        self.at = at

    def write(self, what: str) -> None:
        self.writes.append(what)
        if len(self.writes) == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


class _Watched:
    """A DuckDB connection whose writing statements, and whose closing, are counted."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, death: _Death) -> None:
        self._connection, self._death = connection, death

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *arguments: Any, **named: Any) -> "_Watched":
        if sql.lstrip().upper().startswith(_WRITES):
            self._death.write(" ".join(sql.split())[:60])
        self._connection.execute(sql, *arguments, **named)
        return self

    def cursor(self) -> "_Watched":
        return _Watched(self._connection.cursor(), self._death)

    def commit(self) -> None:
        self._death.write("commit()")
        self._connection.commit()

    def close(self) -> None:
        self._death.write("close()")
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_killed_at_write(
    told: Connection,
    environment: dict[str, str],
    days: tuple[date, date],
    flags: dict[str, Any],
    at: int | None,
) -> None:
    """A run that dies in front of its n-th write, or tells what it would have written (`at` None)."""
    death = _Death(at)
    connect, copyfile, fsync = duckdb.connect, shutil.copyfile, os.fsync

    def half_then_all(source: Any, target: Any, **named: Any) -> Any:
        with Path(source).open("rb") as whole, Path(target).open("wb") as part:
            part.write(whole.read(Path(source).stat().st_size // 2))
        death.write("half of the copy is written")
        return copyfile(source, target, **named)

    def before_sync(descriptor: int) -> None:
        death.write("fsync")
        fsync(descriptor)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("os.rename", "os.remove", "shutil.copyfile"):
            death.write(f"{event} {arguments[0]}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duckdb, "connect", lambda *given, **named: _Watched(connect(*given, **named), death))
        patch.setattr(shutil, "copyfile", half_then_all)
        patch.setattr(os, "fsync", before_sync)
        sys.addaudithook(audit)
        run_pipeline(Settings(**environment), days, **flags)  # type: ignore[arg-type]  # read by alias
    told.send(death.writes)


def run_once(told: Connection, environment: dict[str, str], days: tuple[date, date], flags: dict[str, Any]) -> None:
    """A run, told when it is done."""
    run_pipeline(Settings(**environment), days, **flags)  # type: ignore[arg-type]  # read by alias
    told.send("done")


# --- what a home holds --------------------------------------------------------------------------------------


def stored_days(path: Path) -> DayRows:
    """What a DuckDB file (and the log beside it) holds, read from a copy: looking must not repair it."""
    with tempfile.TemporaryDirectory() as directory:
        for file in path.parent.glob(f"{path.name}*"):
            if file.is_file():
                shutil.copyfile(file, Path(directory) / file.name)
        with duckdb.connect(Path(directory) / path.name) as connection:
            return _days_of(connection)


def published_days(settings: Settings) -> DayRows:
    """What readers see, of a file or of a lakehouse."""
    if settings.lakehouse is None:
        return stored_days(settings.warehouse)
    with open_published(settings) as connection:
        return _days_of(connection)


def _days_of(connection: duckdb.DuckDBPyConnection) -> DayRows:
    found: dict[tuple[str, str, date], set[tuple[Any, ...]]] = {}
    for table in TABLES:
        columns = "COLUMNS(lambda c: c NOT IN ('fetched_at', 'loaded_at'))"
        for row in connection.execute(f"SELECT app_id, day, {columns} FROM {table}").fetchall():
            # The last bit of a sum depends on the order in which threads add.
            rounded = tuple(round(cell, 10) if isinstance(cell, float) else cell for cell in row)
            found.setdefault((table, row[0], row[1]), set()).add(rounded)
    return {at: frozenset(rows) for at, rows in found.items()}


def changed_days(before: DayRows, after: DayRows) -> set[tuple[str, str, date]]:
    """Where the two differ."""
    return {at for at in before.keys() | after.keys() if before.get(at) != after.get(at)}


def unexpected_files(home: Path) -> set[str]:
    """Files and directories beside the pipeline's own."""
    return {path.name for path in home.iterdir()} - OWN_FILES - OTHERS


def file_contents(home: Path) -> Iterator[tuple[str, bytes]]:
    """Every byte of every file under the home, and every text in every DuckDB file, which packs its texts."""
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
    """How often the same request was sent, at most."""
    counted: dict[tuple[str, str], int] = {}
    for asked in requests:
        at = asked.path, repr(sorted(asked.query.items()))
        counted[at] = counted.get(at, 0) + 1
    return max(counted.values(), default=0)
