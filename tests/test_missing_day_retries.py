"""Days that are still missing after several attempts: seven of them are retried per night, in turn."""

from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from pipelines.catalog.streams import FACTS
from pipelines.orchestration.resources import sends_requests
from pipelines.settings.settings import Settings
from pipelines.steps.context import RunContext
from pipelines.steps.days import add_missing_days
from pipelines.storage.file_warehouse import FileWarehouse
from tests.fixed_clock import NOW, clock_set_to

APP = "aula"
DAY = timedelta(days=1)
LAST = NOW.date() - DAY
FIRST = LAST - 20 * DAY
"""The only loaded day: every later one is missing."""


@pytest.fixture
def run(tmp_path: Path) -> RunContext:
    settings = Settings(LIVEHOUSE_HOME=tmp_path, REALTIMEKIT_APP_ID=APP)  # type: ignore[call-arg]  # read by alias
    warehouse = FileWarehouse(settings.warehouse)
    with warehouse.open_raw(), warehouse.open_working() as connection:
        for table in FACTS:
            connection.execute(
                "INSERT INTO ops.days BY NAME SELECT ? AS app_id, ? AS table_name, ?::DATE AS day, 'first' AS run_id,"
                " ?::TIMESTAMP AS loaded_at",
                [APP, table.full_name, FIRST, NOW],
            )
    with clock_set_to(NOW):
        return RunContext(settings, warehouse, "night", full=False, allow_shrink=False, is_backfill=False)


def note_failures(run: RunContext, days: list[date], attempts: int, tried_at: datetime) -> None:
    with run.warehouse.open_working() as connection:
        for day in days:
            connection.execute(
                "INSERT OR REPLACE INTO ops.missing_days BY NAME SELECT ? AS app_id, ?::DATE AS day, ? AS attempts,"
                " ?::TIMESTAMP AS tried_at",
                [APP, day, attempts, tried_at],
            )


@pytest.mark.long
def test_seven_repeatedly_missing_days_are_retried_per_night_in_turn(run: RunContext) -> None:
    missing = [FIRST + number * DAY for number in range(1, 18)]
    repeatedly_missing, others = missing[:15], missing[15:]
    for number, day in enumerate(reversed(repeatedly_missing)):
        note_failures(run, [day], 3, NOW - 30 * DAY + number * DAY)
    note_failures(run, others[:1], 2, NOW - DAY)
    tried: list[date] = []
    for night in range(3):
        run.warnings.clear()
        add_missing_days(run, (LAST - 2 * DAY, LAST))
        chosen = [day for day in run.catch_up_days[APP] if day in repeatedly_missing]
        assert len(chosen) == 7
        assert set(run.catch_up_days[APP]) == {*chosen, *others}, "days with fewer attempts are retried every night"
        assert any("15 days are still missing after 3 attempts or more, and 7 of them" in line for line in run.warnings)
        note_failures(run, chosen, 4, NOW + night * DAY)
        tried += chosen
    assert set(tried) == set(repeatedly_missing), "each was retried within three nights"
    assert tried[:7] == sorted(repeatedly_missing)[-7:], "the least recently tried come first"


def test_up_to_seven_repeatedly_missing_days_are_all_retried(run: RunContext) -> None:
    missing = [FIRST + number * DAY for number in range(1, 18)]
    note_failures(run, missing[:7], 5, NOW - DAY)
    add_missing_days(run, (LAST - 2 * DAY, LAST))
    assert run.catch_up_days[APP] == missing
    assert run.warnings == []


RAW, CORE = dg.AssetKey(["raw", "livestreams"]), dg.AssetKey(["core", "livestreams"])


@pytest.mark.parametrize(
    ("job", "selection", "is_fetched"),
    [
        ("nightly", None, True),
        ("backfill", None, True),
        ("rebuild", None, False),
        ("rebuild", {CORE}, False),
        ("__ASSET_JOB", {CORE}, False),
        ("__ASSET_JOB", {RAW, CORE}, True),
        ("nightly", {CORE}, False),
    ],
)
def test_run_fetches_missing_days_only_if_raw_assets_are_selected(
    job: str, selection: set[dg.AssetKey] | None, *, is_fetched: bool
) -> None:
    """In Dagster's UI, a user can select any range of days for `rebuild`, or assets without those that fetch."""
    run = dg.DagsterRun(job_name=job, asset_selection=frozenset(selection) if selection else None)
    assert sends_requests(run) is is_fetched
