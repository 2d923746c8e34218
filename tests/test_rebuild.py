"""A rebuild derives core from raw without a request, and days without raw data cannot be rebuilt."""

from datetime import timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest

from pipelines.catalog.ops import QUARANTINE, SHRINKS
from pipelines.catalog.streams import FACTS
from pipelines.clock import days_from
from pipelines.load.days import replace_days
from pipelines.marts.build import find_marts
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.steps.context import open_run
from pipelines.steps.days import remove_days_never_landed
from pipelines.steps.report import publish_warehouse, refresh_marts
from pipelines.storage.warehouse import open_warehouse
from tests.pipeline_runner import (
    LAST,
    assert_matches_world,
    environment_for,
    query,
    run_pipeline,
    run_without_marts,
    settings_for,
    small_world,
)
from tests.promises.fault_runner import run_cli
from tests.test_nightly import LOADED, LOOKBACK, MISSED, listed_days


@pytest.mark.long
def test_days_without_raw_data_cannot_be_rebuilt(tmp_path: Path) -> None:
    """Seen: the days were marked as loaded but unknown, with exit status 0; 1,332 rows then failed `day_gaps` on every run."""
    with Simulator(small_world(apps=("aula",), livestreams=6, sessions=40)) as simulator:
        settings = settings_for(simulator, tmp_path)
        run_without_marts(settings, LOADED)
        before = query(settings, "FROM ops.days ORDER BY ALL")
        requests = simulator.request_count()
        nothing = [f"{LOADED[0] - timedelta(days=n)}" for n in (30, 1)]
        environment = environment_for(simulator, tmp_path)
        for command in ([*nothing], [f"{LAST}", f"{LAST}"]):
            status, out, err = run_cli(environment, "rebuild", *command, "--quiet")
            assert (status, out) == (2, ""), err
            [line] = err.splitlines()
            assert f"raw data of {command[0]}" in line
            assert "livehouse backfill" in line
        assert query(settings, "FROM ops.days ORDER BY ALL") == before
        assert simulator.request_count() == requests


@pytest.mark.long
def test_rebuild_restores_core_from_raw_without_a_request(tmp_path: Path) -> None:
    with Simulator(small_world(apps=("aula",), livestreams=3, sessions=12)) as simulator:
        settings = settings_for(simulator, tmp_path)
        run_without_marts(settings, LOADED)
        requests = simulator.request_count()
        with open_warehouse(settings).open_working() as connection:
            connection.execute("UPDATE core.livestream_sessions SET viewer_seconds = NULL")
        days = [f"{day}" for day in LOADED]
        status, _, err = run_cli(environment_for(simulator, tmp_path), "rebuild", *days, "--quiet")
        assert status == 0, err
        assert_matches_world(settings, simulator.world, LOADED)
        [(rebuilt,)] = query(settings, "SELECT sum(viewer_seconds) FROM marts.daily_usage")
        assert query(settings, "SELECT sum(viewer_seconds) FROM core.livestream_sessions") == [(rebuilt,)]
        assert simulator.request_count() == requests


@pytest.mark.long
def test_rebuild_names_the_days_without_raw_data(tmp_path: Path) -> None:
    with Simulator(small_world(apps=("aula",), livestreams=6, sessions=40)) as simulator:
        settings = settings_for(simulator, tmp_path)
        run_without_marts(settings, LOADED)
        requests = simulator.request_count()
        nothing = [f"{LOADED[0] - timedelta(days=n)}" for n in (30, 1)]
        status, _, err = run_cli(environment_for(simulator, tmp_path), "rebuild", nothing[0], f"{LAST}")
        assert status == 0, err
        assert f"aula: not rebuilt for lack of raw data: {' to '.join(nothing)}, {MISSED[0]} to {LAST}" in err
        assert listed_days(settings) == [LOADED[0] + timedelta(days=n) for n in range(6)]
        assert_matches_world(settings, simulator.world, LOADED)
        assert simulator.request_count() == requests


def rebuild_without_raw_data(settings: Settings) -> dict[str, int]:
    """List 40 days without raw data as loaded, as an earlier version did; return the row counts before."""
    counts = {table: query(settings, f"SELECT count(*) FROM {table}")[0][0] for table in COUNTED}
    never = (LOADED[0] - timedelta(days=40), LOADED[0] - timedelta(days=1))
    with open_run(settings, run_id="rebuild", full=False, allow_shrink=False, backfill=None) as run:
        for table in FACTS:
            run.warehouse.write(
                partial(
                    replace_days,
                    table=table,
                    app_id="aula",
                    days=days_from(*never),
                    rows=pl.DataFrame(schema=table.polars_schema),
                    rejects=pl.DataFrame(schema=QUARANTINE.polars_schema),
                    shrinks=pl.DataFrame(schema=SHRINKS.polars_schema),
                    run_id="rebuild",
                    now=run.started_at,
                    retention_days=180,
                    arrival=1,
                )
            )
        refresh_marts(run, find_marts())
    return counts


COUNTED = ("marts.daily_usage", "ops.days")
REMOVED = "40 days that a rebuild listed without raw data were removed"


@pytest.mark.long
def test_days_that_were_rebuilt_without_raw_data_are_removed(tmp_path: Path) -> None:
    with Simulator(small_world(apps=("aula",), livestreams=2, sessions=8)) as simulator:
        settings = settings_for(simulator, tmp_path)
        run_pipeline(settings, LOOKBACK)
        counts = rebuild_without_raw_data(settings)
        with open_run(settings, run_id="next", full=False, allow_shrink=False, backfill=None) as run:
            remove_days_never_landed(run)
            refresh_marts(run, find_marts())
            publish_warehouse(run, None)
        assert [line for line in run.warnings if REMOVED in line]
        assert {table: query(settings, f"SELECT count(*) FROM {table}")[0][0] for table in COUNTED} == counts


@pytest.mark.long
def test_next_run_removes_days_that_were_rebuilt_without_raw_data(tmp_path: Path) -> None:
    with Simulator(small_world(apps=("aula",), livestreams=6, sessions=40)) as simulator:
        settings = settings_for(simulator, tmp_path)
        run_pipeline(settings, (LOADED[0], LAST))
        counts = rebuild_without_raw_data(settings)
        status, _, err = run_cli(environment_for(simulator, tmp_path), "nightly")
        assert status == 0, err
        assert REMOVED in err
        assert {table: query(settings, f"SELECT count(*) FROM {table}")[0][0] for table in COUNTED} == counts
