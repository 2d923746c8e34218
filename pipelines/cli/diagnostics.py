"""The checks of `livehouse doctor` on settings, files and the lakehouse. They change no loaded data."""

import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout

from pipelines.alerts.rules import load_rules
from pipelines.catalog.files import RAW_FILE, WAREHOUSE_FILE
from pipelines.catalog.ops import LANDINGS
from pipelines.catalog.types import Table
from pipelines.cli.diagnostics_api import Finding, check_api
from pipelines.cli.diagnostics_history import check_history
from pipelines.cli.diagnostics_lake import MIN_FREE_BYTES, check_lake_files
from pipelines.clock import utc_now
from pipelines.errors import LivehouseError, SettingsError, WarehouseError
from pipelines.load.raw_versions import describe_future, last_landing
from pipelines.settings.billing_terms import read_billing_terms
from pipelines.settings.settings import Settings, load_settings
from pipelines.steps.alerts import check_rules
from pipelines.storage.duckdb_errors import translate_errors
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.lock import lock_holder
from pipelines.storage.migrations import LIST_COLUMNS, check_schema_version
from pipelines.storage.postgres import Role
from pipelines.storage.warehouse import open_ducklake, open_warehouse

_COLUMNS_NAMED = 5


def diagnose() -> Iterator[Finding]:
    """Run all checks, settings first. Malformed settings end the checks."""
    try:
        settings = load_settings()
    except LivehouseError as error:
        yield _report_setting(error)
        return
    try:
        settings.require_account()
        read_billing_terms(settings)
        yield Finding("ok", "settings", f"{len(settings.app_ids)} app(s) at {settings.base_url}")
        yield from check_api(settings)
    except LivehouseError as error:
        yield _report_setting(error)
    yield from _check_lakehouse(settings) if settings.lakehouse or settings.reader_lakehouse else _check_home(settings)
    yield from check_history(settings)
    yield from _check_alert_rules(settings)


def _report_setting(error: LivehouseError) -> Finding:
    remedy = "correct it in the environment or in .env, which `livehouse init` writes"
    return Finding("fault", "settings", str(error), remedy)


def _check_alert_rules(settings: Settings) -> Iterator[Finding]:
    """Check the file of LIVEHOUSE_ALERTS, and its queries if figures are published."""
    try:
        rules, faults = check_rules(settings, open_warehouse(settings))
    except LivehouseError:  # an earlier check has reported that the warehouse cannot be opened
        rules = load_rules(settings.alert_rules)
        faults = list(rules.faults)
    for fault in faults:
        yield Finding("fault", "settings", fault, "correct the file; `livehouse alerts --check` checks it alone")
    if not faults:
        yield Finding("ok", "alert rules", f"{len(rules.rules)} of {rules.file.name}")


def _check_lakehouse(settings: Settings) -> Iterator[Finding]:
    try:
        lakehouse = open_ducklake(settings)
        lakehouse.prepare()
        if not lakehouse.exists():
            yield Finding("ok", "lakehouse", f"{lakehouse.address} answers; the first run creates its tables")
            return
        yield from check_lake_files(lakehouse)
        with lakehouse.open_published() as connection:
            check_schema_version(connection)
            present = set(connection.execute(LIST_COLUMNS).fetchall())
            newest = connection.execute("SELECT max(finished_at) FROM ops.loads").fetchall()[0][0]
            future = _check_future_landings(connection, present)
        roles = lakehouse.roles()
    except LivehouseError as error:
        yield Finding("fault", "lakehouse", str(error))
        return
    yield _check_roles(*roles)
    yield _check_schema("lakehouse", present, (*RAW_FILE, *WAREHOUSE_FILE))
    yield from future
    yield Finding("ok", "lakehouse", f"{lakehouse.address}, last load {newest} UTC")


def _check_roles(runs: Role, readers: Role | None) -> Finding:
    """Check that each role of PostgreSQL has the permissions that it needs, and no more."""
    for role in filter(None, (runs, readers)):
        if role.is_superuser:
            remedy = "use a role that owns only this database: deploy/postgres/roles.sql creates it"
            return Finding("warning", "roles", f"{role.name} is a superuser of PostgreSQL", remedy)
    remedy = "set LIVEHOUSE_READER_WAREHOUSE with a role that may only SELECT: deploy/postgres/roles.sql creates it"
    if (readers or runs).can_write:
        return Finding("warning", "roles", f"readers use {(readers or runs).name}, which may write", remedy)
    return Finding("ok", "roles", f"{runs.name} for runs, {readers.name} for readers" if readers else runs.name)


def _check_schema(subject: str, present: set[tuple[str, str, str]], tables: Sequence[Table]) -> Finding:
    """Compare the columns of a file with the catalog of this version of livehouse."""
    known = {(table.schema, table.name, column.name) for table in tables for column in table.columns}
    schemas = {schema for schema, _, _ in known}
    if missing := sorted(known - present):
        message = f"from an older version: lacks {_name_columns(missing)}"
        return Finding("warning", subject, message, "the next run adds it")
    if unknown := sorted(column for column in present - known if column[0] in schemas):
        remedy = "livehouse did not add it and leaves it empty: drop it, or keep it elsewhere"
        return Finding(
            "warning", subject, f"has columns that livehouse does not know: {_name_columns(unknown)}", remedy
        )
    return Finding("ok", subject, "can be read, schema up to date")


def _name_columns(columns: Sequence[tuple[str, str, str]]) -> str:
    more = f" and {len(columns) - _COLUMNS_NAMED} more" if len(columns) > _COLUMNS_NAMED else ""
    return ", ".join(map(".".join, columns[:_COLUMNS_NAMED])) + more


def _check_home(settings: Settings) -> Iterator[Finding]:
    try:
        warehouse = FileWarehouse(settings.warehouse)
        warehouse.prepare()
    except LivehouseError as error:
        yield Finding("fault", "settings" if isinstance(error, SettingsError) else "home", str(error))
        return
    free = shutil.disk_usage(warehouse.directory).free
    needed = max(MIN_FREE_BYTES, 2 * (warehouse.working.stat().st_size if warehouse.working.exists() else 0))
    if free < needed:
        yield Finding("warning", "disk", f"{free >> 20} MiB free", f"free {needed >> 20} MiB: publishing writes a copy")
    else:
        yield Finding("ok", "disk", f"{free >> 30} GiB free")
    lock = FileLock(warehouse.lock)
    try:
        with lock.acquire(timeout=0):
            pass
    except Timeout:
        yield Finding(
            "warning", "lock", f"held by {lock_holder(warehouse.lock)}", "a run is going on: wait for it, or end it"
        )
        return  # its files are open
    yield Finding("ok", "lock", "free")
    yield from _check_files(warehouse)


def _check_files(warehouse: FileWarehouse) -> Iterator[Finding]:
    """Read every value of both files, because DuckDB detects damage only in the blocks that it reads."""
    newest: dict[Path, datetime | None] = {}
    for path, tables in ((warehouse.raw, RAW_FILE), (warehouse.working, WAREHOUSE_FILE)):
        if not path.exists():
            yield Finding("ok", path.name, "does not exist yet; the first run creates it")
            continue
        try:
            with translate_errors(path), duckdb.connect(path, read_only=True) as connection:
                check_schema_version(connection)
                present = set(connection.execute(LIST_COLUMNS).fetchall())
                _read_all_values(connection)
                newest[path] = _find_last_load(connection)
                future = _check_future_landings(connection, present)
        except (WarehouseError, duckdb.Error) as error:
            yield Finding("fault", path.name, _extract_cause(error), _choose_remedy(warehouse, path, str(error)))
            continue
        yield _check_schema(path.name, present, tables)
        yield from future
    if warehouse.working in newest:
        yield _check_published(warehouse, newest[warehouse.working])


def _check_future_landings(connection: duckdb.DuckDBPyConnection, present: set[tuple[str, str, str]]) -> list[Finding]:
    """Report replies whose time of arrival lies in the future."""
    if not any((schema, table) == (LANDINGS.schema, LANDINGS.name) for schema, table, _ in present):
        return []
    line = describe_future(last_landing(connection)[1], utc_now())
    return [Finding("warning", "clock", line, "set the clock of each machine that loads, by NTP")] if line else []


def _read_all_values(connection: duckdb.DuckDBPyConnection) -> None:
    tables = connection.execute("SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
    for schema, table in tables:
        connection.execute(f'SELECT bit_xor(hash(record)) FROM "{schema}"."{table}" AS record').fetchall()


def _find_last_load(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    if not connection.execute("FROM duckdb_tables() WHERE schema_name = 'ops' AND table_name = 'loads'").fetchall():
        return None
    newest: datetime | None = connection.execute("SELECT max(finished_at) FROM ops.loads").fetchall()[0][0]
    return newest


def _extract_cause(error: Exception) -> str:
    """Return the message without its remedy, which for a run is to run the doctor."""
    return " ".join(str(error).split()).partition("; ")[0]


def _choose_remedy(warehouse: FileWarehouse, path: Path, message: str) -> str:
    if "lock on file" in message or "Permission denied" in message:
        return "end the program that has it open, or run livehouse as its owner; readers use warehouse.duckdb"
    if "schema version" in message:
        return "update livehouse here, or set LIVEHOUSE_HOME and LIVEHOUSE_WAREHOUSE elsewhere"
    if "version number" in message:
        return "a newer DuckDB wrote it: install that version"
    if path == warehouse.raw:
        return "restore it from a backup: all tables are built from it, and the API deletes old data"
    return (
        f"move it away with its .wal, copy {warehouse.published.name} to {path.name}, and run `livehouse nightly`:"
        f" {warehouse.raw.name} contains everything that was loaded since"
    )


def _check_published(warehouse: FileWarehouse, last_load: datetime | None) -> Finding:
    if not warehouse.published.exists():
        return Finding("warning", "published copy", "does not exist", "run `livehouse nightly`")
    try:
        with warehouse.open_published() as connection:
            _read_all_values(connection)
            published_load = _find_last_load(connection)
    except (WarehouseError, duckdb.Error) as error:
        is_open = "lock on file" in str(error)
        remedy = "runs are not affected, but other readers cannot open it" if is_open else "run `livehouse nightly`"
        return Finding("warning", "published copy", _extract_cause(error), remedy)
    if last_load and (published_load is None or published_load < last_load):
        message = f"as of {published_load} UTC, but the last run ended {last_load} UTC"
        return Finding("warning", "published copy", message, "a run ended before it published: run `livehouse nightly`")
    return Finding("ok", "published copy", f"as of {published_load} UTC")
