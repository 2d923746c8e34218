"""Several workers share the apps of a night, and none keeps a run waiting while another one is free."""

from pathlib import Path

import psycopg
import pytest

from pipelines.orchestration.resources import APPS
from pipelines.simulator.server import Simulator
from pipelines.storage.postgres import try_advisory_lock
from tests.deploy.topology import running_topology
from tests.pipeline_runner import LAST, assert_matches_world, environment_for, settings_for, small_world
from tests.postgres import Postgres

NIGHT = (LAST, LAST)
TWELVE = tuple(f"app{number:02}" for number in range(12))

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(autouse=True)
def celery() -> None:
    pytest.importorskip("dagster_celery", reason="the extra `deploy` is not installed")


def test_four_workers_share_twelve_apps(postgres: Postgres, lake: str, tmp_path: Path) -> None:
    world = small_world(apps=TWELVE, livestreams=3, sessions=12, days=5, on_air=0)
    place = {"LIVEHOUSE_WAREHOUSE": lake, "LIVEHOUSE_DATA_PATH": f"{tmp_path / 'files'}"}
    with Simulator(world) as simulator:
        with running_topology(postgres, tmp_path, environment_for(simulator, tmp_path, **place)) as services:
            workers = [f"worker{number}" for number in range(4)]
            for name in workers:
                services.start_worker(name)
            for first in range(0, 12, 3):
                services.launch("nightly", NIGHT, **{APPS: ",".join(TWELVE[first : first + 3])})
            services.start_daemon()
            services.wait_for(lambda: services.statuses() == ["SUCCESS"] * 4, 500)
            executed = [len({*services.homes[name].rglob("compute_logs")}) for name in workers]
        assert executed == [1, 1, 1, 1]
        settings = settings_for(simulator, tmp_path / "reader", **place)
        assert_matches_world(settings, world, NIGHT)


def test_a_busy_worker_keeps_no_run_waiting_and_a_terminated_run_is_canceled(
    postgres: Postgres, lake: str, tmp_path: Path
) -> None:
    world = small_world(livestreams=3, sessions=12, days=5, on_air=0)
    place = {"LIVEHOUSE_WAREHOUSE": lake, "LIVEHOUSE_DATA_PATH": f"{tmp_path / 'files'}"}
    blocked = next(iter(world.apps))
    with Simulator(world) as simulator:
        with (
            running_topology(postgres, tmp_path, environment_for(simulator, tmp_path, **place)) as services,
            psycopg.connect(postgres.conninfo(lake.rpartition("=")[2]), autocommit=True) as session,
        ):
            if not services.has_redis:
                pytest.skip("redis-server is not installed")
            assert try_advisory_lock(session, f"raw.livestreams of {blocked}")
            services.start_worker("worker1")
            services.start_daemon()
            services.launch("nightly", NIGHT, **{APPS: blocked})
            services.wait_for(lambda: services.statuses() == ["STARTED"])
            services.start_worker("worker2")
            for _ in range(3):
                services.launch("upkeep", NIGHT)
            services.wait_for(lambda: services.statuses() == ["STARTED", "SUCCESS", "SUCCESS", "SUCCESS"], 300)
            services.terminate(0)
            services.wait_for(lambda: services.statuses()[0] == "CANCELED", 60)
            services.launch("upkeep", NIGHT)
            services.wait_for(lambda: services.statuses() == ["CANCELED", *["SUCCESS"] * 4], 300)
