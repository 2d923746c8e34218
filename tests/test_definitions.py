"""The graph: loads with nothing set, is one run for a range, and is the same from Dagster as from the command line."""

import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.catalog import streams
from pipelines.clock import today, yesterday
from pipelines.definitions import build_definitions
from pipelines.errors import SettingsError
from pipelines.extract.day_parsers import DAY_PARSERS
from pipelines.marts.build import find_marts
from pipelines.orchestration.partitions import DAYS
from pipelines.orchestration.resources import (
    APPS,
    FULL,
    NIGHTLY,
    NIGHTLY_FRESHNESS,
    RANGE_END,
    RANGE_START,
    select_apps,
)
from pipelines.orchestration.schedules import nightly_schedule, weekly_full_refresh_schedule
from pipelines.settings.settings import load_settings
from pipelines.simulator.server import Simulator
from tests.pipeline_runner import FIRST, LAST, LoadedWarehouse, assert_matches_world, environment_for

DEFINITIONS = build_definitions()

ROOT = Path(__file__).parents[1]
USAGE = dg.AssetKey(["marts", "daily_usage"])


def assets() -> list[dg.AssetsDefinition]:
    return [asset for asset in DEFINITIONS.assets or [] if isinstance(asset, dg.AssetsDefinition)]


@pytest.mark.long
def test_the_workspace_loads_with_nothing_set(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path)}
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("hours", [-30, -12, 0, 12, 23.99, 24, 8_760])
def test_the_days_are_dagsters_own(hours: float) -> None:
    days = dg.DailyPartitionsDefinition(start_date=f"{load_settings().start_date}", timezone="UTC", end_offset=1)
    first = datetime.combine(load_settings().start_date, time(), UTC)
    for moment in (first + timedelta(hours=hours), None):
        assert DAYS.get_partition_keys(moment) == days.get_partition_keys(moment)
    with dg.partition_loading_context(first + timedelta(hours=hours)):
        assert DAYS.get_partition_keys() == days.get_partition_keys()


def test_the_drawing_shows_the_streams() -> None:
    drawn = [" ".join(line.split()) for line in (streams.__doc__ or "").splitlines() if "->" in line]
    expected = []
    for stream in streams.LOADED_STREAMS:
        tables = ", ".join(part.table.full_name for part in stream.parts)
        after = f" after {', '.join(table.full_name for table in stream.after)}" if stream.after else ""
        expected.append(f"{stream.raw.full_name} -> {tables}{after}")
    assert drawn == expected


def test_every_core_table_is_built_after_its_raw_tables() -> None:
    upstream = {
        spec.key.to_user_string(): {dep.asset_key.to_user_string() for dep in spec.deps}
        for a in assets()
        for spec in a.specs
    }
    assert upstream["core/livestream_analytics_daily"] == {"raw/livestream_analytics", "raw/livestream_sessions"}
    assert upstream["core/recordings_daily"] == {"raw/app_analytics"}
    assert upstream["raw/livestream_sessions"] == {"raw/livestreams", "raw/livestream_analytics"}


def test_marts_and_each_group_of_checks_are_one_step() -> None:
    # Dagster splits a step of several assets or checks that would wait for itself, and calls its parts facts_hold_2 and so on.
    steps = {name for name in DEFINITIONS.resolve_job_def(NIGHTLY).graph.node_dict if "__" not in name}
    assert steps == {"marts", "facts_hold", "marts_hold"}


def test_every_stream_fetched_by_ranges_has_a_parser() -> None:
    assert {stream.operation for stream in streams.LOADED_STREAMS if stream.fetched_by == "range"} == set(DAY_PARSERS)


def test_every_asset_is_described_and_makes_a_range_one_run() -> None:
    keys = set()
    for asset in assets():
        assert asset.backfill_policy == dg.BackfillPolicy.single_run(), asset.key
        for spec in asset.specs:
            nightly = spec.key.path[0] in {"core", "marts"} and spec.key.path[-1] != "live_observations"
            assert spec.freshness_policy == (NIGHTLY_FRESHNESS if nightly else None), spec.key
            keys.add(spec.key.to_user_string())
            assert spec.description
            assert spec.owners
            assert spec.kinds
    assert {f"marts/{mart.name}" for mart in find_marts()} < keys


@pytest.mark.long
@pytest.mark.parametrize("job", ["nightly", pytest.param("backfill", marks=pytest.mark.long)])  # see test_cli
def test_a_range_started_by_dagster_holds_the_truth_and_shows_every_day(
    job: str, loaded: LoadedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the first run of its home: what it shows is of itself alone."""
    simulator, settings = loaded
    for name, value in environment_for(simulator, settings.home).items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {RANGE_START: f"{FIRST}", RANGE_END: f"{LAST}"}
        result = DEFINITIONS.resolve_job_def(job).execute_in_process(instance=instance, tags=tags)
        assert result.success
        assert_matches_world(settings, simulator.world)
        days = (LAST - FIRST).days + 1
        for table in ("livestream_sessions", "recordings_daily"):
            held = instance.get_materialized_partitions(dg.AssetKey(["core", table]))
            assert held == {f"{FIRST + timedelta(days=n)}" for n in range(days)}
        assert_metadata(result, simulator)
        begun = [event.step_key or "" for event in result.all_events if event.is_step_start]
        sends_requests = [step.startswith("raw__") for step in begun]
        assert sends_requests == sorted(sends_requests, reverse=True), "requests come before steps that send none"
        checks = {evaluation.check_name for evaluation in result.get_asset_check_evaluations()}
        assert {"unique_key", "never_shrinks", "quarantine_empty", "day_gaps", "reconciles"} <= checks


def assert_metadata(result: dg.ExecuteInProcessResult, simulator: Simulator) -> None:
    """Assert that the last of several runs shows its own figures, those of the tables, and no secret."""
    events = result.get_asset_materialization_events()
    shown: dict[str, dict[str, Any]] = {}
    for event in events:
        materialization = event.step_materialization_data.materialization
        name = materialization.asset_key.to_user_string().replace("/", ".")
        at = f"{name} {materialization.partition}" if materialization.partition else name
        shown[at] = {label: entry.value for label, entry in materialization.metadata.items()}
    world = simulator.world
    truths = [world.expected_rows(app_id, FIRST, LAST).tables()["core.livestream_sessions"] for app_id in world.apps]
    per_day = Counter(row["day"] for rows in truths for row in rows.values())
    for n in range((LAST - FIRST).days + 1):
        day = FIRST + timedelta(days=n)
        assert shown[f"core.livestream_sessions {day}"]["dagster/row_count"] == per_day[day]
    for table in (
        "raw.livestreams",
        f"raw.livestream_sessions {LAST}",
        f"core.recordings_daily {LAST}",
        "marts.daily_usage",
    ):
        assert shown[table]["sample"].records, table
    summary = shown["publish.report"]
    assert summary["api_requests"] == sum(load["requests"] for load in records_of(summary["loads"]))
    assert f"{summary['api_requests']:,} requests" in summary["cost"]
    assert "break `quarantine_empty`" in str(summary["findings"].records)
    [overall] = shown["marts.daily_usage"]["dagster/column_lineage"].deps_by_column["recordings"]
    assert (overall.asset_key, overall.column_name) == (dg.AssetKey(["core", "recordings_daily"]), "recording_count")
    assert len(shown["marts.daily_usage"]["drawn"].records) == (LAST - FIRST).days + 1
    everything = repr(shown)
    assert simulator.token not in everything
    assert not any(key in everything for key in simulator.world.stream_keys())


def records_of(table: dg.TableMetadataValue) -> list[dict[str, Any]]:
    return [dict(record.data) for record in table.records]


def test_the_nightly_schedule_requests_the_lookback_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEHOUSE_LOOKBACK_DAYS", "5")
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 3, 10, 2, 30))
    request = nightly_schedule(context)
    assert isinstance(request, dg.RunRequest)
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == ("2026-03-05", "2026-03-09")


@pytest.mark.parametrize(("size", "groups"), [(0, 1), (2, 3), (4, 2), (5, 1), (99, 1)])
def test_schedules_request_a_run_for_each_group_of_apps(
    size: int, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REALTIMEKIT_APP_ID", "a,b,c,d,e")
    monkeypatch.setenv("LIVEHOUSE_APPS_PER_RUN", f"{size}")
    for schedule in (nightly_schedule, weekly_full_refresh_schedule):
        context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 3, 10, 2, 30))
        requested = schedule(context)
        listed = requested if isinstance(requested, list) else [requested]
        requests = [request for request in listed if isinstance(request, dg.RunRequest)]
        assert len(requests) == len({request.run_key for request in requests}) == groups
        assert len({request.tags[RANGE_START] for request in requests}) == 1
        apps = [select_apps(load_settings(), request.tags).app_ids for request in requests]
        assert [app_id for group in apps for app_id in group] == list("abcde")
        assert all(len(group) <= (size or 5) for group in apps)


@pytest.mark.long
def test_a_run_loads_the_apps_of_its_tag_only(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment_for(simulator, tmp_path).items():
        monkeypatch.setenv(name, value)
    with dg.instance_for_test() as instance:
        DEFINITIONS.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(["raw", "livestreams"])], tags={APPS: "aula"}
        )
    assert {request.app_id for request in simulator.requests} == {"aula"}
    with pytest.raises(SettingsError, match="names nowhere, which REALTIMEKIT_APP_ID does not"):
        select_apps(load_settings(), {APPS: "aula, nowhere"})


@pytest.mark.parametrize(("started_before", "days"), [(0, None), (1, 1), (2, 2), (9, 3)])
def test_schedules_request_no_day_before_the_start_date(
    started_before: int, days: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen: with LIVEHOUSE_START_DATE = today the range ended before it began, and the run with an IndexError."""
    start = today() - timedelta(days=started_before)
    monkeypatch.setenv("LIVEHOUSE_START_DATE", f"{start}")
    for schedule in (nightly_schedule, weekly_full_refresh_schedule):
        context = dg.build_schedule_context(scheduled_execution_time=datetime.combine(today(), time(2, 30)))
        request = schedule(context)
        if days is None:
            assert isinstance(request, dg.SkipReason)
            assert "LIVEHOUSE_START_DATE" in (request.skip_message or "")
            continue
        assert isinstance(request, dg.RunRequest)
        first, last = (date.fromisoformat(request.tags[name]) for name in (RANGE_START, RANGE_END))
        assert (max(start, first), last) == (first, yesterday())
        if schedule is nightly_schedule:
            assert (last - first).days + 1 == days


def test_the_weekly_schedule_fully_refreshes_35_days() -> None:
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 3, 15, 3, 30))
    request = weekly_full_refresh_schedule(context)
    assert isinstance(request, dg.RunRequest)
    assert request.tags == {RANGE_START: "2026-02-08", RANGE_END: "2026-03-14", FULL: "true"}
    assert weekly_full_refresh_schedule.cron_schedule == "30 3 * * 0"
    assert DEFINITIONS.resolve_schedule_def("every_week_in_full").job_name == NIGHTLY


@pytest.mark.long
def test_a_run_that_does_not_publish_fails_with_the_app_that_failed(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The UI splits a backfill: raw.livestreams alone, then what has days, then marts. Seen 2026-11-23.
    for name, value in environment_for(simulator, tmp_path).items():
        monkeypatch.setenv(name, value)
    simulator.faults.schedule("server_error", operation="list-livestreams", app_id="aula", times=100)
    with dg.instance_for_test() as instance:
        result = DEFINITIONS.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(["raw", "livestreams"])], raise_on_error=False
        )
    assert not result.success


def test_the_definition_of_a_mart_lists_the_source_columns_of_each_column() -> None:
    [made_of] = [spec.metadata["columns_made_of"] for asset in assets() for spec in asset.specs if spec.key == USAGE]
    assert {"column": "recordings", "made_of": "core.recordings_daily.recording_count"} in records_of(made_of)


def test_a_single_mart_can_be_built(loaded: LoadedWarehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    simulator, settings = loaded
    for name, value in environment_for(simulator, settings.home).items():
        monkeypatch.setenv(name, value)
    key = dg.AssetKey(["marts", "monthly_usage"])
    with dg.DagsterInstance.ephemeral() as instance:
        job = DEFINITIONS.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(instance=instance, asset_selection=[key])
    assert [event.asset_key for event in result.get_asset_materialization_events()] == [key]
