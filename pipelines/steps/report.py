"""Builds marts from landed tables, publishes the readers' copy, writes the page."""

from pipelines.clock import utc_now
from pipelines.load.publish import mirror, publish
from pipelines.load.raw import end_backfill
from pipelines.report.marts import Mart, MartBuild, build_mart
from pipelines.steps.house import House, Range


def refresh_mart(house: House, mart: Mart) -> MartBuild:
    """Bring one mart up to date."""
    with house.warehouse.open_working() as connection:
        return build_mart(connection, mart, utc_now())


def publish_warehouse(house: House, backfill: Range | None) -> int:
    """Give readers what stands now, also of a run in which an app failed. Returns the size in bytes."""
    with house.warehouse.open_raw():
        pass  # makes the file, so that a rebuild of an empty house has one to mirror
    with house.warehouse.open_working() as connection:
        mirror(connection, house.warehouse.raw)
    size = publish(house.warehouse)
    if backfill and not house.failures:
        with house.warehouse.open_raw() as connection:
            end_backfill(connection, *backfill, is_full=house.full)
    return size
