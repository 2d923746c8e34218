"""Find the runs whose process has died in a history on PostgreSQL, which several machines share.

Each run holds an advisory lock in a session of its own while it lasts. PostgreSQL releases the lock when that session
ends: because the process was killed, or the machine cannot be reached any more. So the lock says that a run is alive
whatever has launched it; the state that Celery keeps of a task stays "started" after its worker was killed (dagster#33493).
The lock files of `run_liveness.py` do the same for a history on one machine.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Literal, NamedTuple

import dagster as dg
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.sqlite import SqliteRunStorage
from dagster._core.storage.tags import RETRY_STRATEGY_TAG
from dagster_shared.error import SerializableErrorInfo
from sqlalchemy import text

from pipelines.orchestration.run_errors import RunFailedError

_CHECK_SECONDS = 15.0
"""How often a run checks that its session is open. Another one is opened after a restart of PostgreSQL."""

_OPEN_SECONDS = 10.0

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

_UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]

_KEY = "hashtextextended('livehouse run ' || {}, 0)"

# Shared, so that a run opens a second session at once while PostgreSQL has not yet noticed the end of the first.
_HOLD = text(f"""
    SELECT set_config('application_name', 'livehouse run ' || :run_id, false),
        set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false),
        set_config('tcp_keepalives_count', '3', false), pg_advisory_lock_shared({_KEY.format(":run_id")})
""")
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


@contextmanager
def hold_run_session(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold the session of a run, if its history is on PostgreSQL.

    A retry of the run executes all of its steps: those of an earlier process are not in its memory.
    """
    storage = _postgres_storage(instance)
    if storage is None:
        yield
        return
    instance.add_run_tags(run_id, {RETRY_STRATEGY_TAG: "ALL_STEPS"})
    is_open, is_over = threading.Event(), threading.Event()
    thread = threading.Thread(target=_keep_session, args=(storage, run_id, is_open, is_over), daemon=True)
    thread.start()
    is_open.wait(_OPEN_SECONDS)
    try:
        yield
    finally:
        is_over.set()
        thread.join(_OPEN_SECONDS)


def _keep_session(storage: SqlRunStorage, run_id: str, is_open: threading.Event, is_over: threading.Event) -> None:
    while not is_over.is_set():
        # The session has to come back after any error: those of the driver and of Dagster have no common class.
        with suppress(Exception), storage.connect() as connection:
            connection.execute(_HOLD, {"run_id": run_id})
            is_open.set()
            while not is_over.wait(_CHECK_SECONDS):
                connection.execute(text("SELECT 1"))
        is_over.wait(1.0)


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
