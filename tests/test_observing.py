"""The present observed, and its audience held against the truth; in every shape, through faults."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.errors import SettingsError
from pipelines.live.steps import observe
from pipelines.live.view import read_present
from pipelines.simulator.reply_shapes import Shapes
from pipelines.simulator.server import Simulator
from pipelines.steps.context import make_client
from pipelines.storage.file_warehouse import FileWarehouse
from tests.houses import load, query, settings_for, small_world
from tests.watching import (
    APP,
    MIDNIGHT,
    MINUTE,
    assert_audience_is_true,
    known_figures,
    live_through,
    merge,
    new_world,
    watching,
)

SHAPES = [
    pytest.param(shapes, id=str(shapes), marks=() if shapes.active_seconds == "text" else pytest.mark.long)
    for shapes in Shapes.all_variants()
]


def test_the_audience_of_some_watched_minutes_is_what_the_sessions_say(tmp_path: Path) -> None:
    world = new_world(MIDNIGHT - timedelta(minutes=4), streams=3)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with watching(simulator, settings) as watch:
            live_through(world, watch, 8, seed=4)  # five sessions, of which one ends and one fails
        merge(settings)
        assert_audience_is_true(settings, world)
    statuses = {status for (status,) in query(settings, "SELECT DISTINCT status FROM core.live_observations")}
    assert {"LIVE", "ENDED", "FAILED"} <= statuses


@pytest.mark.long
def test_the_audience_of_a_watched_night_is_what_the_sessions_say(tmp_path: Path) -> None:
    world = new_world(MIDNIGHT - timedelta(minutes=16), streams=5)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with watching(simulator, settings) as watch:
            live_through(world, watch, 18)
            merge(settings, "before midnight's minutes are over")
            live_through(world, watch, 16, seed=2)
        load(settings, (MIDNIGHT.date(), MIDNIGHT.date()))
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
def test_the_audience_of_a_watched_day_is_what_the_sessions_say(tmp_path: Path) -> None:
    world = new_world(MIDNIGHT - timedelta(hours=12), streams=8)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with watching(simulator, settings) as watch:
            for part in range(24):
                live_through(world, watch, 60, seed=part)
                if part % 7 == 0:
                    merge(settings, f"{part}")
        merge(settings, "last")
        assert_audience_is_true(settings, world)


@pytest.mark.parametrize("shapes", SHAPES)
def test_every_shape_is_observed(shapes: Shapes, tmp_path: Path) -> None:
    world = new_world(streams=4, values="text" if shapes.active_seconds == "text" else "mixed")
    for livestream in world.apps[APP].livestreams[:3]:
        world.go_live(APP, livestream.id, audience=7.5)
    world.invoke(APP, world.apps[APP].livestreams[3].id)
    world.advance(timedelta(seconds=1))
    with Simulator(world, shapes=shapes) as simulator:
        settings = settings_for(simulator, tmp_path)
        with watching(simulator, settings) as watch:
            watch()
            world.advance(MINUTE)
            [look] = watch()
        assert (look.on_air, look.ended, look.said) == (4, 0, None)
        merge(settings)
    rows = query(
        settings,
        """SELECT livestream_id, session_id, meeting_id, ingest_seconds, viewer_seconds FROM core.live_observations
        WHERE observed_at = ?""",
        world.now.replace(tzinfo=None),
    )
    truth = {
        (one.id, session.id, one.meeting_id, *known_figures(session, world.now_ms))
        for one in world.apps[APP].livestreams
        for session in one.sessions
    }
    assert set(rows) == truth


def test_faults_that_pass_do_not_keep_a_look_from_being_whole(tmp_path: Path) -> None:
    world = new_world(streams=6)
    for livestream in world.apps[APP].livestreams:
        world.go_live(APP, livestream.id)
    with Simulator(world) as simulator:
        simulator.faults.kinds, simulator.faults.rate = ("server_error", "cut_body", "drop_before", "html_200"), 0.3
        settings = settings_for(simulator, tmp_path)
        with watching(simulator, settings) as watch:
            world.advance(MINUTE)
            [look] = watch()
    assert look.on_air == 6
    assert look.said
    assert look.said.startswith("requests sent again: ")


def test_an_app_that_refuses_leaves_the_others_and_what_was_seen_before(tmp_path: Path) -> None:
    world = new_world(streams=1)
    world.add_app("stage")
    other = world.add_livestream("stage", name="Other")
    world.go_live("stage", other.id)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with watching(simulator, settings) as watch:
            world.advance(MINUTE)
            watch()
            simulator.faults.order("redirect", operation="list-livestreams", app_id="stage", times=50)
            world.advance(MINUTE)
            refused = {look.app_id: look for look in watch()}
    assert (refused[APP].failed, refused["stage"].failed) == (False, True)
    present = read_present(settings, now=world.now.replace(tzinfo=None))
    assert [stream.name for stream in present.streams] == ["Other"]
    assert {app.app_id: bool(app.said) for app in present.apps} == {APP: False, "stage": True}


@pytest.mark.long
def test_a_record_no_rule_takes_is_set_aside_until_it_is_whole(tmp_path: Path) -> None:
    world = new_world(streams=1)
    [livestream] = world.apps[APP].livestreams
    session = world.go_live(APP, livestream.id)
    world.break_record(session.id, "viewer_seconds", "n/a")
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with watching(simulator, settings) as watch:
            world.advance(MINUTE)
            [look] = watch()
            assert (look.on_air, look.unreadable) == (0, 1)
            merge(settings, "broken")
            aside = "SELECT record_id, field, payload FROM ops.quarantine WHERE table_name = 'core.live_observations'"
            [(record_id, field, payload)] = query(settings, aside)
            assert (record_id, field) == (livestream.id, "session.viewer_seconds")
            assert livestream.stream_key not in payload
            world.repair(session.id)
            world.advance(MINUTE)
            watch()
        merge(settings, "whole")
    assert query(settings, aside) == []
    unbalanced = "FROM ops.loads WHERE rows_received <> rows_landed + rows_quarantined + rows_duplicate"
    assert query(settings, unbalanced) == []


def test_the_demo_world_is_observed_whole(tmp_path: Path) -> None:
    world = small_world()
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        client = make_client(settings)
        looks = observe(settings, client)
        client.close()
    running = {app.id: sum(one.open_session is not None for one in app.livestreams) for app in world.apps.values()}
    assert {look.app_id: look.on_air + look.unreadable for look in looks} == running


def test_the_small_file_is_no_name_for_a_warehouse(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="pipeline_live"):
        FileWarehouse(tmp_path / "pipeline_live.duckdb")
