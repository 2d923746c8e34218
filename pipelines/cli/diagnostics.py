"""The examinations of `livehouse doctor`, each a few findings. None of them changes what is loaded."""

import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout

from pipelines.catalog.files import RAW_FILE, WAREHOUSE_FILE
from pipelines.catalog.ops import LANDINGS
from pipelines.catalog.types import Table
from pipelines.cli.diagnostics_api import Finding, check_api
from pipelines.cli.diagnostics_history import examine_history
from pipelines.clock import utc_now
from pipelines.errors import LivehouseError, SettingsError, WarehouseError
from pipelines.load.raw_versions import describe_future, last_landing
from pipelines.settings.settings import Settings, load_settings
from pipelines.storage.duckdb_errors import translate_errors
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.lock import lock_holder
from pipelines.storage.migrations import LIST_COLUMNS, check_schema_version
from pipelines.storage.postgres import Role
from pipelines.storage.warehouse import open_ducklake

_LEAST_FREE_BYTES = 2**30
_NAMED = 5


def checkup() -> Iterator[Finding]:
    """Every finding, settings first; without sound settings there is nothing more to examine."""
    try:
        settings = load_settings()
    except LivehouseError as error:
        yield Finding("fault", "settings", str(error), "correct it in the environment or in .env, see .env.example")
        return
    try:
        settings.require_account()
        yield Finding("ok", "settings", f"{len(settings.app_ids)} app(s) at {settings.base_url}")
        yield from check_api(settings)
    except LivehouseError as error:
        yield Finding("fault", "settings", str(error), "set it in the environment or in .env, see .env.example")
    yield from _lakehouse(settings) if settings.lakehouse or settings.reader_lakehouse else _files(settings)
    yield from examine_history(settings)


def _lakehouse(settings: Settings) -> Iterator[Finding]:
    try:
        lakehouse = open_ducklake(settings)
        lakehouse.prepare()
        if not lakehouse.exists():
            yield Finding("ok", "lakehouse", f"{lakehouse.address} answers; the first run makes its tables")
            return
        with lakehouse.open_published() as connection:
            check_schema_version(connection)
            there = set(connection.execute(LIST_COLUMNS).fetchall())
            newest = connection.execute("SELECT max(finished_at) FROM ops.loads").fetchall()[0][0]
            future = _future(connection, there)
        roles = lakehouse.roles()
    except LivehouseError as error:
        yield Finding("fault", "lakehouse", str(error))
        return
    yield _roles(*roles)
    yield _schema("lakehouse", there, (*RAW_FILE, *WAREHOUSE_FILE))
    yield from future
    yield Finding("ok", "lakehouse", f"{lakehouse.address}, last load {newest} UTC")


def _roles(runs: Role, readers: Role | None) -> Finding:
    """Return whether each role of PostgreSQL may do what it is for, and no more."""
    for role in filter(None, (runs, readers)):
        if role.is_superuser:
            remedy = "use one that owns the database and nothing else: deploy/postgres/roles.sql creates it"
            return Finding("warning", "roles", f"{role.name} is a superuser of PostgreSQL", remedy)
    remedy = "set LIVEHOUSE_READER_WAREHOUSE with a role that may only SELECT: deploy/postgres/roles.sql creates it"
    if (readers or runs).can_write:
        return Finding("warning", "roles", f"readers use {(readers or runs).name}, which may write", remedy)
    return Finding("ok", "roles", f"{runs.name} for runs, {readers.name} for readers" if readers else runs.name)


def _schema(what: str, there: set[tuple[str, str, str]], tables: Sequence[Table]) -> Finding:
    """Compare a schema of our version or an older one with what this livehouse knows."""
    known = {(table.schema, table.name, column.name) for table in tables for column in table.columns}
    ours = {schema for schema, _, _ in known}
    if missing := sorted(known - there):
        return Finding("warning", what, f"of an older version: lacks {_some(missing)}", "the next run adds it")
    if newer := sorted(at for at in there - known if at[0] in ours):
        remedy = "livehouse did not add it and leaves it empty: drop it, or keep it elsewhere"
        return Finding("warning", what, f"has columns that livehouse does not know: {_some(newer)}", remedy)
    return Finding("ok", what, "can be read, schema up to date")


def _some(columns: Sequence[tuple[str, str, str]]) -> str:
    more = f" and {len(columns) - _NAMED} more" if len(columns) > _NAMED else ""
    return ", ".join(map(".".join, columns[:_NAMED])) + more


def _files(settings: Settings) -> Iterator[Finding]:
    try:
        warehouse = FileWarehouse(settings.warehouse)
        warehouse.prepare()
    except LivehouseError as error:
        yield Finding("fault", "settings" if isinstance(error, SettingsError) else "home", str(error))
        return
    free = shutil.disk_usage(warehouse.directory).free
    needed = max(_LEAST_FREE_BYTES, 2 * (warehouse.working.stat().st_size if warehouse.working.exists() else 0))
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
    yield from _contents(warehouse)


def _contents(warehouse: FileWarehouse) -> Iterator[Finding]:
    """Read every value of both files, since DuckDB finds damage only where it reads."""
    newest: dict[Path, datetime | None] = {}
    for path, tables in ((warehouse.raw, RAW_FILE), (warehouse.working, WAREHOUSE_FILE)):
        if not path.exists():
            yield Finding("ok", path.name, "not there yet; the first run makes it")
            continue
        try:
            with translate_errors(path), duckdb.connect(path, read_only=True) as connection:
                check_schema_version(connection)
                there = set(connection.execute(LIST_COLUMNS).fetchall())
                _read_all(connection)
                newest[path] = _newest_load(connection)
                future = _future(connection, there)
        except (WarehouseError, duckdb.Error) as error:
            yield Finding("fault", path.name, _cause(error), _remedy(warehouse, path, str(error)))
            continue
        yield _schema(path.name, there, tables)
        yield from future
    if warehouse.working in newest:
        yield _published(warehouse, newest[warehouse.working])


def _future(connection: duckdb.DuckDBPyConnection, there: set[tuple[str, str, str]]) -> list[Finding]:
    """Report answers that were received in the future."""
    if not any((schema, table) == (LANDINGS.schema, LANDINGS.name) for schema, table, _ in there):
        return []
    line = describe_future(last_landing(connection)[1], utc_now())
    return [Finding("warning", "clock", line, "set the clock of each machine that loads, by NTP")] if line else []


def _read_all(connection: duckdb.DuckDBPyConnection) -> None:
    tables = connection.execute("SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal").fetchall()
    for schema, table in tables:
        connection.execute(f'SELECT bit_xor(hash(held)) FROM "{schema}"."{table}" AS held').fetchall()


def _newest_load(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    if not connection.execute("FROM duckdb_tables() WHERE schema_name = 'ops' AND table_name = 'loads'").fetchall():
        return None
    newest: datetime | None = connection.execute("SELECT max(finished_at) FROM ops.loads").fetchall()[0][0]
    return newest


def _cause(error: Exception) -> str:
    """Without the remedy, which for a run is to ask the doctor."""
    return " ".join(str(error).split()).partition("; ")[0]


def _remedy(warehouse: FileWarehouse, path: Path, said: str) -> str:
    if "lock on file" in said or "Permission denied" in said:
        return "end the program that has it open, or run livehouse as its owner; others read warehouse.duckdb"
    if "schema version" in said:
        return "update livehouse here, or set LIVEHOUSE_HOME and LIVEHOUSE_WAREHOUSE elsewhere"
    if "version number" in said:
        return "a newer DuckDB wrote it: install that one"
    if path == warehouse.raw:
        return "bring it back from a backup: everything else is made of it, and the API forgets"
    return (
        f"move it away with its .wal, copy {warehouse.published.name} to {path.name}, and run `livehouse nightly`:"
        f" {warehouse.raw.name} has what happened since"
    )


def _published(warehouse: FileWarehouse, worked: datetime | None) -> Finding:
    if not warehouse.published.exists():
        return Finding("warning", "published copy", "not there", "run `livehouse nightly`")
    try:
        with warehouse.open_published() as connection:
            _read_all(connection)
            shown = _newest_load(connection)
    except (WarehouseError, duckdb.Error) as error:
        is_open = "lock on file" in str(error)
        remedy = (
            "no run minds; but nobody else can read it meanwhile" if is_open else "`livehouse nightly` makes it anew"
        )
        return Finding("warning", "published copy", _cause(error), remedy)
    if worked and (shown is None or shown < worked):
        said = f"of {shown} UTC, the last run ended {worked} UTC"
        return Finding("warning", "published copy", said, "a run ended before it published: run `livehouse nightly`")
    return Finding("ok", "published copy", f"of {shown} UTC")
