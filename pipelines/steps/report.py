"""Builds marts from landed tables, publishes the readers' copy, writes the page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.clock import utc_now
from pipelines.load.glance import Glance, drawn, glance
from pipelines.load.publish import is_written_to, mirror, publish
from pipelines.load.raw import end_backfill
from pipelines.report.checks import Check, Verdict, run_check
from pipelines.report.marts import Mart, MartBuild, build_mart
from pipelines.report.page import Rates, write_report
from pipelines.schema import Table
from pipelines.steps.house import House, Range
from pipelines.steps.progress import say


def refresh_mart(house: House, mart: Mart) -> MartBuild:
    """Bring one mart up to date."""
    with house.warehouse.open_working() as connection:
        return build_mart(connection, mart, utc_now())


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
    mirror(house.warehouse)
    if is_written_to(house.warehouse.published):
        say(
            f"another program has {house.warehouse.published} open for writing: it keeps the copy it has; let it close"
            " it, or what it writes from now on is read together with the new copy (open it read-only)"
        )
    size = publish(house.warehouse)
    if backfill and not house.failures:
        with house.warehouse.open_raw() as connection:
            end_backfill(connection, *backfill, is_full=house.full)
    return size


def write_page(house: House) -> Path:
    """Write `report.html` from what was just published: from the original, which no reader can have locked."""
    settings = house.settings
    rates = Rates(settings.export_rate, settings.participant_rate)
    for left in settings.home.glob(".report.html.*"):  # by a run that was killed
        left.unlink(missing_ok=True)
    house.warehouse.close()
    return write_report(house.warehouse.working, settings.home / "report.html", rates)


def run_checks(house: House, checks: Sequence[Check]) -> list[tuple[Check, Verdict]]:
    """What the checks say about the working file, before anybody else sees it."""
    mirror(house.warehouse)
    with house.warehouse.open_working() as connection:
        judged = [(check, run_check(connection, check)) for check in checks]
    house.odd += [
        f"{check.table} {check.rule} does not hold for {verdict.offending} rows: {check.meaning.partition('. ')[0]}"
        for check, verdict in judged
        if not verdict.passed
    ]
    return judged
