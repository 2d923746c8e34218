"""Names that dashboards, cron lines and notebooks use, written here a second time: renaming one breaks them."""

import importlib

import click
import pytest

from pipelines.catalog.files import RAW_FILE, WAREHOUSE_FILE
from pipelines.catalog.types import SQL_TYPES, Table
from pipelines.cli import COMMANDS
from pipelines.cli.api import api_command
from pipelines.marts.build import find_marts
from pipelines.settings.settings import Settings

PUBLISHED = {table.full_name: table for table in WAREHOUSE_FILE}
RAW = {table.full_name: table for table in RAW_FILE}

TABLES = {
    "core.livestreams": (
        "app_id, livestream_id",
        (
            "name VARCHAR, status VARCHAR, is_disabled BOOLEAN, meeting_id VARCHAR, ingest_server VARCHAR, playback_url VARCHAR,"
            " created_at TIMESTAMP, updated_at TIMESTAMP, first_seen_at TIMESTAMP, last_seen_at TIMESTAMP"
        ),
    ),
    "core.livestream_sessions": (
        "app_id, session_id",
        (
            "day DATE, livestream_id VARCHAR, created_at TIMESTAMP, invoked_at TIMESTAMP, started_at TIMESTAMP,"
            " stopped_at TIMESTAMP, updated_at TIMESTAMP, ingest_seconds DOUBLE, viewer_seconds DOUBLE, err_message VARCHAR,"
            " is_live BOOLEAN, fetched_at TIMESTAMP, ended_at TIMESTAMP, is_failed BOOLEAN, time_to_live_seconds DOUBLE,"
            " is_provisional BOOLEAN"
        ),
    ),
    "core.livestream_analytics_daily": (
        "app_id, day",
        "livestream_count BIGINT, ingest_seconds DOUBLE, viewer_seconds DOUBLE, fetched_at TIMESTAMP, session_count BIGINT",
    ),
    "core.meeting_sessions_daily": (
        "app_id, day",
        "session_count BIGINT, session_minutes DOUBLE, fetched_at TIMESTAMP",
    ),
    "core.recordings_daily": (
        "app_id, day",
        "recording_count BIGINT, recording_minutes DOUBLE, fetched_at TIMESTAMP",
    ),
    "core.live_observations": (
        "app_id, livestream_id, observed_at",
        "session_id VARCHAR, meeting_id VARCHAR, status VARCHAR, ingest_seconds DOUBLE, viewer_seconds DOUBLE",
    ),
    "ops.loads": (
        "run_id, table_name, app_id",
        (
            "first_day DATE, last_day DATE, rows_received BIGINT, rows_landed BIGINT, rows_quarantined BIGINT,"
            " rows_duplicate BIGINT, api_requests BIGINT, api_retries BIGINT, started_at TIMESTAMP, finished_at TIMESTAMP,"
            " note VARCHAR"
        ),
    ),
    "ops.quarantine": (
        "app_id, table_name",
        "day DATE, record_id VARCHAR, field VARCHAR, reason VARCHAR, payload VARCHAR, fetched_at TIMESTAMP, run_id VARCHAR",
    ),
    "ops.livestream_sync": (
        "app_id, livestream_id",
        "upstream_updated_at TIMESTAMP, synced_at TIMESTAMP, complete BOOLEAN",
    ),
    "ops.field_types": ("table_name, field, json_type", "records BIGINT, last_seen_at TIMESTAMP"),
    "ops.days": ("table_name, app_id, day", ""),
    "ops.shrinks": ("", "app_id VARCHAR, table_name VARCHAR, day DATE, reason VARCHAR"),
    "ops.mart_builds": ("", ""),
    "ops.incidents": (
        "incident_id, rule, app_id, scope, first_day, last_day, opened_at, closed_at",
        (
            "closing VARCHAR, first_value DOUBLE, last_value DOUBLE, threshold DOUBLE, open_posted_at TIMESTAMP,"
            " close_posted_at TIMESTAMP, text VARCHAR"
        ),
    ),
}
"""Published table: the columns it begins with, and others with their types. A table may have more."""

RAW_KEYS = {
    "raw.livestreams": "app_id VARCHAR, livestream_id VARCHAR",
    "raw.livestream_sessions": "app_id VARCHAR, session_id VARCHAR, day DATE",
    "raw.livestream_analytics": "app_id VARCHAR, day DATE",
    "raw.app_analytics": "app_id VARCHAR, day DATE",
}
"""Raw table: the columns it has besides payload, fetched_at and run_id."""

COMMAND_OPTIONS = {
    "demo": "",
    "nightly": "--date --no-catch-up --quiet --json",
    "backfill": "start end --full --allow-shrink",
    "rebuild": "start end",
    "sql": "query -f --format --spreadsheet --timeout --param --example --examples --tables --columns",
    "report": "--open",
    "alerts": "--check --test --format",
    "doctor": "",
    "simulate": "--port",
    "api": "",
    "upkeep": "--keep-days",
    "move": "source target",
    "on-air": "--watch --json",
    "statement": "month --by --format --close --allow-incomplete",
    "export": "target --format --tables --since --spreadsheet",
    "ui": "--port --open",
}
"""Command: its arguments and options. A command may have more."""

API_OPERATIONS = (
    "list-livestreams get-livestream get-session get-active-session get-meeting-livestream get-overall-analytics"
    " get-daywise-analytics create-livestream start-livestream stop-livestream get-livestream-daywise-analytics"
)

SETTINGS = (
    "CLOUDFLARE_API_TOKEN CLOUDFLARE_ACCOUNT_ID REALTIMEKIT_APP_ID CLOUDFLARE_BASE_URL LIVEHOUSE_HOME LIVEHOUSE_WAREHOUSE"
    " LIVEHOUSE_DATA_PATH LIVEHOUSE_START_DATE LIVEHOUSE_LOOKBACK_DAYS LIVEHOUSE_RETENTION_DAYS"
    " LIVEHOUSE_REQUESTS_PER_SECOND LIVEHOUSE_CONCURRENCY LIVEHOUSE_EXPORT_PATH LIVEHOUSE_READER_WAREHOUSE"
    " LIVEHOUSE_ALERT_WEBHOOK LIVEHOUSE_ALERT_FORMAT LIVEHOUSE_ALERT_SECRET LIVEHOUSE_ALERTS LIVEHOUSE_DIGEST"
    " LIVEHOUSE_REPORT_URL LIVEHOUSE_EXPORT_RATE LIVEHOUSE_PARTICIPANT_RATE"
    " LIVEHOUSE_AUDIO_EXPORT_RATE LIVEHOUSE_AUDIO_PARTICIPANT_RATE LIVEHOUSE_AUDIO_APPS LIVEHOUSE_ALLOWANCES LIVEHOUSE_CUSTOMERS"
)


MARTS = "daily_usage monthly_usage monthly_cost monthly_allowance livestream_performance session_reliability stream_concurrency live_audience reconciliation"


def typed_columns(table: Table) -> set[str]:
    return {f"{column.name} {SQL_TYPES[column.logical_type]}" for column in table.columns}


@pytest.mark.parametrize("name", TABLES)
def test_columns_of_a_published_table(name: str) -> None:
    first, others = TABLES[name]
    table = PUBLISHED[name]
    assert ", ".join(table.column_names).startswith(first)
    assert set(filter(None, others.split(", "))) <= typed_columns(table)


@pytest.mark.parametrize("name", RAW_KEYS)
def test_columns_of_a_raw_table(name: str) -> None:
    kept = {"payload VARCHAR", "fetched_at TIMESTAMP", "run_id VARCHAR"}
    assert kept | set(RAW_KEYS[name].split(", ")) <= typed_columns(RAW[name])


@pytest.mark.parametrize("name", COMMAND_OPTIONS)
def test_arguments_and_options_of_a_command(name: str) -> None:
    module = importlib.import_module(COMMANDS[name][0])
    [command] = [value for value in vars(module).values() if isinstance(value, click.Command) and value.name == name]
    found = {spelling for param in command.params for spelling in (*param.opts, *param.secondary_opts)}
    assert set(COMMAND_OPTIONS[name].split()) <= found


def test_operations_of_api() -> None:
    assert set(API_OPERATIONS.split()) <= api_command.commands.keys()


def test_marts() -> None:
    assert set(MARTS.split()) <= {mart.name for mart in find_marts()}


def test_variables_of_settings() -> None:
    assert set(SETTINGS.split()) <= {field.validation_alias for field in Settings.model_fields.values()}
