"""Nightly runs catch up on missed days, and never load days that have not ended."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.clock import days_from, utc_now, yesterday
from pipelines.definitions import build_definitions
from pipelines.orchestration.resources import CATCH_UP, CAUGHT_UP, RANGE_END, RANGE_START
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.storage.warehouse import open_warehouse
from tests.fixed_clock import clock_set_to
from tests.pipeline_runner import (
    LAST,
    assert_matches_world,
    environment_for,
    query,
    run_without_marts,
    settings_for,
    small_world,
)
from tests.promises.fault_runner import run_cli

DEFINITIONS = build_definitions()

LOADED = (LAST - timedelta(days=14), LAST - timedelta(days=9))
MISSED = [LAST - timedelta(days=n) for n in range(8, 2, -1)]
LOOKBACK = (LAST - timedelta(days=2), LAST)


def listed_days(settings: Settings, app_id: str = "aula") -> list[Any]:
    """Return the days that every fact table lists for an app."""
    sql = "SELECT day FROM ops.days WHERE app_id = ? GROUP BY day HAVING count(*) = 4 ORDER BY day"
    return [day for (day,) in query(settings, sql, app_id)]


@pytest.mark.long
def test_nightly_run_catches_up_missed_days(tmp_path: Path) -> None:
    """Seen: after nine days off, a machine loaded three of them and did not report the other six."""
    with Simulator(small_world(apps=("aula",), livestreams=4, sessions=30)) as simulator:
        settings = settings_for(simulator, tmp_path)
        run_without_marts(settings, LOADED)
        before = simulator.request_count("get-overall-analytics")
        status, out, err = run_cli(environment_for(simulator, tmp_path), "nightly", "--json")
        assert status == 0, err
        assert_matches_world(settings, simulator.world, (LOADED[0], LAST))
        assert listed_days(settings) == [LOADED[0] + timedelta(days=n) for n in range(15)]
        assert simulator.request_count("get-overall-analytics") - before == len(MISSED) + 3, (
            "no loaded day is requested"
        )
        assert f"6 earlier days were missing and are loaded too: {MISSED[0]} to {MISSED[-1]}" in err
        assert "6 earlier days" in json.loads(out)["caught_up"]
        assert query(
            settings,
            "SELECT DISTINCT first_day, last_day FROM ops.loads WHERE table_name = 'raw.app_analytics'"
            " AND run_id <> 'run'",
        ) == [(MISSED[0], LAST)]


def start_nightly(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, **tags: str
) -> dg.ExecuteInProcessResult:
    """Run the job as the schedule starts it, and check the days in its history."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as instance:
        given = {RANGE_START: f"{LOOKBACK[0]}", RANGE_END: f"{LAST}"} | tags
        result = DEFINITIONS.resolve_job_def("nightly").execute_in_process(instance=instance, tags=given)
        assert result.success
        [run] = instance.get_runs()
        for asset in ("raw/app_analytics", "core/livestream_sessions"):
            shown = instance.get_materialized_partitions(dg.AssetKey.from_user_string(asset))
            days = [*([] if tags else MISSED), *(LAST - timedelta(days=n) for n in (2, 1, 0))]
            assert shown == {f"{day}" for day in days}
        assert (CAUGHT_UP in run.tags) is not bool(tags)
        return result


@pytest.mark.long
@pytest.mark.parametrize("catches_up", [True, False])
def test_schedule_fills_gaps_of_any_table_and_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, catches_up: bool
) -> None:
    with Simulator(small_world(livestreams=4, sessions=30)) as simulator:
        settings = settings_for(simulator, tmp_path)
        run_without_marts(settings, (LOADED[0], LAST))
        with open_warehouse(settings).open_working() as connection:  # a gap in a single table of a single app
            connection.execute(
                "DELETE FROM ops.days WHERE app_id = 'stage' AND table_name = 'core.recordings_daily'"
                " AND day BETWEEN ? AND ?",
                [MISSED[0], MISSED[-1]],
            )
            connection.execute(
                "DELETE FROM core.recordings_daily WHERE app_id = 'stage' AND day BETWEEN ? AND ?",
                [MISSED[0], MISSED[-1]],
            )
        environment = environment_for(simulator, tmp_path)
        if not catches_up:
            start_nightly(environment, monkeypatch, **{CATCH_UP: "false"})
            assert len(listed_days(settings, "stage")) == 9
            return
        before = simulator.request_count("get-overall-analytics", "aula")
        start_nightly(environment, monkeypatch)
        assert len(listed_days(settings, "stage")) == 15
        assert simulator.request_count("get-overall-analytics", "aula") - before == 3, "the other app has no gap"
        assert_matches_world(settings, simulator.world, (LOADED[0], LAST))


@pytest.mark.long
def test_nightly_run_up_to_a_date_without_catching_up(tmp_path: Path) -> None:
    with Simulator(small_world(apps=("aula",), livestreams=2, sessions=8)) as simulator:
        settings = settings_for(simulator, tmp_path)
        run_without_marts(settings, (LOADED[0], LOADED[0]))
        environment = environment_for(simulator, tmp_path, LIVEHOUSE_LOOKBACK_DAYS="2")
        end = LAST - timedelta(days=4)
        status, _, err = run_cli(environment, "nightly", "--date", f"{end}", "--no-catch-up", "--quiet")
        assert status == 0, err
        assert listed_days(settings) == [LOADED[0], end - timedelta(days=1), end]


@pytest.mark.long
def test_first_nightly_run_loads_the_lookback(tmp_path: Path) -> None:
    with Simulator(small_world(livestreams=2, sessions=8)) as simulator:
        status, out, err = run_cli(environment_for(simulator, tmp_path), "nightly", "--json")
        assert status == 0, err
        assert listed_days(settings_for(simulator, tmp_path)) == [LAST - timedelta(days=n) for n in (2, 1, 0)]
        assert json.loads(out)["caught_up"] is None
        assert simulator.request_count("get-overall-analytics") == 2 * 3


def test_nightly_run_before_the_first_day_ends_is_a_usage_error(tmp_path: Path) -> None:
    with Simulator(small_world(apps=("aula",), livestreams=1, sessions=2)) as simulator:
        today = environment_for(simulator, tmp_path, LIVEHOUSE_START_DATE=f"{LAST + timedelta(days=1)}")
        status, _, err = run_cli(today, "nightly")
        assert (status, simulator.request_count()) == (2, 0)
        assert "no day is over yet since LIVEHOUSE_START_DATE" in err


@pytest.mark.long
def test_first_nightly_run_begins_at_the_start_date(tmp_path: Path) -> None:
    with Simulator(small_world(apps=("aula",), livestreams=1, sessions=2)) as simulator:
        environment = environment_for(simulator, tmp_path, LIVEHOUSE_START_DATE=f"{LAST}")
        status, _, err = run_cli(environment, "nightly")
        assert status == 0, err
        assert listed_days(settings_for(simulator, tmp_path)) == [LAST]


@pytest.mark.long
@pytest.mark.parametrize(
    "ahead",
    [timedelta(days=3), *(pytest.param(timedelta(days=days), marks=pytest.mark.long) for days in (0.625, 1, -2))],
)
def test_future_days_are_never_loaded(ahead: timedelta, tmp_path: Path) -> None:
    """Seen: with a fast clock, a nightly run loaded future days as zeros."""
    world = small_world(apps=("aula",), livestreams=3, sessions=20)
    with Simulator(world) as simulator, clock_set_to(utc_now() + ahead):
        settings = settings_for(simulator, tmp_path)
        last = yesterday()
        run_without_marts(settings, (LAST - timedelta(days=3), last))
        assert listed_days(settings) == days_from(LAST - timedelta(days=3), min(LAST, last))
        if ahead > timedelta(0):  # a time "after tomorrow" by this machine's clock is quarantined
            assert_matches_world(settings, world, (LAST - timedelta(days=3), LAST))


@pytest.mark.long
def test_nightly_run_with_a_fast_clock_is_a_one_line_error(tmp_path: Path) -> None:
    world = small_world(apps=("aula",), livestreams=3, sessions=20)
    with Simulator(world) as simulator, clock_set_to(utc_now() + timedelta(days=3)):
        status, _, err = run_cli(environment_for(simulator, tmp_path), "nightly", "--quiet")
        assert status == 1
        [line] = err.splitlines()
        assert "this machine's clock is 3.0 days ahead of the API's: set it (ntp)" in line


@pytest.mark.long
def test_nightly_run_reports_a_fast_clock_and_loads_finished_days(tmp_path: Path) -> None:
    world = small_world(apps=("aula",), livestreams=3, sessions=20)
    with Simulator(world) as simulator, clock_set_to(utc_now() + timedelta(days=3)):
        settings = settings_for(simulator, tmp_path)
        environment = environment_for(simulator, tmp_path)
        run_without_marts(settings, (LAST - timedelta(days=4), LAST - timedelta(days=3)), run_id="earlier")
        status, _, err = run_cli(environment, "nightly", "--quiet")
        assert status == 0, err
        assert f"not loaded: {LAST + timedelta(days=1)} to {LAST + timedelta(days=3)}" in err
        assert listed_days(settings) == days_from(LAST - timedelta(days=4), LAST)
