"""Send metrics and a trace of a run that ended, and a heartbeat after a successful night."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import duckdb

from pipelines.catalog.streams import FACTS
from pipelines.errors import LivehouseError, WarehouseError
from pipelines.orchestration.resources import NIGHTLY
from pipelines.settings.settings import Settings
from pipelines.storage.warehouse import open_warehouse
from pipelines.telemetry.heartbeat import send_heartbeat
from pipelines.telemetry.otlp import send_run
from pipelines.telemetry.run_record import Load, RunRecord, Stage

_LOADS = """
    SELECT table_name, app_id, started_at, finished_at, api_requests, api_retries, coalesce(api_refusals, 0),
        rows_received, rows_landed, rows_quarantined,
        coalesce(starts_with(note, 'failed') OR contains(note, 'incomplete: '), false) AS is_incomplete
    FROM ops.loads WHERE run_id = ? ORDER BY started_at, table_name, app_id
"""
_NEWEST_DAYS = """
    SELECT app_id, max(day) FROM (
        SELECT app_id, day FROM ops.days WHERE list_contains($tables, table_name)
        GROUP BY ALL HAVING count(DISTINCT table_name) = len($tables)
    ) GROUP BY app_id ORDER BY app_id
"""


def report_run(settings: Settings, instance: dg.DagsterInstance, run_id: str) -> list[str]:
    """Send what is configured about a run that ended. Return one line for each receiver that did not accept it; never raises."""
    if settings.collector is None and settings.heartbeat is None:
        return []
    run = instance.get_run_by_id(run_id)
    if run is None:
        return []
    faults: list[str | None] = []
    if settings.collector is not None:
        try:
            faults.append(send_run(settings, describe_run(settings, instance, run)))
        except LivehouseError as error:
            faults.append(f"could not send the run to LIVEHOUSE_OTLP_ENDPOINT: {error}")
    if run.job_name == NIGHTLY and run.status == dg.DagsterRunStatus.SUCCESS:
        faults.append(send_heartbeat(settings))
    return [fault for fault in faults if fault]


def describe_run(settings: Settings, instance: dg.DagsterInstance, run: dg.DagsterRun) -> RunRecord:
    """Return a run with its stages from Dagster's history, and its loads from the published warehouse."""
    stats = instance.get_run_stats(run.run_id)
    loads, newest_days = _read_loads(settings, run.run_id)
    began, ended = stats.start_time or stats.launch_time or stats.enqueued_time, stats.end_time
    return RunRecord(
        run.run_id,
        run.job_name,
        _moment(began or ended or 0),
        _moment(ended or began or 0),
        run.status == dg.DagsterRunStatus.SUCCESS,
        tuple(
            Stage(step.step_key.replace("__", "."), _moment(step.start_time), _moment(step.end_time), _is_good(step))
            for step in instance.get_run_step_stats(run.run_id)
            if step.start_time and step.end_time
        ),
        loads,
        newest_days,
    )


def _is_good(step: Any) -> bool:  # noqa: ANN401 - a class of Dagster that is not public
    return bool(step.status and step.status.value == "SUCCESS")


def _moment(unix_time: float) -> datetime:
    return datetime.fromtimestamp(unix_time, UTC).replace(tzinfo=None)


def _read_loads(settings: Settings, run_id: str) -> tuple[tuple[Load, ...], tuple[Any, ...]]:
    """Return loads and newest days; nothing before this version has published a copy, or while it cannot be read."""
    warehouse = open_warehouse(settings)
    try:
        if not warehouse.exists():
            return (), ()
        with warehouse.open_published() as connection:
            loads = tuple(Load(*row) for row in connection.execute(_LOADS, [run_id]).fetchall())
            tables = [table.full_name for table in FACTS]
            return loads, tuple(connection.execute(_NEWEST_DAYS, {"tables": tables}).fetchall())
    except (WarehouseError, duckdb.Error):
        return (), ()
