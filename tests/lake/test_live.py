"""Polling what is on air with a lakehouse: any machine polls, and a run on any other merges what was observed."""

import shutil
from pathlib import Path

import pytest

from pipelines.errors import AlreadyRunningError, WarehouseError
from pipelines.live.file_staging import STAGING_FILE
from pipelines.live.staging import open_staging
from pipelines.live.steps import merge_observations
from pipelines.live.view import read_snapshot
from pipelines.simulator.server import Simulator
from pipelines.steps.context import open_run
from tests.live_helpers import APP, MINUTE, new_world, staged_rows, start_polling
from tests.pipeline_runner import query, settings_for
from tests.postgres import Postgres

NAME = "Nul \x00, quote ' and 😀"


@pytest.mark.long
def test_what_one_machine_observes_a_run_on_another_merges(lake: str, tmp_path: Path) -> None:
    world = new_world(streams=2)
    world.apps[APP].livestreams[0].name = NAME
    with Simulator(world) as simulator:
        first, second = (settings_for(simulator, tmp_path / name, LIVEHOUSE_WAREHOUSE=lake) for name in "ab")
        with start_polling(simulator, first) as poll, start_polling(simulator, second) as other_poll:
            for stream in world.apps[APP].livestreams:
                world.go_live(APP, stream.id, audience=10)
            world.advance(2 * MINUTE)
            poll()
            before = simulator.request_count("get-session")
            world.end_session(APP, world.apps[APP].livestreams[0].id)
            world.advance(MINUTE)
            [summary] = other_poll()
            assert (summary.on_air, summary.ended) == (1, 1), "the sessions that the other machine found are known"
            assert simulator.request_count("get-session") == before + 1
            [still_on_air] = read_snapshot(first, now=world.now.replace(tzinfo=None)).streams
            assert still_on_air.over_seconds == pytest.approx(60, abs=5)
            assert NAME in {row[9] for row in staged_rows(first)}

            with open_run(second, run_id="night", full=False, allow_shrink=False, backfill=None) as run:
                with pytest.raises(AlreadyRunningError, match=r"a run \(PID \d+ on .+\) needs the request budget"):
                    poll()
                merge_observations(run)
        seen = "SELECT count(*), count(DISTINCT livestream_id) FROM core.live_observations"
        assert query(first, seen) == [(4, 2)]
        assert not list(tmp_path.rglob(STAGING_FILE))


def test_two_machines_poll_different_apps_at_once_and_an_app_once(lake: str, tmp_path: Path) -> None:
    world = new_world()
    world.add_app("stage")
    with Simulator(world) as simulator:
        both, one = (
            settings_for(simulator, tmp_path, LIVEHOUSE_WAREHOUSE=lake, REALTIMEKIT_APP_ID=apps)
            for apps in (f"{APP},stage", "stage")
        )
        with open_staging(both) as staging, staging.lock_polling([APP]):
            with start_polling(simulator, one) as poll:
                assert len(poll()) == 1
            with start_polling(simulator, both) as poll, pytest.raises(AlreadyRunningError, match="another livehouse"):
                poll()
            with start_polling(simulator, one) as poll:
                assert len(poll()) == 1, "a poll that was refused holds no lock"


def test_what_an_earlier_version_staged_in_a_home_is_merged(lake: str, tmp_path: Path) -> None:
    world = new_world(streams=3)
    with Simulator(world) as simulator:
        in_file = settings_for(simulator, tmp_path / "file")
        with start_polling(simulator, in_file) as poll:
            for stream in world.apps[APP].livestreams:
                world.go_live(APP, stream.id, audience=10)
            world.advance(2 * MINUTE)
            poll()
        settings = settings_for(simulator, tmp_path / "home", LIVEHOUSE_WAREHOUSE=lake)
        settings.home.mkdir()
        shutil.copy(in_file.home / STAGING_FILE, settings.home)
        assert len(read_snapshot(settings, now=world.now.replace(tzinfo=None)).streams) == 3
        assert len(staged_rows(settings)) == 3
        assert not (settings.home / STAGING_FILE).exists()


def test_a_lost_connection_is_one_line(lake: str, postgres: Postgres, tmp_path: Path) -> None:
    with Simulator(new_world()) as simulator:
        settings = settings_for(simulator, tmp_path, LIVEHOUSE_WAREHOUSE=lake)
        cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{lake.rpartition('=')[2]}'"
        with pytest.raises(WarehouseError, match="lost the connection") as raised, open_staging(settings) as staging:
            postgres.execute(cut)
            staging.read_polls()
        assert "\n" not in str(raised.value)
