"""Runs the weekly maintenance of a warehouse, and reports its size."""

from pipelines.clock import machine_now
from pipelines.settings.settings import Settings
from pipelines.storage.maintenance import StorageSize
from pipelines.storage.warehouse import open_warehouse
from pipelines.telemetry.logs import log

KEEP_DAYS = 7.0
"""Longer than any reader keeps a snapshot open. Data replaced in the last week stays readable as it was."""


def keep_up(settings: Settings, *, keep_days: float = KEEP_DAYS) -> list[StorageSize]:
    """Do it, beside runs, which go on. Returns the sizes, the largest first."""
    warehouse = open_warehouse(settings)
    warehouse.prepare()
    with warehouse.run(wait_seconds=settings.lock_wait_seconds, log=log):
        # The machine's clock: it is compared with the times of files and of snapshots.
        return warehouse.maintain(keep_days=keep_days, clock=machine_now)
