"""Build marts from landed tables, run checks, publish the readers' copy and write the page."""

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.catalog.types import Table
from pipelines.clock import utc_now
from pipelines.files import find_temporary_files
from pipelines.load.raw_tables import end_backfill
from pipelines.marts.build import Mart, MartBuild, build_marts, find_builds, split_builds
from pipelines.marts.checks import Check, CheckResult, run_check
from pipelines.marts.sql_files import named_tables
from pipelines.report.page import write_report
from pipelines.report.run_query import tables_of_page
from pipelines.steps.context import Range, RunContext
from pipelines.storage.preview import TablePreview, read_preview, sum_by_period
from pipelines.storage.warehouse import EVERY_APP
from pipelines.telemetry.logs import log


def refresh_marts(run: RunContext, marts: Sequence[Mart]) -> dict[str, MartBuild]:
    """Build those days of marts that changed. Returns the builds by full name. `marts` are in the order of `find_marts`.

    If a night is split, each mart is locked and built by itself, so that several runs can build different marts at the same time.
    """
    run.loads.write()
    with run.warehouse.open_working() as connection:
        groups = [[mart] for mart in marts] if run.other_apps else [*split_builds(marts, find_builds(connection))]
    builds: dict[str, MartBuild] = {}
    for group in groups:
        with ExitStack() as locks:
            for mart in group:
                locks.enter_context(run.warehouse.lock_table(mart.full_name, EVERY_APP))
            builds |= run.warehouse.write(partial(build_marts, marts=group, now=utc_now()))
    return builds


def preview_table(run: RunContext, table: Table | Mart, days: Range | None = None) -> TablePreview:
    """Return a preview of a table, or of some days of it."""
    in_raw = isinstance(table, Table) and table.schema == "raw"
    with (
        run.warehouse.snapshot([table.full_name]),
        run.warehouse.open_raw() if in_raw else run.warehouse.open_working() as connection,
    ):
        return read_preview(connection, table.full_name, days, table.period if isinstance(table, Mart) else None)


def draw(run: RunContext, mart: Mart) -> list[tuple[Any, ...]]:
    """Return the values of a mart's headline column by period, newest first; empty if its file names no column."""
    if mart.headline_metric is None:
        return []
    with run.warehouse.open_working() as connection:
        return sum_by_period(connection, mart.full_name, mart.period, mart.headline_metric)


def publish_warehouse(run: RunContext, backfill: Range | None) -> int:
    """Publish the warehouse, even if an app failed in this run. Return the size in bytes."""
    run.loads.write()
    run.warehouse.mirror()
    size = run.warehouse.publish(log)
    if backfill and not run.failures:
        run.warehouse.write_raw(lambda connection: end_backfill(connection, run.app_ids, *backfill, is_full=run.full))
    return size


def write_page(run: RunContext) -> Path:
    """Write `report.html` from one snapshot of the warehouse just published, and return its path.

    The snapshot is read from the working file, because a reader may have locked the published copy.
    """
    target = run.settings.home / "report.html"
    started = run.started_at.replace(tzinfo=UTC).timestamp()
    for temporary in find_temporary_files(target):
        with suppress(FileNotFoundError):  # another process has just moved it into place
            if temporary.stat().st_mtime < started:  # written by a killed run
                temporary.unlink()

    with run.warehouse.snapshot(tables_of_page()):
        return run.warehouse.read(lambda connection: write_report(connection, target))


def run_checks(run: RunContext, checks: Sequence[Check]) -> list[tuple[Check, CheckResult]]:
    """Run the checks on the working file, before it is published, and add each failure to the run's warnings.

    If a night is split, the run that loads an app checks it: between two marts, another run may be refreshing that app.
    """
    run.loads.write()
    run.warehouse.mirror()
    with run.warehouse.snapshot(named_tables(*(check.sql for check in checks))):
        results = [
            (check, run.warehouse.read(partial(run_check, check=check, other_apps=run.other_apps))) for check in checks
        ]
    run.warnings += [
        f"{check.table}: {result.summarize(check.rule)}: {check.description.partition('. ')[0]}"
        for check, result in results
        if not result.passed
    ]
    return results
