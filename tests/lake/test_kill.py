"""A run on a lakehouse killed at a write: each day stays as it was or is as it was to be, and nothing is left behind."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from tests.fixed_clock import NOW
from tests.pipeline_runner import DAYS, assert_matches_world, environment_for, run_pipeline
from tests.postgres import Postgres
from tests.promises.conftest import WHOLE
from tests.promises.fault_runner import child_process, published_days, run_killed_at_write, wait_for_exit
from tests.promises.world_factory import change_everything, tiny_world

HELD = """
    SELECT count(*) FROM pg_stat_activity AS session LEFT JOIN pg_locks AS held USING (pid)
    WHERE datname = '{}' AND (held.locktype = 'advisory' OR session.state <> 'idle')
"""


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_promise_1_killed_at_a_write_each_day_is_old_or_new(lake: str, postgres: Postgres, tmp_path: Path) -> None:
    world = tiny_world(now=NOW - timedelta(minutes=10), broken=False)

    with Simulator(world) as simulator:

        def place(name: str) -> dict[str, str]:
            database = lake if name == "before" else postgres.copy(lake)
            return environment_for(
                simulator, tmp_path / name, LIVEHOUSE_WAREHOUSE=database, LIVEHOUSE_DATA_PATH=f"{tmp_path / 'files'}"
            )

        def run_until(environment: dict[str, str], at: int | None) -> list[str]:
            with child_process(run_killed_at_write, environment, DAYS, {"run_id": "next"}, at) as (process, messages):
                writes = messages.recv() if at is None else []
                assert wait_for_exit(process) == (0 if at is None else -9)
            return list(writes)

        begun = Settings(**place("before"))  # type: ignore[arg-type]  # read by alias
        run_pipeline(begun, WHOLE)
        before = published_days(begun)
        change_everything(world, world.now + timedelta(minutes=10))
        finished = place("finished")
        writes = run_until(finished, None)
        after = published_days(Settings(**finished))  # type: ignore[arg-type]  # same
        assert {day for _, _, day in {*before, *after} if before != after} >= set(DAYS)
        for share in (0.35, 0.7, 0.95):
            environment = place(f"killed{share}")
            settings = Settings(**environment)  # type: ignore[arg-type]  # same
            run_until(environment, 1 + round(share * (len(writes) - 1)))
            found = published_days(settings)
            for at in found.keys() | before.keys() | after.keys():
                assert found.get(at) in {before.get(at), after.get(at)}, f"{at} is torn at {share}"
            database = environment["LIVEHOUSE_WAREHOUSE"].rpartition("=")[2]
            assert postgres.execute(HELD.format(database)) == [(0,)]
            run_pipeline(settings, run_id="after")
            assert_matches_world(settings, world)
            assert published_days(settings) == after
