"""Find the runs whose process has died in a history on PostgreSQL, which several machines share.

Each run holds an advisory lock in a session of its own while it lasts. PostgreSQL releases the lock when that session
ends: because the process was killed, or the machine cannot be reached any more. So the lock says that a run is alive
whatever has launched it; the state that Celery keeps of a task stays "started" after its worker was killed (dagster#33493).
The lock files of `run_liveness.py` do the same for a history on one machine.

The lock is also a lease: a run whose session was not confirmed lately starts no transaction before it is, and stops if it
was marked as ended in the meantime, because its retry may be at work by then.
"""

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Literal, NamedTuple

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.sqlite import SqliteRunStorage
from dagster._core.storage.tags import RETRY_STRATEGY_TAG
from dagster_shared.error import SerializableErrorInfo
from sqlalchemy import Connection, text

from pipelines.errors import WarehouseError
from pipelines.orchestration.run_errors import RunFailedError
from pipelines.telemetry.logs import log

_CHECK_SECONDS = 15.0
"""How often a run checks that its session is open. Another one is opened after a restart of PostgreSQL."""

_REOPEN_SECONDS = 1.0

_OPEN_SECONDS = 10.0

_LEASE_SECONDS = 60.0
"""How long a run may write after its session was last confirmed: less than the time after which `lost_runs` starts it again."""

_MAX_WAIT_SECONDS = 900.0
"""How long a run waits for its session to be opened again."""

_Phase = Literal["waits for a worker", "is being loaded", "runs"]

_GRACE: dict[_Phase, timedelta] = {
    "waits for a worker": timedelta(hours=12),
    "is being loaded": timedelta(minutes=5),  # by a worker, which imports the code
    "runs": timedelta(minutes=2),
}
"""How long a run may be without a session."""

_MAX_COUNTED_SECONDS = 60.0
"""How much of the time between two checks counts, so that a run has time to reconnect when checks resume after an outage of
PostgreSQL, and that a change of the clock ends no run."""

_ENDED_BY_OTHERS = {dg.DagsterRunStatus.FAILURE.value, dg.DagsterRunStatus.CANCELED.value}
"""A run that goes on has not recorded such a state itself."""

_UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]

_KEY = "hashtextextended('livehouse run ' || {}, 0)"

# Shared, so that a run opens a second session at once while PostgreSQL has not yet noticed the end of the first.
_HOLD = text(f"""
    SELECT set_config('application_name', 'livehouse run ' || :run_id, false),
        set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false),
        set_config('tcp_keepalives_count', '3', false), pg_advisory_lock_shared({_KEY.format(":run_id")})
""")
_STATUS = text("SELECT status FROM runs WHERE run_id = :run_id")
_HELD = text(f"""
    SELECT run_id FROM unnest(CAST(:run_ids AS text[])) AS given (run_id)
    JOIN pg_locks ON (classid::bigint << 32) | objid::bigint = {_KEY.format("run_id")}
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")


class LostRun(NamedTuple):
    """A run that has ended without recording its end, and a line about it."""

    run: dg.DagsterRun
    line: str


def shares_history(instance: dg.DagsterInstance) -> bool:
    """Return whether the history of an instance is on PostgreSQL."""
    return _postgres_storage(instance) is not None


def _postgres_storage(instance: dg.DagsterInstance) -> SqlRunStorage | None:
    storage = instance.run_storage
    if isinstance(storage, SqliteRunStorage) or not isinstance(storage, SqlRunStorage):
        return None
    with storage.connect() as connection:
        return storage if connection.dialect.name == "postgresql" else None


class RunSession:
    """The session of a run, kept open by a thread."""

    def __init__(self, storage: SqlRunStorage, run_id: str) -> None:
        """Open the session. If that takes long, the run begins, and waits at its first step."""
        self._storage = storage
        self._run_id = run_id
        self._opened = 0
        self._is_ended = False
        self._is_over, self._is_due = threading.Event(), threading.Event()
        self._confirmed = threading.Condition()
        self._confirmed_at = -math.inf  # by the monotonic clock
        self._thread = threading.Thread(target=self._keep_open, daemon=True)
        self._thread.start()
        self._wait_for_confirmation(time.monotonic(), _OPEN_SECONDS)

    def close(self) -> None:
        """End the session."""
        self._is_over.set()
        self._is_due.set()
        self._thread.join(_OPEN_SECONDS)

    def check(self) -> None:
        """Interrupt the run if it was marked as ended; if its session was not confirmed lately, wait for that first.

        Dagster then records neither a second failure nor a success. Raises `WarehouseError` if the wait takes too long.
        """
        self._check_since(time.monotonic() - _LEASE_SECONDS)

    def check_after_failure(self) -> bool:
        """Do as `check`, and return whether PostgreSQL has ended the session at least once, which may have failed the step."""
        now = time.monotonic()
        self._is_due.set()
        self._check_since(now)
        return self._opened > 1

    def _check_since(self, earliest: float) -> None:
        if not self._wait_for_confirmation(earliest, _MAX_WAIT_SECONDS):
            raise WarehouseError(
                f"the PostgreSQL of Dagster's history was not reachable for {_MAX_WAIT_SECONDS / 60:.0f} minutes: run again"
            )
        if self._is_ended:
            log("this run was marked as ended while its session in PostgreSQL was lost: it stops, its retry goes on")
            raise DagsterExecutionInterruptedError

    def _wait_for_confirmation(self, earliest: float, seconds: float) -> bool:
        with self._confirmed:
            return self._confirmed.wait_for(lambda: self._confirmed_at >= earliest, seconds)

    def _keep_open(self) -> None:
        while not self._is_over.is_set():
            # The session has to come back after any error: those of the driver and of Dagster have no common class.
            with suppress(Exception), self._storage.connect() as connection:
                connection.execute(_HOLD, {"run_id": self._run_id})
                self._opened += 1
                while not self._is_over.is_set():
                    self._confirm(connection)
                    self._is_due.wait(_CHECK_SECONDS)
            self._is_over.wait(_REOPEN_SECONDS)

    def _confirm(self, connection: Connection) -> None:
        self._is_due.clear()
        began = time.monotonic()
        status = connection.execute(_STATUS, {"run_id": self._run_id}).scalar_one_or_none()
        self._is_ended = status in _ENDED_BY_OTHERS
        with self._confirmed:
            self._confirmed_at = began
            self._confirmed.notify_all()


_sessions: dict[str, RunSession] = {}
"""The sessions of this process, by run."""


@contextmanager
def hold_run_session(instance: dg.DagsterInstance, run_id: str) -> Iterator[RunSession | None]:
    """Hold the session of a run, or yield the one that it has; None if its history is not on PostgreSQL.

    A retry of the run executes all of its steps: those of an earlier process are not in its memory.
    """
    storage = _postgres_storage(instance)
    if storage is None or run_id in _sessions:
        yield _sessions.get(run_id)
        return
    instance.add_run_tags(run_id, {RETRY_STRATEGY_TAG: "ALL_STEPS"})
    session = _sessions[run_id] = RunSession(storage, run_id)
    try:
        yield session
    finally:
        del _sessions[run_id]
        session.close()


def find_live_runs(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> set[str]:
    """Return those of the runs that have a session; none if the history is not on PostgreSQL."""
    storage = _postgres_storage(instance)
    if storage is None or not run_ids:
        return set()
    with storage.connect() as connection:
        return {run_id for (run_id,) in connection.execute(_HELD, {"run_ids": list(run_ids)})}


def find_lost_runs(
    instance: dg.DagsterInstance, missing_seconds: Mapping[str, float], elapsed_seconds: float
) -> tuple[list[LostRun], dict[str, float]]:
    """Return the runs that have been without a session for too long, and for how long each run has been without one.

    The history is on PostgreSQL. `missing_seconds` is what the last call returned, `elapsed_seconds` ago.
    """
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))
    alive = find_live_runs(instance, [run.run_id for run in runs])
    counted_seconds = min(max(elapsed_seconds, 0.0), _MAX_COUNTED_SECONDS)
    lost: list[LostRun] = []
    missing: dict[str, float] = {}
    for run in runs:
        if run.run_id not in alive:
            phase = _find_phase(instance, run)
            key = f"{run.run_id} {phase}"  # with each phase, the time starts again
            missing[key] = missing_seconds[key] + counted_seconds if key in missing_seconds else 0.0
            if missing[key] >= _GRACE[phase].total_seconds():
                lost.append(LostRun(run, _describe_loss(run, phase)))
    return lost, missing


def _find_phase(instance: dg.DagsterInstance, run: dg.DagsterRun) -> _Phase:
    if run.status != dg.DagsterRunStatus.STARTING:
        return "runs"
    has_left_queue = getattr(instance.run_launcher, "has_left_queue", None)  # of celery_launcher.py
    return "is being loaded" if has_left_queue and has_left_queue(run) else "waits for a worker"


def _describe_loss(run: dg.DagsterRun, phase: _Phase) -> str:
    name = f"{run.job_name} {run.run_id[:8]}"
    if phase == "waits for a worker":
        return f"{name}: no worker has started it for {_GRACE[phase].total_seconds() / 3600:.0f} hours"
    return (
        f"{name}: its process ended without recording a result: it was killed (out of memory?), or its machine failed;"
        " days that were loaded are kept"
    )


def report_lost_run(instance: dg.DagsterInstance, lost: LostRun) -> bool:
    """Record the end of a lost run: canceled if a user had requested that, else failed. Return whether it was still open."""
    latest = instance.get_run_by_id(lost.run.run_id)
    if latest is None or latest.status != lost.run.status:
        return False
    if latest.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(latest, message=lost.line)
        return True
    instance.add_run_tags(latest.run_id, {RETRY_STRATEGY_TAG: "ALL_STEPS"})
    error = SerializableErrorInfo(lost.line, [], RunFailedError.__name__)
    instance.report_run_failed(
        latest, message=lost.line, job_failure_data=JobFailureData(error, RunFailureReason.UNEXPECTED_TERMINATION)
    )
    return True
