"""The graph: loads with nothing set, is one run for a range, and is the same from Dagster as from the command line."""

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from pipelines.assets.house import EVERY_MORNING, RANGE_END, RANGE_START
from pipelines.definitions import defs
from pipelines.report.marts import find_marts
from pipelines.schedules import every_night
from pipelines.simulator.server import Simulator
from tests.houses import FIRST, LAST, assert_holds_truth, settings_for, variables

ROOT = Path(__file__).parents[1]


def assets() -> list[dg.AssetsDefinition]:
    return [asset for asset in defs.assets or [] if isinstance(asset, dg.AssetsDefinition)]


def test_the_workspace_loads_with_nothing_set(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path)}
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_every_asset_is_described_and_makes_a_range_one_run() -> None:
    keys = set()
    for asset in assets():
        assert asset.backfill_policy == dg.BackfillPolicy.single_run(), asset.key
        for spec in asset.specs:
            nightly = spec.key.path[0] in {"core", "marts"} and spec.key.path[-1] != "live_observations"
            assert spec.freshness_policy == (EVERY_MORNING if nightly else None), spec.key
            keys.add(spec.key.to_user_string())
            assert spec.description
            assert spec.owners
            assert spec.kinds
    assert {f"marts/{mart.name}" for mart in find_marts()} < keys


def test_a_range_started_by_dagster_holds_the_truth_and_shows_every_day(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables(simulator, tmp_path).items():
        monkeypatch.setenv(name, value)
    with dg.instance_for_test() as instance:
        tags = {RANGE_START: f"{FIRST}", RANGE_END: f"{LAST}"}
        for job in ("nightly", "backfill"):
            result = defs.resolve_job_def(job).execute_in_process(instance=instance, tags=tags)
            assert result.success
            assert_holds_truth(settings_for(simulator, tmp_path), simulator.world)
        days = (LAST - FIRST).days + 1
        for table in ("livestream_sessions", "recordings_daily"):
            held = instance.get_materialized_partitions(dg.AssetKey(["core", table]))
            assert held == {f"{FIRST + timedelta(days=n)}" for n in range(days)}
        checks = {evaluation.check_name for evaluation in result.get_asset_check_evaluations()}
        assert {"unique_key", "never_shrinks", "quarantine_empty", "day_gaps", "reconciles"} <= checks


def test_the_schedule_asks_for_the_lookback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEHOUSE_LOOKBACK_DAYS", "5")
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 3, 10, 2, 30))
    request = every_night(context)
    assert isinstance(request, dg.RunRequest)
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == ("2026-03-05", "2026-03-09")


def test_a_run_that_does_not_publish_fails_with_the_app_that_failed(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The UI splits a backfill: raw.livestreams alone, then what has days, then marts. Seen 2026-11-23.
    for name, value in variables(simulator, tmp_path).items():
        monkeypatch.setenv(name, value)
    simulator.faults.order("server_error", operation="list-livestreams", app_id="aula", times=100)
    with dg.instance_for_test() as instance:
        result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(["raw", "livestreams"])], raise_on_error=False
        )
    assert not result.success
