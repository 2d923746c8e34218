"""Summarizes a run from ops.loads and ops.quarantine: results, requests, findings."""

from typing import Any

from duckdb import DuckDBPyConnection

from pipelines.catalog.ops import LOADS, QUARANTINE
from pipelines.steps.context import RunContext
from pipelines.storage.frames import read_frame

TABLES_OF_SUMMARY = (LOADS.full_name, QUARANTINE.full_name)

_QUARANTINED = """
    quarantined AS (
        SELECT held.app_id, held.table_name, held.field, held.reason FROM ops.quarantine AS held
        JOIN ops.loads AS load ON load.run_id = $run_id AND load.app_id = held.app_id AND load.table_name = held.table_name
        WHERE held.day IS NULL OR load.first_day IS NULL OR held.run_id = $run_id
            OR held.day BETWEEN load.first_day AND load.last_day
    )
"""
"""Quarantined records in the tables and days that a run loaded: the one source of every count of them."""
_TOTALS = f"""
    WITH {_QUARANTINED}
    SELECT app_id,
        max(rows_landed) FILTER (table_name = 'core.livestreams') AS livestreams,
        max(rows_landed) FILTER (table_name = 'core.livestream_sessions') AS sessions,
        CASE WHEN bool_or(starts_with(table_name, 'core.')) THEN coalesce(any_value(aside.records), 0) END AS quarantined,
        sum(api_requests)::BIGINT AS requests, sum(api_retries)::BIGINT AS retries
    FROM ops.loads LEFT JOIN (SELECT app_id, count(*) AS records FROM quarantined GROUP BY app_id) AS aside USING (app_id)
    WHERE run_id = $run_id GROUP BY app_id ORDER BY app_id
"""
_QUARANTINE = f"""
    WITH {_QUARANTINED}
    SELECT table_name, field, reason, count(*) AS records FROM quarantined
    GROUP BY ALL ORDER BY records DESC, table_name, field LIMIT 8
"""
_NOTES = """
    SELECT app_id || ': ' || note AS note FROM ops.loads
    WHERE run_id = ? AND note IS NOT NULL AND NOT starts_with(note, 'failed') ORDER BY note
"""
_LOADS = """
    SELECT table_name AS "table", app_id AS app, rows_received AS received, rows_landed AS landed,
        rows_quarantined AS quarantined, rows_duplicate AS duplicates, api_requests AS requests, api_retries AS retries,
        round(epoch(finished_at - started_at), 1) AS seconds
    FROM ops.loads WHERE run_id = ? ORDER BY started_at
"""


def summarize(connection: DuckDBPyConnection, run_id: str) -> dict[str, Any]:
    """Return the totals by app, quarantined records by reason, and the notes of its loads."""
    return {
        "apps": read_frame(connection, _TOTALS, {"run_id": run_id}).to_dicts(),
        "quarantined": read_frame(connection, _QUARANTINE, {"run_id": run_id}).to_dicts(),
        "notes": read_frame(connection, _NOTES, [run_id])["note"].to_list(),
    }


def loads_of(connection: DuckDBPyConnection, run_id: str) -> list[dict[str, Any]]:
    """Return the loads of a run in order, by table and app."""
    return read_frame(connection, _LOADS, [run_id]).to_dicts()


def describe_quarantine(entry: dict[str, Any]) -> str:
    """Return one line about quarantined records with the same field and reason."""
    return f"{entry['records']} in {entry['table_name']}: {entry['field']} is {entry['reason']}"


def findings(run: RunContext, summary: dict[str, Any]) -> list[str]:
    """Return findings that need attention, one line each."""
    quarantined = [f"quarantined: {describe_quarantine(entry)}" for entry in summary["quarantined"]]
    notes = [note for note in summary["notes"] if ": incomplete: " not in note]  # those are failures
    return [*run.failure_lines(), *run.warnings, *notes, *quarantined]
