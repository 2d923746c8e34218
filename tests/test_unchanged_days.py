"""A night skips what did not change, and leaves the rows that normalizing everything would leave."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.catalog.raw import RAW_APP_ANALYTICS, RAW_LIVESTREAM_ANALYTICS, RAW_LIVESTREAM_DAYWISE, RAW_LIVESTREAMS
from pipelines.marts.build import find_marts
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.steps import landing
from pipelines.steps.context import open_run
from pipelines.steps.report import refresh_marts
from tests.call_counter import count_calls
from tests.fixed_clock import NOW, clock_set_to
from tests.night_runner import APP, NIGHT, WEEK, NightRunner, ids, names_livestream, world_of
from tests.normalize_again import assert_nothing_was_skipped_wrongly
from tests.pipeline_runner import (
    LoadedWarehouse,
    assert_matches_world,
    query,
    run_without_marts,
    settings_for,
    small_world,
)

HOUR = timedelta(hours=1)


def correct_a_session(nights: NightRunner) -> None:
    session = nights.world.apps[APP].livestreams[0].sessions[-1]
    nights.world.change_session(APP, session.id, ingest_seconds=5.0, viewer_seconds=50.0)


def delete_a_session(nights: NightRunner) -> None:
    nights.world.delete_sessions(APP, [nights.world.apps[APP].livestreams[1].sessions[-1].id])
    correct_a_session(nights)


def break_a_session(nights: NightRunner) -> None:
    session = nights.world.apps[APP].livestreams[0].sessions[-2]
    nights.world.break_record(session.id, "stopped_time", f"{NOW + timedelta(days=3):%Y-%m-%dT%H:%M:%SZ}")
    correct_a_session(nights)


def refuse_a_livestream(nights: NightRunner) -> None:
    correct_a_session(nights)
    nights.refuse(names_livestream(ids(nights.world)[0]))


def keep_days_for_less_time(nights: NightRunner) -> None:
    nights.settings = nights.settings.model_copy(update={"retention_days": 2})


LANDED_TOGETHER = (RAW_LIVESTREAMS, RAW_LIVESTREAM_ANALYTICS, RAW_APP_ANALYTICS, RAW_LIVESTREAM_DAYWISE)
"""Raw tables that get a few rows of each app in a night."""

CHANGES = (correct_a_session, delete_a_session, break_a_session, refuse_a_livestream, keep_days_for_less_time)


def load_nights(nights: NightRunner, *changes: Callable[[NightRunner], None]) -> None:
    """Load a week; then, hour after hour, make a change, load a night, and once more after four days."""
    nights.load(WEEK)
    for hours, change in enumerate((*changes, NightRunner.heal), 1):
        nights.world.now = NOW + hours * HOUR
        change(nights)
        at = NOW + hours * HOUR + (timedelta(days=4) if change is NightRunner.heal else timedelta(0))
        nights.load(NIGHT, at=at)
        with clock_set_to(at):
            assert_nothing_was_skipped_wrongly(nights.settings, f"night {nights.number}", NIGHT)


@pytest.mark.long
def test_nothing_that_changed_is_skipped(tmp_path: Path) -> None:
    with Simulator(world_of(2)) as simulator:
        load_nights(NightRunner(simulator, tmp_path / "home"), break_a_session)


@pytest.mark.parametrize("allow_shrink", [False, True])
def test_what_is_compared_with_the_totals_is_normalized_once(*, allow_shrink: bool, tmp_path: Path) -> None:
    with Simulator(small_world(apps=("a", "b"), livestreams=6, sessions=60, days=30, broken=False)) as simulator:
        settings = settings_for(simulator, tmp_path)
        with count_calls() as counted:
            run_without_marts(settings, allow_shrink=allow_shrink)
        # Of each app; of the one that is compared, twice with --allow-shrink, which removes raw records in between.
        assert counted["normalizations of core.livestream_sessions"] == 2 + allow_shrink
        assert_matches_world(settings, simulator.world)


def test_marts_are_one_transaction_and_in_a_split_night_one_each(loaded: LoadedWarehouse) -> None:
    _, settings = loaded
    with open_run(settings, run_id="marts", full=False, allow_shrink=False, backfill=None) as run:
        for run.other_apps, transactions in (((), 1), (("another",), len(find_marts()))):
            with count_calls() as counted:
                refresh_marts(run, find_marts())
            assert counted["transactions of marts"] == transactions


def test_totals_compared_for_all_apps_hide_no_session(tmp_path: Path) -> None:
    """The first app compares all others, too; a session appears in the first, one between and the last, on old clocks."""
    apps = ("a", "b", "c")
    world = small_world(apps=apps, livestreams=4, sessions=12, days=30, broken=False)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        run_without_marts(settings)
        for number, app_id in enumerate(apps):
            livestream = max(world.apps[app_id].livestreams, key=lambda one: one.updated_ms)
            livestream.stale_clock = True
            at = NOW - timedelta(days=2, minutes=number)
            world.add_session(app_id, livestream.id, created_at=at, ingest_seconds=60.0, viewer_seconds=600.0)
            run_without_marts(settings)
            assert_matches_world(settings, world)


@pytest.mark.long
@pytest.mark.parametrize("change", CHANGES)
def test_nothing_that_changed_is_skipped_after_any_change(
    change: Callable[[NightRunner], None], tmp_path: Path
) -> None:
    with Simulator(world_of(3)) as simulator:
        load_nights(NightRunner(simulator, tmp_path / "home"), change, correct_a_session)


@pytest.mark.long
def test_a_night_without_changes_normalizes_nothing_and_sends_as_many_statements_for_three_apps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One app takes 80 statements to load."""
    monkeypatch.setattr(landing, "_EVERY_SECONDS", 60.0)  # however slow the machine
    with Simulator(
        small_world(apps=("app0", "app1", "app2"), livestreams=1, sessions=2, values="numbers")
    ) as simulator:
        settings = settings_for(simulator, tmp_path)
        for _ in range(2):
            run_without_marts(settings)
        with count_calls() as counted:
            run_without_marts(settings)
    assert (counted["normalized"], counted["audited"]) == (0, 0)
    assert counted["comparisons with the totals"] <= 1, "of all apps at once"
    assert [counted[table.full_name] for table in LANDED_TOGETHER] == [1] * len(LANDED_TOGETHER)
    assert counted["core"] <= 80 + 2, "not one more for each app"
    # One app takes 144; a further one takes two, and eleven that land its sessions.
    assert counted["statements"] <= 175 or settings.lakehouse
    assert_figures_are_as_of_the_last_run(settings)


def assert_figures_are_as_of_the_last_run(settings: Settings) -> None:
    """The days of the range name the last landing, and every load balances with the rows of unchanged days."""
    of_days = "SELECT count(DISTINCT arrival) FROM ops.days WHERE table_name = 'core.recordings_daily'"
    assert query(settings, of_days) == [(1,)]
    assert query(settings, "SELECT min(rows_landed) > 0 FROM ops.loads WHERE table_name = 'core.recordings_daily'") == [
        (True,)
    ]
