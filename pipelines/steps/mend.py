"""Repairs a lakehouse that lost files: forgets them, and rebuilds their rows from raw, in one transaction for readers."""

from collections.abc import Collection, Iterator, Sequence
from datetime import date
from functools import partial
from uuid import uuid4

import duckdb

from pipelines.catalog.core import LIVESTREAMS
from pipelines.catalog.marts import MART_BUILDS
from pipelines.catalog.ops import DAYS, FINGERPRINTS, LANDINGS, QUARANTINE, SHRINKS
from pipelines.catalog.raw import RAW_LIVESTREAM_SESSIONS, RAW_LIVESTREAMS
from pipelines.catalog.streams import DAILY_RAW, FACTS, STREAMS, stream_of
from pipelines.clock import describe_days
from pipelines.errors import UsageError, WarehouseError
from pipelines.load.loaded_days import group_by_app
from pipelines.load.restored_raw import forget_livestreams, note_landings, restore_raw
from pipelines.marts.build import find_marts
from pipelines.settings.settings import Settings
from pipelines.steps import load_core, report
from pipelines.steps.context import RunContext
from pipelines.storage.catalog_branch import branch_catalog
from pipelines.storage.ducklake_errors import translate_lake_errors
from pipelines.storage.lake_files import DamagedFile, count_files, find_damaged_files, forget_files, is_storage_missing
from pipelines.storage.warehouse import open_ducklake
from pipelines.telemetry.logs import log

_RAW = {stream.raw.full_name: stream.raw for stream in STREAMS}
_FACTS = {table.full_name: table for table in FACTS}
_FILLED_BY_LOADS = {table.full_name for table in (DAYS, QUARANTINE, SHRINKS, FINGERPRINTS)}
"""Tables of which loading every day of core fills the lost rows again."""

LoadedDay = tuple[str, str, date]
"""Fact table, app and day."""


def mend(settings: Settings) -> list[str]:
    """Forget the files that are missing or incomplete, and rebuild what they held. Returns what was found and done, line by line.

    Readers see the lakehouse either as it was or completely repaired; other runs wait with their next commit meanwhile. Raises
    `UsageError` for a warehouse in a file, and `WarehouseError` if none of the files is there.
    """
    if not settings.lakehouse:
        raise UsageError(
            "LIVEHOUSE_WAREHOUSE is a file, and `livehouse mend` repairs a lakehouse: `livehouse doctor` checks the file"
            " and names the remedy"
        )
    warehouse = open_ducklake(settings)
    warehouse.prepare()
    with (
        translate_lake_errors(warehouse.address),
        branch_catalog(warehouse, wait_seconds=settings.lock_wait_seconds) as session,
    ):
        damaged = find_damaged_files(session, warehouse.list_stored_names)
        if not damaged:
            return ["no file is missing or incomplete"]
        if is_storage_missing(damaged, number := count_files(session)):
            raise WarehouseError(
                f"none of {number:,} files is in {warehouse.data_path()}: mount or restore it, then run `livehouse doctor`"
            )
        forget_files(session, damaged)
        lines = [f"{file.place}: {file.path} is {file.problem}, {file.rows:,} rows" for file in damaged]
        return lines + list(_rebuild(settings, damaged))


def _rebuild(settings: Settings, damaged: Sequence[DamagedFile]) -> Iterator[str]:
    branch = open_ducklake(settings, is_branch=True)
    with branch.run(wait_seconds=settings.lock_wait_seconds, log=log):
        with branch.open_working() as connection:
            apps = _list_apps(connection, settings.app_ids)
            days = _list_loaded_days(connection, damaged)
        run = RunContext(settings.model_copy(update={"app_ids": tuple(apps)}), branch, f"mend-{uuid4().hex[:8]}")
        if any(file.table == LANDINGS.full_name for file in damaged):
            branch.write(note_landings)
        yield from _restore_raw(run, damaged)
        lost = {loaded for loaded in days if _covers_raw(damaged, loaded)}
        yield from _load_core(run, damaged, days)
        if lost:
            branch.write(partial(_forget_days, days=lost))
            yield from _describe_lost_days(run, lost)
        marts = [file.table for file in damaged if file.table.startswith("marts.")]
        branch.write(lambda connection: connection.execute(_FORGET_MARTS, [marts]))
        report.refresh_marts(run, find_marts())
        if marts:
            yield f"{', '.join(sorted(set(marts)))}: built again"
        yield from _describe_lost_rows(damaged)


_FORGET_MARTS = f"DELETE FROM {MART_BUILDS.full_name} WHERE list_contains(?::VARCHAR[], mart_name)"


def _list_apps(connection: duckdb.DuckDBPyConnection, app_ids: Collection[str]) -> list[str]:
    """Return every app with data, also those that are no longer in the settings."""
    tables = [table.full_name for table in (RAW_LIVESTREAMS, *DAILY_RAW)]
    query = " UNION ".join(f"SELECT DISTINCT app_id FROM {table}" for table in tables)
    return sorted({app_id for (app_id,) in connection.execute(query).fetchall()} | {*app_ids})


def _list_loaded_days(connection: duckdb.DuckDBPyConnection, damaged: Sequence[DamagedFile]) -> set[LoadedDay]:
    """Return the days to build again: those of lost files, or every day in raw if lost rows in ops are filled by that."""
    found: set[LoadedDay] = set()
    for file in damaged:
        if file.table in _FACTS and file.apps and file.days:
            query = (
                f"SELECT table_name, app_id, day FROM {DAYS.full_name}"
                " WHERE table_name = ? AND app_id BETWEEN ? AND ? AND day BETWEEN ? AND ?"
            )
            found |= set(connection.execute(query, [file.table, *file.apps, *file.days]).fetchall())
    if any(file.table in _FILLED_BY_LOADS for file in damaged):
        for table in FACTS:
            raw = (stream_of(table).raw,) if stream_of(table).is_by_day else DAILY_RAW
            query = " UNION ".join(f"SELECT app_id, day FROM {one.full_name} WHERE day IS NOT NULL" for one in raw)
            found |= {(table.full_name, app_id, day) for app_id, day in connection.execute(query).fetchall()}
    return found


def _restore_raw(run: RunContext, damaged: Sequence[DamagedFile]) -> Iterator[str]:
    """Write current rows of core back to raw, and have the livestreams of these apps fetched again."""
    for table in _RAW.values():
        files = [file for file in damaged if file.table == table.full_name]
        restored = 0
        for apps in sorted({file.apps for file in files if file.apps}):
            restored += run.warehouse.write(partial(restore_raw, table=table, apps=apps, run_id=run.run_id))
            if table in (RAW_LIVESTREAMS, RAW_LIVESTREAM_SESSIONS):
                run.warehouse.write(partial(forget_livestreams, apps=apps))
        if not files:
            continue
        rows = sum(file.rows for file in files)
        line = (
            f"{table.full_name}: {restored:,} records restored from core; the rest of {rows:,} versions (earlier ones,"
            " and quarantined records) is lost"
        )
        days = [day for file in files for day in file.days or ()]
        if table in (RAW_LIVESTREAMS, RAW_LIVESTREAM_SESSIONS):
            yield f"{line}; the next run fetches every livestream of these apps again"
        elif days and max(days) >= run.oldest_retained_day:
            yield f"{line}; `livehouse backfill {max(min(days), run.oldest_retained_day)} {max(days)}` fetches what the source still has"
        else:
            yield f"{line}; the source no longer has these days"


def _covers_raw(damaged: Sequence[DamagedFile], loaded: LoadedDay) -> bool:
    """Return whether raw records of a lost day of core may be lost too."""
    table, app_id, day = loaded
    raw = stream_of(_FACTS[table]).raw.full_name
    return any(
        file.table == raw
        and (file.apps is None or file.apps[0] <= app_id <= file.apps[1])
        and (file.days is None or file.days[0] <= day <= file.days[1])
        for file in damaged
    )


def _load_core(run: RunContext, damaged: Sequence[DamagedFile], days: Collection[LoadedDay]) -> Iterator[str]:
    run.rebuilt = group_by_app(sorted({(app_id, day) for _, app_id, day in days}))
    if days or any(file.table == LIVESTREAMS.full_name for file in damaged):
        load_core.load_livestreams(run)
        yield f"{LIVESTREAMS.full_name}: built from raw"
    if days:
        all_days = [day for _, _, day in days]
        for table in FACTS:
            load_core.load_facts(run, table, (min(all_days), max(all_days)))
        for app_id, found in run.rebuilt.items():
            yield f"{app_id}: {describe_days(found)} built from raw"


def _forget_days(connection: duckdb.DuckDBPyConnection, days: Collection[LoadedDay]) -> None:
    """Make these days unknown: the next nights then fetch them again."""
    connection.execute("BEGIN")
    for table, app_id, day in sorted(days):
        connection.execute(
            f"DELETE FROM {DAYS.full_name} WHERE table_name = ? AND app_id = ? AND day = ?", [table, app_id, day]
        )
    connection.execute("COMMIT")


def _describe_lost_days(run: RunContext, lost: Collection[LoadedDay]) -> Iterator[str]:
    oldest = run.oldest_retained_day
    for table, app_id in sorted({(table, app_id) for table, app_id, _ in lost}):
        days = sorted(day for name, app, day in lost if (name, app) == (table, app_id))
        again, gone = [day for day in days if day >= oldest], [day for day in days if day < oldest]
        if again:
            yield f"{table} {app_id}: lost in core and in raw, fetched again by the next nights: {describe_days(again)}"
        if gone:
            yield f"{table} {app_id}: lost in core and in raw, and no longer at the source: {describe_days(gone)}"


def _describe_lost_rows(damaged: Sequence[DamagedFile]) -> Iterator[str]:
    """Name the tables whose rows nothing can rebuild."""
    rebuilt = {*_RAW, *_FACTS, *_FILLED_BY_LOADS, LIVESTREAMS.full_name, LANDINGS.full_name}
    for table in sorted({file.table for file in damaged} - rebuilt):
        if not table.startswith(("marts.", "ops.mart_")):
            rows = sum(file.rows for file in damaged if file.table == table)
            yield f"{table}: {rows:,} rows are lost; restore them from a backup if you need them"
