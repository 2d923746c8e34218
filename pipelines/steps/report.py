"""Builds marts from landed tables, publishes the readers' copy, writes the page."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from pipelines.clock import utc_now
from pipelines.files import leftovers_of
from pipelines.load.glance import Glance, drawn, glance
from pipelines.load.raw import end_backfill
from pipelines.report.checks import Check, Verdict, run_check
from pipelines.report.marts import Mart, MartBuild, build_mart
from pipelines.report.page import Rates, write_report_from
from pipelines.schema import Table
from pipelines.steps.house import House, Range
from pipelines.steps.progress import say


def refresh_mart(house: House, mart: Mart) -> MartBuild:
    """Bring one mart up to date."""
    warehouse = house.warehouse
    with warehouse.alone(mart.full_name, "every app"):
        return warehouse.write(lambda connection: build_mart(connection, mart, utc_now()))


def look_at(house: House, table: Table | Mart, days: Range | None = None) -> Glance:
    """A glance at a table, or at some days of it."""
    in_raw = isinstance(table, Table) and table.schema == "raw"
    with house.warehouse.open_raw() if in_raw else house.warehouse.open_working() as connection:
        return glance(connection, table.full_name, days, table.period if isinstance(table, Mart) else None)


def draw(house: House, mart: Mart) -> list[tuple[Any, ...]]:
    """The column that a mart is drawn by, period by period, newest first; empty for a mart that names none."""
    if mart.drawn is None:
        return []
    with house.warehouse.open_working() as connection:
        return drawn(connection, mart.full_name, mart.period, mart.drawn)


def publish_warehouse(house: House, backfill: Range | None) -> int:
    """Give readers what stands now, also of a run in which an app failed. Returns the size in bytes."""
    house.warehouse.mirror()
    size = house.warehouse.publish(say)
    if backfill and not house.failures:
        house.warehouse.write_raw(
            lambda connection: end_backfill(connection, house.app_ids, *backfill, is_full=house.full)
        )
    return size


def write_page(house: House) -> Path:
    """Write `report.html` from what was just published: from the original, which no reader can have locked.

    All of it is read at one moment.
    """
    settings = house.settings
    rates = Rates(settings.export_rate, settings.participant_rate)
    for left in leftovers_of(
        settings.home / "report.html"
    ):  # by a run that was killed; another's may be replaced just now
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < house.started_at.replace(tzinfo=UTC).timestamp():
                left.unlink()

    def write(connection: duckdb.DuckDBPyConnection) -> Path:
        connection.begin()
        page = write_report_from(connection, settings.home / "report.html", rates)
        connection.rollback()
        return page

    return house.warehouse.read(write)


def run_checks(house: House, checks: Sequence[Check]) -> list[tuple[Check, Verdict]]:
    """What the checks say about the working file, before anybody else sees it."""
    house.warehouse.mirror()
    judged = [(check, house.warehouse.read(partial(run_check, check=check))) for check in checks]
    house.odd += [
        f"{check.table}: {verdict.complaint(check.rule)}: {check.meaning.partition('. ')[0]}"
        for check, verdict in judged
        if not verdict.passed
    ]
    return judged
