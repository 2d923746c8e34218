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
    "test_uninterrupted_run_changes_every_day",
    "test_kill_at_a_write_leaves_each_day_old_or_new[0.55]",
    "test_kill_at_a_write_leaves_each_day_old_or_new[0.68]",
    "test_kill_at_a_write_leaves_each_day_old_or_new[0.97]",
    "test_kill_at_a_random_moment_leaves_each_day_old_or_new[1]",
    "test_run_completes_after_repeated_kills",
    "test_smaller_responses_never_erase_rows[empty_list]",
    "test_list_is_complete_or_an_error[row_moved]",
    "test_endless_pages_are_an_error[get-livestream]",
    "test_429_pauses_every_thread",
    "test_failing_app_does_not_stop_the_others[404 on everything]",
    "test_budget_is_never_exceeded",
    "test_no_secret_is_left_after_any_failure",
    "test_huge_body_is_refused_without_being_buffered[gzip_bomb]",
    "test_names_and_messages_are_never_interpreted",
    "test_next_run_marks_a_dead_run_as_failed[killed]",
    "test_failed_blocking_check_prevents_publication[a day's rows are gone]",
    "test_full_disk_is_a_one_line_error_and_keeps_the_published_file[0]",
    "test_read_only_home_is_a_one_line_error_and_stays_unchanged",
    "test_busy_home_is_a_one_line_error_without_lock_wait",
    "test_reader_that_reopens_sees_only_complete_files[reading]",
}
"""Of each promise a few attacks that `make test` has time for; `make test-long` runs all of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Attacks take minutes on two shared cores: most are run by `make test-long`."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.name not in IN_DEFAULT:
            item.add_marker(pytest.mark.long)
