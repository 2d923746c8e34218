"""Builds marts from landed tables, publishes the readers' copy, writes the page."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from pipelines.catalog.types import Table
from pipelines.clock import utc_now
from pipelines.files import leftovers_of
from pipelines.load.raw_tables import end_backfill
from pipelines.marts.build import Mart, MartBuild, build_mart
from pipelines.marts.checks import Check, Verdict, run_check
from pipelines.report.page import Rates, write_report_from
from pipelines.steps.context import Range, RunContext
from pipelines.steps.progress import log
from pipelines.storage.preview import TablePreview, read_preview, sum_by_period


def refresh_mart(run: RunContext, mart: Mart) -> MartBuild:
    """Bring one mart up to date."""
    warehouse = run.warehouse
    with warehouse.lock_table(mart.full_name, "every app"):
        return warehouse.write(lambda connection: build_mart(connection, mart, utc_now()))


def preview_table(run: RunContext, table: Table | Mart, days: Range | None = None) -> TablePreview:
    """A glance at a table, or at some days of it."""
    in_raw = isinstance(table, Table) and table.schema == "raw"
    with run.warehouse.open_raw() if in_raw else run.warehouse.open_working() as connection:
        return read_preview(connection, table.full_name, days, table.period if isinstance(table, Mart) else None)


def draw(run: RunContext, mart: Mart) -> list[tuple[Any, ...]]:
    """The column that a mart is drawn by, period by period, newest first; empty for a mart that names none."""
    if mart.drawn is None:
        return []
    with run.warehouse.open_working() as connection:
        return sum_by_period(connection, mart.full_name, mart.period, mart.drawn)


def publish_warehouse(run: RunContext, backfill: Range | None) -> int:
    """Give readers what stands now, also of a run in which an app failed. Returns the size in bytes."""
    run.warehouse.mirror()
    size = run.warehouse.publish(log)
    if backfill and not run.failures:
        run.warehouse.write_raw(lambda connection: end_backfill(connection, run.app_ids, *backfill, is_full=run.full))
    return size


def write_page(run: RunContext) -> Path:
    """Write `report.html` from what was just published: from the original, which no reader can have locked.

    All of it is read at one moment.
    """
    settings = run.settings
    rates = Rates(settings.export_rate, settings.participant_rate)
    for left in leftovers_of(
        settings.home / "report.html"
    ):  # by a run that was killed; another's may be replaced just now
        with suppress(FileNotFoundError):
            if left.stat().st_mtime < run.started_at.replace(tzinfo=UTC).timestamp():
                left.unlink()

    def write(connection: duckdb.DuckDBPyConnection) -> Path:
        connection.begin()
        page = write_report_from(connection, settings.home / "report.html", rates)
        connection.rollback()
        return page

    return run.warehouse.read(write)


def run_checks(run: RunContext, checks: Sequence[Check]) -> list[tuple[Check, Verdict]]:
    """What the checks say about the working file, before anybody else sees it."""
    run.warehouse.mirror()
    judged = [(check, run.warehouse.read(partial(run_check, check=check))) for check in checks]
    run.warnings += [
        f"{check.table}: {verdict.complaint(check.rule)}: {check.meaning.partition('. ')[0]}"
        for check, verdict in judged
        if not verdict.passed
    ]
    return judged
