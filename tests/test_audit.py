"""The audit of livestreams that a night would skip."""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import polars as pl
import pytest

from pipelines.catalog.ops import LIVESTREAM_SYNC
from pipelines.report.figures import read_figures
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from pipelines.steps.audit import choose_sample
from tests.intercepting_proxy import intercept, refuse_livestream_daywise
from tests.pipeline_runner import (
    DAYS,
    LAST,
    assert_matches_world,
    open_published,
    query,
    run_pipeline,
    run_without_marts,
    settings_for,
    small_world,
)

DAY = (LAST, LAST)


def quiet_world(livestreams: int = 30) -> World:
    return small_world(apps=("aula",), livestreams=livestreams, sessions=90, on_air=0)


@pytest.mark.long
def test_a_night_without_changes_costs_its_requests_and_the_sample(tmp_path: Path) -> None:
    with Simulator(quiet_world()) as simulator:
        settings = settings_for(simulator, tmp_path, LIVEHOUSE_AUDIT_LIVESTREAMS="4")
        run_pipeline(settings, DAYS, run_id="first", full=True)
        run_pipeline(settings, DAY, run_id="without", full=False)
        simulator.requests.clear()
        run_pipeline(settings, DAY, run_id="night")
        assert simulator.request_count("get-livestream") == 4
        rows = query(
            settings,
            "SELECT livestreams_audited, livestreams_changed, sessions_changed FROM ops.audits WHERE run_id = 'night'",
        )
        assert rows == [(4, 0, 0)]
        with open_published(settings) as connection:
            figures = read_figures(connection)
        assert figures
        [(listed,)] = query(settings, "SELECT count(*) FROM core.livestreams")
        counts = {"livestreams": [listed], "verified": [listed], "audited": [8], "changed": [0]}
        assert figures["audits"] == {"app": [0]} | counts


@pytest.mark.long
def test_an_audit_finds_changes_that_updated_at_does_not_show(tmp_path: Path) -> None:
    world = quiet_world()
    with Simulator(world) as simulator, intercept(simulator, refuse_livestream_daywise) as served:
        # A session of ten days ago gets other figures: no clock moves, and that day's totals are not fetched again.
        settings = settings_for(
            simulator, tmp_path, LIVEHOUSE_AUDIT_LIVESTREAMS="30", CLOUDFLARE_BASE_URL=served.base_url
        )
        run_without_marts(settings, DAYS, run_id="first", full=True)
        timeline = world.apps["aula"].timeline
        old = [one for one in timeline if one.created_ms and DAYS[0] <= _day(one.created_ms) < LAST - timedelta(days=1)]
        assert old
        for session in old[:1]:
            session.ingest_seconds = (session.ingest_seconds or 0) + 100
        run = run_without_marts(settings, DAY, run_id="night")
        [(changed, sessions)] = query(
            settings, "SELECT livestreams_changed, sessions_changed FROM ops.audits WHERE run_id = 'night'"
        )
        assert (changed, sessions) == (1, 1)
        assert any(f"livestream {old[0].livestream_id}" in line for line in run.warnings)
        [(held,)] = query(
            settings, "SELECT ingest_seconds FROM core.livestream_sessions WHERE session_id = ?", old[0].id
        )
        assert held == pytest.approx(old[0].ingest_seconds)


def _day(reference_ms: int) -> date:
    return datetime.fromtimestamp(reference_ms / 1000, UTC).date()


@pytest.mark.long
def test_a_finding_has_the_rest_fetched(tmp_path: Path) -> None:
    world = quiet_world()
    with Simulator(world) as simulator, intercept(simulator, refuse_livestream_daywise) as served:
        settings = settings_for(
            simulator, tmp_path, LIVEHOUSE_AUDIT_LIVESTREAMS="3", CLOUDFLARE_BASE_URL=served.base_url
        )
        run_without_marts(settings, DAYS, run_id="first", full=True)
        for session in world.apps["aula"].timeline:
            session.viewer_seconds = (session.viewer_seconds or 0) + 7
        run_without_marts(settings, (DAYS[0] - timedelta(days=1), DAYS[0] - timedelta(days=1)), run_id="night")
        [(audited, refreshed, skipped)] = query(
            settings,
            "SELECT livestreams_audited, livestreams_refreshed, livestreams_skipped FROM ops.audits WHERE run_id = 'night'",
        )
        assert (audited, audited + refreshed) == (3, skipped)


@pytest.mark.long
def test_backfills_and_full_runs_audit_nothing(tmp_path: Path) -> None:
    with Simulator(quiet_world(8)) as simulator:
        settings = settings_for(simulator, tmp_path, LIVEHOUSE_AUDIT_LIVESTREAMS="5")
        run_without_marts(settings, DAY, run_id="backfill", backfill=True)
        run_without_marts(settings, DAY, run_id="full", full=True)
        assert query(settings, "FROM ops.audits") == []
        assert_matches_world(settings, simulator.world, DAY)


def test_those_not_verified_for_longest_come_first_and_those_that_are_gone_never() -> None:
    rows = [
        ("aula", name, None, datetime.combine(LAST - timedelta(days=days), time()), complete)
        for name, days, complete in (("new", 0, True), ("old", 9, True), ("gone", 30, False))
    ]
    names = ("app_id", "livestream_id", "upstream_updated_at", "synced_at", "complete")
    synced = pl.DataFrame(
        [dict(zip(names, row, strict=True)) for row in rows], schema=dict(LIVESTREAM_SYNC.polars_schema)
    )
    assert choose_sample(["new", "old", "gone", "never"], synced, 3, "run") == ["never", "old", "new"]
    picked = {tuple(choose_sample([str(n) for n in range(50)], synced, 5, f"run {n}")) for n in range(5)}
    assert len(picked) > 1, "at random"
