"""Which runs in Dagster's history still have a process. A process that was killed, or a reboot, leaves a run "Started".

Each run holds a lock on a file of its own for as long as it lasts. The operating system frees it when the process dies,
however that happens, and no later process with the same number can be taken for it.
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

TOLD = ".dagster/livehouse_failure_is_told_by"
"""A run with this tag is told of by whoever started it: the command line. Dagster's UI hides tags of this prefix."""
RUNNING = "running"
"""The directory of the locks, below Dagster's home."""
_NOT_FINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_ANSWERS_WITHIN_SECONDS = 2.0


@contextmanager
def alive(directory: Path, run_id: str) -> Iterator[None]:
    """Hold the lock of a run; nothing where this process holds it already."""
    file = directory / f"{run_id}.lock"
    with ExitStack() as held:
        with suppress(OSError, Timeout):  # no run fails for want of it
            directory.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(file).acquire(timeout=0))
            held.callback(file.unlink, missing_ok=True)
        yield


@contextmanager
def ended_by_hangup() -> Iterator[None]:
    """Let a closed terminal (SIGHUP) end a run as SIGTERM does, unless it is to be ignored: `nohup`.

    Without it, Python ends at once, and the run stays "Started".
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        yield
        return
    terminals = [number for number in (1, 2) if os.isatty(number)]

    def end(_signal: int, _frame: object) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in terminals:  # the terminal is gone: writing to it fails
            os.dup2(nowhere, number)
        os.close(nowhere)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGHUP, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def mark_dead_runs(instance: dg.DagsterInstance, directory: Path, own_run_id: str, log: Callable[[str], None]) -> None:
    """End the runs whose process is gone: failed, or canceled if somebody had asked for that."""
    for run in instance.get_runs(dg.RunsFilter(statuses=_NOT_FINISHED)):
        if run.run_id == own_run_id or not _is_dead(instance, directory, run):
            continue
        now = instance.get_run_by_id(run.run_id)  # it may have ended, and given its lock back, just now
        if now is None or now.status not in _NOT_FINISHED:
            continue
        line = f"{run.job_name} {run.run_id[:8]}: its process ended without a word (killed, or the machine restarted)"
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, message=line)
        else:
            instance.report_run_failed(run, message=f"{line}; what was landed stays, the next run goes on")
        with suppress(OSError):
            (directory / f"{run.run_id}.lock").unlink(missing_ok=True)
        log(f"{line}; it is now marked as ended")


def _is_dead(instance: dg.DagsterInstance, directory: Path, run: dg.DagsterRun) -> bool:
    """Whether a run certainly has no process any more, on this machine."""
    file = directory / f"{run.run_id}.lock"
    if file.exists():
        try:
            with FileLock(file).acquire(timeout=0):
                return True
        except (Timeout, OSError):
            return False
    if not isinstance(instance.run_storage, SqliteRunStorage):
        return False  # a history that machines share: the run may be another one's, see run_monitoring in deploy/
    if TOLD in run.tags:
        return True  # the command line takes the lock before it adds the run, and frees it after the run's end
    served_at = json.loads(run.tags.get(".dagster/grpc_info", "{}"))
    return bool(served_at) and not _answers(served_at)


def _answers(served_at: dict[str, object]) -> bool:
    """Whether the server of Dagster's that started a run is still there."""
    path, port = served_at.get("socket"), served_at.get("port")
    family = socket.AF_UNIX if path else socket.AF_INET
    address = str(path) if path else (str(served_at.get("host")), int(str(port or 0)))
    try:
        with closing(socket.socket(family, socket.SOCK_STREAM)) as client:
            client.settimeout(_ANSWERS_WITHIN_SECONDS)
            client.connect(address)
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except OSError:
        return True
    return True
