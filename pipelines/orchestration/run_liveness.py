"""Find the runs in Dagster's history whose process has died: a killed process, or a reboot, leaves a run "Started".

Each run holds a lock on a file of its own while it lasts. The operating system frees the lock when the process ends,
however it ends, and no later process with the same number can be mistaken for it.
"""

import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import dagster as dg
from dagster._core.storage.runs.sqlite import SqliteRunStorage
from filelock import FileLock, Timeout

ALERTED_BY = ".dagster/livehouse_failure_is_told_by"
"""The sensor posts no alert for a run with this tag: the command line posts it. Dagster's UI hides tags of this prefix.

The name is stored in existing histories, so it stays."""
RUN_LOCKS = "running"
"""The directory of the locks, below Dagster's home."""
_NOT_FINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_CONNECT_SECONDS = 2.0


@contextmanager
def hold_run_lock(directory: Path, run_id: str) -> Iterator[None]:
    """Hold the lock of a run; do nothing if this process holds it already, or if it cannot be created."""
    file = directory / f"{run_id}.lock"
    with ExitStack() as stack:
        with suppress(OSError, Timeout):  # a run must not fail for lack of this lock
            directory.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(file).acquire(timeout=0))
            stack.callback(file.unlink, missing_ok=True)
        yield


@contextmanager
def terminate_on_hangup() -> Iterator[None]:
    """Handle a closed terminal (SIGHUP) like SIGTERM, unless the signal is ignored (`nohup`).

    By default SIGHUP ends Python at once, and the run stays "Started".
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        yield
        return
    terminals = [number for number in (1, 2) if os.isatty(number)]

    def terminate(_signal: int, _frame: object) -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        for number in terminals:  # the terminal is gone: writing to it fails
            os.dup2(null, number)
        os.close(null)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGHUP, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def mark_dead_runs(
    instance: dg.DagsterInstance, directory: Path, own_run_id: str, log: Callable[[str], None]
) -> dict[str, dg.DagsterRun]:
    """Mark the runs whose process has died: as canceled if a user had requested that, else as failed.

    Returns those marked as failed, each with a line about it.
    """
    failed: dict[str, dg.DagsterRun] = {}
    for run in instance.get_runs(dg.RunsFilter(statuses=_NOT_FINISHED)):
        if run.run_id == own_run_id or not _is_dead(instance, directory, run):
            continue
        latest = instance.get_run_by_id(run.run_id)  # it may have finished, and freed its lock, just now
        if latest is None or latest.status not in _NOT_FINISHED:
            continue
        line = f"{run.job_name} {run.run_id[:8]}: its process was killed, or the machine restarted"
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, message=line)
        else:
            instance.report_run_failed(run, message=f"{line}; landed data is kept, the next run continues")
            failed[line] = run
        with suppress(OSError):
            (directory / f"{run.run_id}.lock").unlink(missing_ok=True)
        log(f"{line}; it is now marked as ended")
    return failed


def _is_dead(instance: dg.DagsterInstance, directory: Path, run: dg.DagsterRun) -> bool:
    """Return whether a run certainly has no process on this machine any more."""
    file = directory / f"{run.run_id}.lock"
    if file.exists():
        try:
            with FileLock(file).acquire(timeout=0):
                return True
        except (Timeout, OSError):
            return False
    if not isinstance(instance.run_storage, SqliteRunStorage):
        return False  # machines share this history: run_sessions.py finds their dead runs
    if ALERTED_BY in run.tags:
        return True  # the command line takes the lock before it adds the run, and frees it after the run's end
    server = json.loads(run.tags.get(".dagster/grpc_info", "{}"))
    return bool(server) and not _is_listening(server)


def _is_listening(server: dict[str, object]) -> bool:
    """Return whether the Dagster server that started a run still accepts connections."""
    path, port = server.get("socket"), server.get("port")
    family = socket.AF_UNIX if path else socket.AF_INET
    address = str(path) if path else (str(server.get("host")), int(str(port or 0)))
    try:
        with closing(socket.socket(family, socket.SOCK_STREAM)) as client:
            client.settimeout(_CONNECT_SECONDS)
            client.connect(address)
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except OSError:
        return True
    return True
