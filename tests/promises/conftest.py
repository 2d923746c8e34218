"""A home as it was yesterday, and the world as it is now: what attacks start from."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from tests.fixed_clock import NOW, clock_set_to
from tests.pipeline_runner import DAYS, environment_for, run_pipeline, settings_for
from tests.promises.fault_runner import DayRows, child_process, run_killed_at_write, stored_days, wait_for_exit
from tests.promises.world_factory import EARLIER, change_everything, tiny_world

WHOLE = (EARLIER[0], DAYS[1])


Serve = Callable[[Simulator], Simulator]


@dataclass(frozen=True)
class Change:
    """A home loaded before its world changed, and what a run that is not killed makes of it."""

    simulator: Simulator
    template: Path
    before: DayRows
    after: DayRows
    writes: list[str]

    def copy(self, home: Path) -> Settings:
        """A home as it was before the change."""
        shutil.copytree(self.template, home)
        return settings_for(self.simulator, home)


@pytest.fixture(scope="session")
def change(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Change]:
    template, finished = tmp_path_factory.mktemp("before") / "home", tmp_path_factory.mktemp("after") / "home"
    world = tiny_world(now=NOW - timedelta(minutes=10), broken=False)
    with Simulator(world) as simulator, clock_set_to(NOW):
        run_pipeline(settings_for(simulator, template), WHOLE)
        change_everything(world, world.now + timedelta(minutes=10))
        shutil.copytree(template, finished)
        environment = environment_for(simulator, finished)
        with child_process(run_killed_at_write, environment, DAYS, {"run_id": "next"}, None) as (process, told):
            writes = told.recv()
            assert wait_for_exit(process) == 0
        before, after = stored_days(template / "warehouse.duckdb"), stored_days(finished / "warehouse.duckdb")
        yield Change(simulator, template, before, after, writes)


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Simulator] = []

    def begin(simulator: Simulator) -> Simulator:
        started.append(simulator)
        return simulator.__enter__()

    yield begin
    for simulator in started:
        simulator.__exit__(None, None, None)


IN_DEFAULT = {
    "test_a_run_that_is_not_killed_changes_every_day",
    "test_promise_1_killed_at_a_write_each_day_is_old_or_new[0.55]",
    "test_promise_1_killed_at_a_write_each_day_is_old_or_new[0.68]",
    "test_promise_1_killed_at_a_write_each_day_is_old_or_new[0.97]",
    "test_promise_1_killed_at_any_moment_each_day_is_old_or_new[1]",
    "test_promise_1_killed_again_and_again_it_gets_there",
    "test_promise_1_never_shrinks[empty_list]",
    "test_promise_3_complete_or_not_done[row_moved]",
    "test_promise_3_endless_pages_end_in_an_error[get-livestream]",
    "test_promise_4_a_429_holds_every_thread",
    "test_promise_4_one_app_fails_and_the_others_go_on[404 on everything]",
    "test_promise_4_a_server_that_counts_exactly_has_nothing_to_refuse",
    "test_promise_5_no_secret_anywhere_after_every_failure",
    "test_promise_6_a_huge_body_is_refused_and_not_held[gzip_bomb]",
    "test_promise_names_and_messages_stay_data",
    "test_a_run_whose_process_is_dead_is_marked_failed_by_the_next[killed]",
    "test_what_would_be_wrong_is_not_published[a day's rows are gone]",
    "test_a_full_disk_is_one_line_and_the_copy_stays[0]",
    "test_a_home_that_cannot_be_written_is_one_line_and_stays",
    "test_who_may_not_wait_is_told_in_one_line",
    "test_who_opens_it_over_and_over_sees_whole_copies[reading]",
}
"""Of each promise a few attacks that `make test` has time for; `make test-long` runs all of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Attacks take minutes on two shared cores: most are run by `make test-long`."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.name not in IN_DEFAULT:
            item.add_marker(pytest.mark.long)
