"""Who is on air: watched through HTTP, minute by minute of the world's clock, merged by runs, shown by the command."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.cli.on_air_table import sparkline
from pipelines.clock import today, utc_now, yesterday
from pipelines.definitions import defs
from pipelines.errors import HouseBusyError, WarehouseError
from pipelines.load import live
from pipelines.load.lock import exclusive
from pipelines.load.warehouse import Warehouse
from pipelines.report.marts import find_marts
from pipelines.schedules import every_minute
from pipelines.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.simulator.shapes import Shapes
from pipelines.simulator.world import World
from pipelines.steps import report
from pipelines.steps.house import House, make_client, open_house
from pipelines.steps.observe import Look, merge_observations, observe
from pipelines.steps.on_air import averages_of, read_present
from tests.houses import load, query, settings_for, small_world, variables

APP = "aula"
LIVEHOUSE = Path(sys.executable).with_name("livehouse")
MIDNIGHT = datetime.combine(yesterday(), datetime.min.time())
MINUTE = timedelta(minutes=1)
Watch = Callable[[], list[Look]]

pytestmark = pytest.mark.long  # an accelerated day, minute by minute


def new_world(now: datetime = MIDNIGHT, *, streams: int = 0, values: Any = "mixed") -> World:
    world = World(now=now.replace(tzinfo=UTC), seed=3, values=values)
    world.add_app(APP)
    for number in range(streams):
        world.add_livestream(APP, name=f"Stream {number}", meeting_id=f"meeting-{number}" if number % 2 else None)
    return world


@contextmanager
def watching(simulator: Simulator, settings: Settings) -> Iterator[Watch]:
    """Looks at the moment of the world's clock."""
    client = make_client(settings)
    try:
        yield lambda: observe(settings, client, now=lambda: simulator.world.now.replace(tzinfo=None))
    finally:
        client.close()


def merge(settings: Settings, run_id: str = "run") -> House:
    """What a run does with observations."""
    with open_house(settings, run_id=run_id, full=False, allow_shrink=False, backfill=None) as house:
        merge_observations(house)
        for mart in find_marts():
            report.refresh_mart(house, mart)
        report.publish_warehouse(house, None)
        return house


def stored(settings: Settings) -> list[tuple[Any, ...]]:
    """What waits to be merged, and what stays for a while."""
    with live.open_live(Warehouse(settings.warehouse)) as connection:
        return connection.execute("FROM raw.live_observations ORDER BY observed_at, livestream_id").fetchall()


def true_seconds(world: World) -> dict[str, float]:
    """Viewer seconds of each livestream, by the world."""
    return {
        one.id: sum(session.figures(world.now_ms)[1] or 0.0 for session in one.sessions)
        for one in world.apps[APP].livestreams
    }


def live_through(world: World, watch: Watch, minutes: int, *, seed: int = 1) -> None:
    """Streams that start, stop, restart at once and fail, at any second, and a look at each full minute."""
    dice = random.Random(seed)
    streams = [one.id for one in world.apps[APP].livestreams]
    for _ in range(minutes):
        moments = sorted(dice.uniform(0, 60) for _ in streams)
        passed = 0.0
        for livestream_id, moment in zip(dice.sample(streams, len(streams)), moments, strict=True):
            world.advance(timedelta(seconds=moment - passed))
            passed = moment
            what = dice.random()
            if world.apps[APP].by_id[livestream_id].open_session is None:
                if what < 0.3:
                    begin = world.go_live if what < 0.2 else world.invoke
                    begin(APP, livestream_id, audience=dice.uniform(0, 200))
            elif what < 0.08:
                world.end(APP, livestream_id, err_message=dice.choice([None, None, "encoder lost"]))
                if dice.random() < 0.3:
                    world.go_live(APP, livestream_id, audience=dice.uniform(0, 50))
        world.advance(timedelta(seconds=60 - passed))
        assert not [look.said for look in watch() if look.said]


def assert_audience_is_true(settings: Settings, world: World) -> None:
    """The audience integrated over observations is the sessions' viewer seconds, within 1 %, for each stream."""
    seen = dict(query(settings, "SELECT livestream_id, sum(viewer_seconds) FROM marts.live_audience GROUP BY ALL"))
    truth = true_seconds(world)
    assert {livestream for livestream, seconds in truth.items() if seconds} == set(seen)
    for livestream_id, seconds in seen.items():
        assert seconds == pytest.approx(truth[livestream_id], rel=0.01)
    odd = "SELECT * FROM marts.live_audience WHERE viewer_seconds < 0 OR observed_seconds <= 0 OR observed_seconds > 60.001"
    assert query(settings, odd) == []


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


@pytest.mark.parametrize("shapes", list(Shapes.all_variants()), ids=str)
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
        (one.id, session.id, one.meeting_id, *session.figures(world.now_ms))
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


# --- beside a run -----------------------------------------------------------------------------------------


def test_looking_steps_back_at_once_while_a_run_has_the_house(simulator: Simulator, tmp_path: Path) -> None:
    settings = settings_for(simulator, tmp_path)
    warehouse = Warehouse(settings.warehouse)
    warehouse.prepare()
    with watching(simulator, settings) as watch:
        with (
            exclusive(warehouse.lock, wait_seconds=0, say=print),
            pytest.raises(HouseBusyError, match=f"{os.getpid()}"),
        ):
            watch()
        assert simulator.requests == []
        watch()
        warehouse.lock.write_text("PID 999999999\n")  # a run that was killed: the lock is free, its name stands
        watch()
    assert warehouse.lock.read_text() == ""


def test_looking_steps_back_in_the_middle_of_a_look_and_never_keeps_a_run_waiting(tmp_path: Path) -> None:
    world = new_world(streams=30)
    for livestream in world.apps[APP].livestreams:
        world.go_live(APP, livestream.id)
    with Simulator(world, latency=0.05) as simulator:
        settings = settings_for(simulator, tmp_path, LIVEHOUSE_CONCURRENCY="1", LIVEHOUSE_LOCK_WAIT_SECONDS="0")
        said: list[str] = []

        def look() -> None:
            with watching(simulator, settings) as watch, pytest.raises(HouseBusyError) as busy:
                watch()
            said.append(str(busy.value))

        thread = threading.Thread(target=look)
        thread.start()
        while simulator.count("get-active-session") < 3:
            time.sleep(0.005)
        with watching(simulator, settings) as second, pytest.raises(HouseBusyError, match="another livehouse process"):
            second()
        with open_house(settings, run_id="night", full=False, allow_shrink=False, backfill=None) as house:
            merge_observations(house)
            before = simulator.count()
            thread.join()
            assert simulator.count() <= before + 2
    assert "stepped back" in said[0]
    assert stored(settings) == [], "half a look is none"


@pytest.mark.parametrize("killed", ["before it is committed", "before it is forgotten"])
def test_a_merge_killed_at_any_moment_loses_and_doubles_nothing(
    killed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world(streams=5)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with watching(simulator, settings) as watch:
            live_through(world, watch, 12)
    seen = len(stored(settings))
    name = "forget_merged" if killed == "before it is forgotten" else "read_seen"

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(live, name, die)
        with pytest.raises(KeyboardInterrupt):
            merge(settings, "killed")
    for run in ("second", "third"):
        merge(settings, run)
        keys = "count(DISTINCT (app_id, livestream_id, observed_at))"
        [(rows, distinct)] = query(settings, f"SELECT count(*), {keys} FROM core.live_observations")
        assert rows == distinct == seen
    assert_audience_is_true(settings, world)
    assert stored(settings) == [], "all older than two hours"


def test_a_session_that_ended_between_two_nights_is_settled_by_the_second(tmp_path: Path) -> None:
    world = new_world(MIDNIGHT - timedelta(hours=30), streams=3)
    short, long, over = (one.id for one in world.apps[APP].livestreams)
    for livestream_id in (short, long, over):
        world.go_live(APP, livestream_id)
    world.advance(timedelta(hours=1))
    world.end(APP, over)
    day = (MIDNIGHT - timedelta(days=2)).date()
    flagged = "SELECT unfinished, unfinished_over_24h FROM marts.session_reliability WHERE day = ?"
    unfinished = "SELECT livestream_id FROM core.livestream_sessions WHERE stopped_at IS NULL ORDER BY ALL"
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        load(settings, (day, day), run_id="first")
        assert query(settings, unfinished) == [(one,) for one in sorted((short, long))]
        world.advance(timedelta(hours=40))
        world.end(APP, short)
        # Another night, of other days: the session's own day is long past.
        load(settings, (today(), today()), run_id="second")
        assert query(settings, unfinished) == [(long,)]
        assert query(settings, flagged, day) == [(1, 1)]


# --- the graph --------------------------------------------------------------------------------------------


def test_dagster_looks_in_one_job_and_merges_in_the_others(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables(simulator, tmp_path).items():
        monkeypatch.setenv(name, value)
    settings = settings_for(simulator, tmp_path)
    with dg.instance_for_test() as instance:
        assert defs.resolve_job_def("observe").execute_in_process(instance=instance).success
        looked = simulator.count()
        assert {asked.operation for asked in simulator.requests} == {
            "list-livestreams",
            "get-meeting-livestream",
            "get-active-session",
        }
        on_air = len(stored(settings))
        tags = {
            "dagster/asset_partition_range_start": f"{yesterday()}",
            "dagster/asset_partition_range_end": f"{today()}",
        }
        assert defs.resolve_job_def("rebuild").execute_in_process(instance=instance, tags=tags).success
    assert simulator.count() == looked, "a rebuild merges, and asks nothing"
    [(merged,)] = query(settings, "SELECT count(*) FROM core.live_observations")
    assert merged == on_air > 0
    for job in ("nightly", "backfill", "rebuild"):
        nodes = {key.to_user_string() for key in defs.resolve_job_def(job).asset_layer.selected_asset_keys}
        assert "core/live_observations" in nodes
        assert "raw/live_observations" not in nodes


def test_the_schedule_is_every_minute_and_off() -> None:
    assert every_minute.cron_schedule == "* * * * *"
    assert every_minute.default_status == dg.DefaultScheduleStatus.STOPPED
    moment = datetime(2026, 3, 10, 2, 30)
    request = every_minute(dg.build_schedule_context(scheduled_execution_time=moment))
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == "observe 2026-03-10 02:30"


# --- the command ------------------------------------------------------------------------------------------


def on_air(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command: list[str | Path] = [LIVEHOUSE, "on-air", *arguments]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[tuple[World, dict[str, str]]]:
    """A stream with an ugly name that has been live for an hour, and what points at it. No warehouse."""
    world = new_world(utc_now() - timedelta(hours=1))
    livestream = world.add_livestream(APP, name="\x1b[31mred\x1b[0m [bold]alert")
    world.go_live(APP, livestream.id, audience=100)
    world.advance(timedelta(hours=1))
    world.run()
    with Simulator(world) as simulator:
        yield world, variables(simulator, tmp_path / "home")


def test_two_looks_give_an_average(shown: tuple[World, dict[str, str]]) -> None:
    _, environment = shown
    first = on_air(**environment)
    assert first.returncode == 0, first.stderr
    assert "\x1b[31m" not in first.stdout
    assert "\\x1b[31mred\\x1b[0m [bold]alert" in first.stdout
    assert "an average takes two looks" in first.stderr
    time.sleep(0.5)
    second = on_air("--json", **environment)
    [stream] = json.loads(second.stdout)["streams"]
    assert stream["status"] == "LIVE"
    assert 0 < stream["over_seconds"] < 60
    assert 50 < stream["average_viewers"] < 150, "the audience swells and ebbs around 100"
    assert stream["trend"] == [None, stream["average_viewers"]]


def test_what_keeps_it_from_looking_is_said(shown: tuple[World, dict[str, str]]) -> None:
    _, environment = shown
    assert on_air(**environment).returncode == 0
    refused = on_air(**environment | {"CLOUDFLARE_API_TOKEN": "wrong"})
    assert refused.returncode == 1
    assert "401" in refused.stderr
    assert "red" in refused.stdout, "what was seen before is still shown"
    warehouse = Warehouse(Path(environment["LIVEHOUSE_HOME"]) / "warehouse.duckdb")
    with exclusive(warehouse.lock, wait_seconds=0, say=print):
        busy = on_air(**environment)
    assert busy.returncode == 0
    assert f"stepped back: a run (PID {os.getpid()}) needs the request budget" in busy.stderr
    assert "red" in busy.stdout
    assert on_air().returncode == 2
    assert on_air("--every", "1").returncode == 2


def test_nothing_on_air_is_an_answer(tmp_path: Path) -> None:
    with Simulator(new_world(utc_now(), streams=2)) as simulator:
        done = on_air(**variables(simulator, tmp_path / "home"))
        assert (done.returncode, done.stdout, done.stderr) == (0, "Nothing is on air.\n", "")


def test_figures_that_stand_still_are_said_to_lag(shown: tuple[World, dict[str, str]]) -> None:
    world, environment = shown
    world.run(0)
    assert "lags" not in on_air(**environment).stderr
    assert "the API lags" in on_air(**environment).stderr


@pytest.mark.parametrize("stuck", [False, True])
def test_ctrl_c_ends_a_watch_cleanly(shown: tuple[World, dict[str, str]], stuck: bool, tmp_path: Path) -> None:  # noqa: FBT001
    _, environment = shown
    if stuck:  # nobody answers: the look goes on trying for minutes
        environment |= {"CLOUDFLARE_BASE_URL": "http://127.0.0.1:9/v4", "LIVEHOUSE_RETRY_PAUSE_SECONDS": "30"}
    command: list[str | Path] = [LIVEHOUSE, "on-air", "--watch", "--json", "--every", "5"]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=said, text=True
        )
        assert process.stdout
        if stuck:
            time.sleep(1.5)
        else:
            assert json.loads(process.stdout.readline())["streams"]
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        assert process.wait(timeout=30) == 0
        assert time.monotonic() - begun < 5
        process.stdout.close()
    assert (tmp_path / "said").read_text() == ""


def test_averages_never_fall_below_zero() -> None:
    def at(seconds: float) -> datetime:
        return MIDNIGHT + timedelta(seconds=seconds)

    seen = [(at(0), 600.0, 1000.0), (at(60), 660.0, 1600.0), (at(120), 660.0, 1500.0), (at(180), 780.0, 2800.0)]
    # the third answer is an older one: the fourth is averaged over two minutes
    assert averages_of(seen) == [(None, None), (10.0, 60.0), (None, None), (10.0, 120.0)]
    # the feed started anew 30 s before the second answer
    assert averages_of([(at(0), 600.0, 1000.0), (at(60), 30.0, 90.0), (at(120), 90.0, 90.0)])[1:] == [
        (3.0, 30.0),
        (0.0, 60.0),
    ]
    # first seen soon after its start; then without a figure
    assert averages_of([(at(0), 40.0, 80.0), (at(60), 100.0, None), (at(120), 160.0, 200.0)]) == [
        (2.0, 40.0),
        (None, None),
        (1.0, 120.0),
    ]


def test_a_sparkline_says_what_is_unknown() -> None:
    assert sparkline([None, 0.0, 5.0, 10.0]) == "·▁▅█"
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline([]) == ""


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
    with pytest.raises(WarehouseError, match="pipeline_live"):
        Warehouse(tmp_path / "pipeline_live.duckdb")
