"""Compares what a run left, which skips what did not change, with normalizing and building everything again."""

from datetime import date
from typing import Any

from pipelines.catalog.marts import MART_BUILDS
from pipelines.catalog.ops import DAYS, FINGERPRINTS, QUARANTINE, SHRINKS
from pipelines.catalog.streams import CORE_TABLES, FACTS
from pipelines.marts.build import find_marts
from pipelines.settings.settings import Settings
from pipelines.steps import load_core
from pipelines.steps.context import RunContext, open_run
from pipelines.steps.report import refresh_marts

_FORGET_DAYS = f"""
    UPDATE {DAYS.full_name} SET inputs_digest = NULL WHERE day BETWEEN ? AND ?
"""
_FORGET_RULES = f"DELETE FROM {FINGERPRINTS.full_name} WHERE table_name = 'core.livestreams'"


def assert_nothing_was_skipped_wrongly(settings: Settings, run_id: str, days: tuple[date, date]) -> None:
    """Normalize every livestream and every day of a range, and build every mart, from the same raw records: no row may change.

    `run_id` is that of the run before, which some rows name.
    """
    with open_run(settings, run_id=run_id, full=False, allow_shrink=False, backfill=None) as run:
        before = _read_tables(run)
        run.warehouse.write(lambda connection: connection.execute(_FORGET_DAYS, list(days)))
        run.warehouse.write(lambda connection: connection.execute(_FORGET_RULES))
        load_core.load_livestreams(run)
        for table in FACTS:
            load_core.load_facts(run, table, days)
        run.warehouse.write(lambda connection: connection.execute(f"DELETE FROM {MART_BUILDS.full_name}"))
        refresh_marts(run, find_marts())
        for name, rows in _read_tables(run).items():
            assert rows == before[name], f"{name}: {set(rows) ^ set(before[name])}"


def _read_tables(run: RunContext) -> dict[str, list[tuple[Any, ...]]]:
    tables = [table.full_name for table in (*CORE_TABLES, QUARANTINE, SHRINKS, DAYS)]
    tables += [mart.full_name for mart in find_marts()]
    found = {}
    with run.warehouse.open_working() as connection:
        for name in tables:
            # Days that are built together get a digest of their inputs or NULL together.
            rows = connection.execute(f"SELECT COLUMNS(name -> name <> 'inputs_digest') FROM {name} ORDER BY ALL")
            found[name] = [tuple(map(_without_rounding, row)) for row in rows.fetchall()]
    return found


def _without_rounding(value: object) -> object:
    """Return a value without the digits of a float that the order of a sum decides."""
    return float(f"{value:.10g}") if isinstance(value, float) else value
