"""Polling live streams: the audience equals the figures of the sessions, in every reply shape and through faults."""

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.errors import SettingsError
from pipelines.live.steps import poll_apps
from pipelines.live.view import read_snapshot
from pipelines.simulator.response_shapes import ResponseShapes
from pipelines.simulator.server import Simulator
from pipelines.steps.context import make_client
from pipelines.storage.file_warehouse import FileWarehouse
from tests.live_helpers import (
    APP,
    MIDNIGHT,
    MINUTE,
    assert_audience_is_true,
    expected_figures,
    merge,
    new_world,
    simulate_minutes,
    start_polling,
)
from tests.pipeline_runner import query, run_pipeline, settings_for, small_world

SHAPES = [
    pytest.param(shapes, id=str(shapes), marks=() if shapes.active_seconds == "text" else pytest.mark.long)
    for shapes in ResponseShapes.all_variants()
]


@pytest.mark.long
def test_the_audience_of_some_polled_minutes_equals_the_session_figures(tmp_path: Path) -> None:
    world = new_world(MIDNIGHT - timedelta(minutes=4), streams=3)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with start_polling(simulator, settings) as poll:
            simulate_minutes(world, poll, 8, seed=4)  # five sessions, of which one ends and one fails
        merge(settings)
        assert_audience_is_true(settings, world)
    statuses = {status for (status,) in query(settings, "SELECT DISTINCT status FROM core.live_observations")}
    assert {"LIVE", "ENDED", "FAILED"} <= statuses


@pytest.mark.long
def test_the_audience_of_a_polled_night_equals_the_session_figures(tmp_path: Path) -> None:
    world = new_world(MIDNIGHT - timedelta(minutes=16), streams=5)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with start_polling(simulator, settings) as poll:
            simulate_minutes(world, poll, 18)
            merge(settings, "before midnight's minutes are over")
            simulate_minutes(world, poll, 16, seed=2)
        run_pipeline(settings, (MIDNIGHT.date(), MIDNIGHT.date()))
        merge(settings, "after")
        assert_audience_is_true(settings, world)
        for keys in world.stream_keys():
            assert not [path for path in tmp_path.rglob("*") if path.is_file() and keys.encode() in path.read_bytes()]
    [(days,)] = query(settings, "SELECT count(DISTINCT day) FROM marts.live_audience")
    assert days == 2
    statuses = {status for (status,) in query(settings, "SELECT DISTINCT status FROM core.live_observations")}
    assert {"LIVE", "ENDED", "FAILED"} <= statuses


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_the_audience_of_a_polled_day_equals_the_session_figures(tmp_path: Path) -> None:
    world = new_world(MIDNIGHT - timedelta(hours=12), streams=8)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with start_polling(simulator, settings) as poll:
            for part in range(24):
                simulate_minutes(world, poll, 60, seed=part)
                if part % 7 == 0:
                    merge(settings, f"{part}")
        merge(settings, "last")
        assert_audience_is_true(settings, world)


@pytest.mark.long
@pytest.mark.parametrize("shapes", SHAPES)
def test_every_reply_shape_is_observed(shapes: ResponseShapes, tmp_path: Path) -> None:
    world = new_world(streams=4, values="text" if shapes.active_seconds == "text" else "mixed")
    for livestream in world.apps[APP].livestreams[:3]:
        world.go_live(APP, livestream.id, audience=7.5)
    world.invoke(APP, world.apps[APP].livestreams[3].id)
    world.advance(timedelta(seconds=1))
    with Simulator(world, shapes=shapes) as simulator:
        settings = settings_for(simulator, tmp_path)
        with start_polling(simulator, settings) as poll:
            poll()
            world.advance(MINUTE)
            [summary] = poll()
        assert (summary.on_air, summary.ended, summary.warnings) == (4, 0, None)
        merge(settings)
    rows = query(
        settings,
        """SELECT livestream_id, session_id, meeting_id, ingest_seconds, viewer_seconds FROM core.live_observations
        WHERE observed_at = ?""",
        world.now.replace(tzinfo=None),
    )
    truth = {
        (one.id, session.id, one.meeting_id, *expected_figures(session, world.now_ms))
        for one in world.apps[APP].livestreams
        for session in one.sessions
    }
    assert set(rows) == truth


@pytest.mark.long
def test_a_poll_is_complete_in_spite_of_transient_faults(tmp_path: Path) -> None:
    world = new_world(streams=6)
    for livestream in world.apps[APP].livestreams:
        world.go_live(APP, livestream.id)
    with Simulator(world) as simulator:
        simulator.faults.kinds, simulator.faults.rate = ("server_error", "cut_body", "drop_before", "html_200"), 0.3
        settings = settings_for(simulator, tmp_path)
        with start_polling(simulator, settings) as poll:
            world.advance(MINUTE)
            [summary] = poll()
    assert summary.on_air == 6
    assert summary.warnings
    assert summary.warnings.startswith("retried requests: ")


@pytest.mark.long
def test_an_app_that_fails_keeps_its_last_poll_and_does_not_affect_the_others(tmp_path: Path) -> None:
    world = new_world(streams=1)
    world.add_app("stage")
    other = world.add_livestream("stage", name="Other")
    world.go_live("stage", other.id)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with start_polling(simulator, settings) as poll:
            world.advance(MINUTE)
            poll()
            simulator.faults.schedule("redirect", operation="list-livestreams", app_id="stage", times=50)
            world.advance(MINUTE)
            refused = {summary.app_id: summary for summary in poll()}
    assert (refused[APP].is_failed, refused["stage"].is_failed) == (False, True)
    snapshot = read_snapshot(settings, now=world.now.replace(tzinfo=None))
    assert [stream.name for stream in snapshot.streams] == ["Other"]
    failed = {app.app_id: bool(asdict(app)["said"]) for app in snapshot.apps}  # public name
    assert failed == {APP: False, "stage": True}


def test_a_poll_warns_that_the_last_figures_of_a_session_are_missing(tmp_path: Path) -> None:
    world = new_world(streams=1)
    [livestream] = world.apps[APP].livestreams
    world.go_live(APP, livestream.id)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with start_polling(simulator, settings) as poll:
            poll()
            world.advance(MINUTE)
            world.end_session(APP, livestream.id)
            simulator.faults.schedule("redirect", operation="get-session")
            [summary] = poll()
    assert (summary.ended, summary.is_failed) == (0, False)
    assert summary.warnings
    assert summary.warnings.startswith("failed requests: 1, the first: GET ")


@pytest.mark.long
def test_a_malformed_record_is_quarantined_until_it_is_repaired(tmp_path: Path) -> None:
    world = new_world(streams=1)
    [livestream] = world.apps[APP].livestreams
    session = world.go_live(APP, livestream.id)
    world.break_record(session.id, "viewer_seconds", "n/a")
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with start_polling(simulator, settings) as poll:
            world.advance(MINUTE)
            [summary] = poll()
            assert (summary.on_air, summary.quarantined) == (0, 1)
            merge(settings, "broken")
            quarantined = (
                "SELECT record_id, field, payload FROM ops.quarantine WHERE table_name = 'core.live_observations'"
            )
            [(record_id, field, payload)] = query(settings, quarantined)
            assert (record_id, field) == (livestream.id, "session.viewer_seconds")
            assert livestream.stream_key not in payload
            world.repair_record(session.id)
            world.advance(MINUTE)
            poll()
        merge(settings, "whole")
    assert query(settings, quarantined) == []
    unbalanced = "FROM ops.loads WHERE rows_received <> rows_landed + rows_quarantined + rows_duplicate"
    assert query(settings, unbalanced) == []


def test_all_live_streams_of_the_demo_world_are_observed(tmp_path: Path) -> None:
    world = small_world()
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        client = make_client(settings)
        polls = poll_apps(settings, client)
        client.close()
    running = {app.id: sum(one.open_session is not None for one in app.livestreams) for app in world.apps.values()}
    assert {summary.app_id: summary.on_air + summary.quarantined for summary in polls} == running


def test_the_staging_file_is_refused_as_a_warehouse(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="pipeline_live"):
        FileWarehouse(tmp_path / "pipeline_live.duckdb")
