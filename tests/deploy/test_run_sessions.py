"""Runs with a history on PostgreSQL: one whose process has died is found by its session, posted once, and retried."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.storage.tags import RETRY_STRATEGY_TAG, WILL_RETRY_TAG
from sqlalchemy import text

from pipelines.orchestration import run_sessions
from pipelines.orchestration.executor import session_executor
from pipelines.orchestration.run_sessions import (
    LostRun,
    find_live_runs,
    find_lost_runs,
    hold_run_session,
    report_lost_run,
    shares_history,
)
from pipelines.orchestration.sensors import lost_runs
from pipelines.simulator.server import Simulator
from pipelines.storage.file_warehouse import FileWarehouse
from tests.deploy.history import open_postgres_history
from tests.deploy.topology import kill, running_topology
from tests.pipeline_runner import DAYS, assert_matches_world, environment_for, settings_for
from tests.postgres import Postgres
from tests.promises.world_factory import tiny_world
from tests.webhook_receiver import Receiver

STARTING, STARTED, CANCELING = DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING
SESSION = "SELECT pid FROM pg_stat_activity WHERE application_name = 'livehouse run {}'"


@dg.job
def nightly() -> None:
    """A job for runs that are only recorded."""


@pytest.fixture(scope="module")
def history(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with open_postgres_history(postgres, tmp_path_factory.mktemp("history")) as instance:
        yield instance


def run_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    run = instance.get_run_by_id(run_id)
    assert run
    return run


def begin(instance: dg.DagsterInstance, status: DagsterRunStatus) -> str:
    run = instance.create_run_for_job(nightly, status=status)
    return run.run_id


@pytest.mark.long
def test_a_run_without_a_session_for_two_minutes_has_failed(history: dg.DagsterInstance) -> None:
    from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

    from pipelines.orchestration.celery_launcher import CancelingCeleryRunLauncher

    assert shares_history(history)
    statuses = (STARTED, STARTED, CANCELING, STARTING, STARTING)
    alive, killed, stopped, queued, taken = (begin(history, status) for status in statuses)
    launcher = history.run_launcher
    assert isinstance(launcher, CancelingCeleryRunLauncher)
    for run_id in (queued, taken):
        history.add_run_tags(run_id, {DAGSTER_CELERY_TASK_ID_TAG: run_id})
    launcher.celery.backend.store_result(taken, None, "STARTED")  # a worker that was killed before the run began
    expected: dict[float, set[str]] = {
        0: set(),
        119: set(),
        121: {killed, stopped},
        301: {killed, stopped, taken},
        50_000: {killed, stopped, taken, queued},
    }
    with hold_run_session(history, alive):
        assert find_live_runs(history, [alive, killed]) == {alive}
        missing: dict[str, float] = {}
        for seconds, lost_ids in expected.items():
            lost, missing = find_lost_runs(history, dict.fromkeys(missing, seconds - 1.0), 1.0)
            assert {one.run.run_id for one in lost} == lost_ids, seconds
        cursor = {"checked_at": time.time(), "missing_seconds": missing}
        context = dg.build_sensor_context(history, cursor=json.dumps(cursor))
        lost_runs(context)
        lost_runs(context)
    assert run_of(history, alive).status == STARTED
    assert run_of(history, stopped).status == DagsterRunStatus.CANCELED
    for run_id in (killed, queued, taken):
        [failure] = history.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        assert failure.dagster_event
        assert "\n" not in (failure.dagster_event.message or "\n")
        run = run_of(history, run_id)
        assert run.tags[WILL_RETRY_TAG] == "true"
        assert run.tags[RETRY_STRATEGY_TAG] == "ALL_STEPS"
    assert find_live_runs(history, [alive]) == set()
    history.report_run_failed(run_of(history, alive))


@pytest.mark.long
def test_no_run_is_lost_by_a_pause_of_the_checks_or_a_change_of_the_clock(history: dg.DagsterInstance) -> None:
    """A run may need a moment to reconnect after PostgreSQL is back, and the daemon is sometimes faster."""
    run_id = begin(history, STARTED)
    _, missing = find_lost_runs(history, {}, 0.0)
    for elapsed_seconds in (3600.0, -3600.0):
        lost, missing = find_lost_runs(history, missing, elapsed_seconds)
        assert lost == []
    lost, _ = find_lost_runs(history, missing, 60.0)
    assert [one.run.run_id for one in lost] == [run_id]
    history.report_run_failed(run_of(history, run_id))


@pytest.mark.long
def test_a_run_whose_session_was_cut_opens_another_one(
    history: dg.DagsterInstance, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_sessions, "_CHECK_SECONDS", 0.05)
    monkeypatch.setattr(run_sessions, "_REOPEN_SECONDS", 0.05)
    run_id = begin(history, STARTED)
    session = SESSION.format(run_id)
    with hold_run_session(history, run_id):
        before = postgres.execute(session)
        postgres.execute(f"SELECT pg_terminate_backend(pid) FROM ({session})")
        deadline = time.monotonic() + 30
        while postgres.execute(session) in (before, []) or not find_live_runs(history, [run_id]):
            assert time.monotonic() < deadline
    assert postgres.execute(session) == []
    history.report_run_failed(run_of(history, run_id))


@dg.op(config_schema={"is_marked": bool, "file": str})
def load(context: dg.OpExecutionContext) -> None:
    """Lose the session; then write, or fail as a run does whose locks are gone."""
    instance, run_id = context.instance, context.run_id
    warehouse = FileWarehouse(Path(context.op_config["file"]))
    with hold_run_session(instance, run_id) as session:  # that of the executor
        assert session
        warehouse.before_write = session.check
        warehouse.write(lambda connection: connection.execute("CREATE TABLE loaded AS SELECT 1"))
        if context.op_config["is_marked"]:
            assert report_lost_run(instance, LostRun(run_of(instance, run_id), "it was lost"))
        with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]  # of SQL
            connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM ({SESSION.format(run_id)}) AS found"))
        while context.op_config["is_marked"]:
            warehouse.write(lambda connection: connection.execute("INSERT INTO loaded SELECT 1"))
    raise RuntimeError("connection lost")


@dg.job(executor_def=session_executor)
def backfill() -> None:
    """A job whose session is lost."""
    load()


@pytest.mark.parametrize("is_marked", [True, False])
def test_a_run_that_lost_its_session_stops_once_and_is_started_again(
    history: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_marked: bool
) -> None:
    """Marked as lost, it stops at its next transaction and records no other failure; else its failure is retried."""
    monkeypatch.setattr(run_sessions, "_CHECK_SECONDS", 0.05)
    monkeypatch.setattr(run_sessions, "_REOPEN_SECONDS", 0.05)
    config = {"is_marked": is_marked, "file": f"{tmp_path / 'warehouse.duckdb'}"}
    with dg.execute_job(
        dg.reconstructable(backfill),
        instance=history,
        raise_on_error=False,
        run_config={"ops": {"load": {"config": config}}},
    ) as result:
        run = run_of(history, result.run_id)
    assert run.status == DagsterRunStatus.FAILURE
    assert run.tags[WILL_RETRY_TAG] == "true"
    [failure] = history.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert failure.dagster_event
    assert (failure.dagster_event.message == "it was lost") is is_marked


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_backfill_survives_an_upgrade_and_a_killed_worker(postgres: Postgres, lake: str, tmp_path: Path) -> None:
    pytest.importorskip("dagster_celery", reason="the extra `deploy` is not installed")
    place = {"LIVEHOUSE_WAREHOUSE": lake, "LIVEHOUSE_DATA_PATH": f"{tmp_path / 'files'}"}
    world = tiny_world(livestreams=4, sessions=40)
    with Receiver.listening() as receiver, Simulator(world) as simulator:
        environment = environment_for(simulator, tmp_path, LIVEHOUSE_REQUESTS_PER_SECOND="6", **place)
        environment |= {"LIVEHOUSE_ALERT_WEBHOOK": receiver.address}
        with running_topology(postgres, tmp_path, environment) as services:
            services.start_daemon()

            def wait_for_requests(number: int) -> None:
                before = simulator.request_count()
                services.wait_for(lambda: simulator.request_count() > before + number)

            upgraded = services.start_worker("worker1")
            services.launch("backfill", DAYS)
            wait_for_requests(10)
            upgraded.send_signal(signal.SIGTERM)
            services.start_worker("worker2")
            assert upgraded.wait(60) == 0, "the worker ends within its grace"
            services.wait_for(lambda: services.statuses()[0] == "FAILURE", 10)
            services.wait_for(lambda: services.statuses() == ["FAILURE", "STARTED"])
            wait_for_requests(5)
            kill(services.processes["worker2"])
            services.start_worker("worker3")
            services.wait_for(lambda: services.statuses() == ["FAILURE", "FAILURE", "SUCCESS"], 500)
            services.wait_for(lambda: len(receiver.posted) > 1)
        first, second = (body["text"] for _, body in receiver.posted)
        assert "stopped" in first
        assert "its process ended without recording a result" in second
        assert all("The run is started again" in text for text in (first, second))
        settings = settings_for(simulator, tmp_path / "reader", **place)
        assert_matches_world(settings, world)
