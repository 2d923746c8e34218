"""Builds marts from landed tables, publishes the readers' copy, writes the page."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC
from pathlib import Path

from pipelines.clock import utc_now
from pipelines.load.raw import end_backfill
from pipelines.report.checks import Check, Verdict, run_check
from pipelines.report.marts import Mart, MartBuild, build_mart
from pipelines.report.page import Rates, write_report_from
from pipelines.steps.house import House, Range
from pipelines.steps.progress import say


def refresh_mart(house: House, mart: Mart) -> MartBuild:
    """Bring one mart up to date."""
    warehouse = house.warehouse
    with warehouse.alone(mart.full_name, "every app"):
        return warehouse.write(lambda connection: build_mart(connection, mart, utc_now() - warehouse.lag))


def publish_warehouse(house: House, backfill: Range | None) -> int:
    """Give readers what stands now, also of a run in which an app failed. Returns the size in bytes."""
    house.warehouse.mirror()
    size = house.warehouse.publish(say)
    if backfill and not house.failures:
        house.warehouse.write_raw(lambda connection: end_backfill(connection, *backfill, is_full=house.full))
    return size


def write_page(house: House) -> Path:
    """Write `report.html` from what was just published: from the original, which no reader can have locked.

    All of it is read at one moment.
    """
    settings = house.settings
    rates = Rates(settings.export_rate, settings.participant_rate)
    for left in settings.home.glob(".report.html.*"):  # by a run that was killed; another's may be replaced just now
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < house.started_at.replace(tzinfo=UTC).timestamp():
                left.unlink()
    with house.warehouse.open_working() as connection:
        connection.begin()
        page = write_report_from(connection, settings.home / "report.html", rates)
        connection.rollback()
    return page


def run_checks(house: House, checks: Sequence[Check]) -> list[tuple[Check, Verdict]]:
    """What the checks say about the working file, before anybody else sees it."""
    house.warehouse.mirror()
    with house.warehouse.open_working() as connection:
        return [(check, run_check(connection, check)) for check in checks]
