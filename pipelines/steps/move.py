"""Copies a whole warehouse to another place: file to lakehouse, and back."""

from functools import partial

from pipelines.clock import utc_now
from pipelines.errors import UsageError, WarehouseError
from pipelines.marts.build import build_mart, find_marts
from pipelines.settings.settings import Settings
from pipelines.steps.progress import progress
from pipelines.storage.move import copy_missing, list_moved_tables
from pipelines.storage.warehouse import EVERY_APP, open_warehouse
from pipelines.telemetry.logs import log


def move(source_settings: Settings, target_settings: Settings) -> dict[str, int]:
    """Copy every row, compare every day, build the marts, publish. Returns the rows copied, by table.

    Both warehouses are locked meanwhile. After an interruption it copies what is missing. The source is not changed.
    """
    source, target = open_warehouse(source_settings), open_warehouse(target_settings)
    if source.address == target.address:
        raise UsageError(f"SOURCE and TARGET are the same: {source.address}")
    if not source.exists():
        raise WarehouseError(f"{source.address} holds nothing: there is nothing to move")
    target.prepare()
    wait_seconds = source_settings.lock_wait_seconds
    copied: dict[str, int] = {}
    with (
        source.run(wait_seconds=wait_seconds, log=log),
        target.run(wait_seconds=wait_seconds, log=log),
        target.lock_table("every table", EVERY_APP),
    ):
        tables = list(list_moved_tables())
        with progress("tables", len(tables)) as advance:
            for table, is_raw in tables:
                copied[table.full_name] = copy_missing(source, target, table, is_raw=is_raw)
                advance(1)
        target.mirror()
        for mart in find_marts():
            target.write(partial(build_mart, mart=mart, now=utc_now()))
        target.publish(log)
    return copied
