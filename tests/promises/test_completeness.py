"""Promises 2 and 3: no record twice, and complete or an error, while lists move, repeat and miscount."""

import re
from datetime import date
from pathlib import Path

import pytest

from pipelines.errors import IncompleteListError
from pipelines.extract import paging
from pipelines.settings.settings import Settings
from pipelines.simulator.faults import GROUPS, FaultInjector
from pipelines.simulator.server import Simulator
from pipelines.steps.context import RunContext
from tests.parameters import long_except
from tests.pipeline_runner import APPS, DAYS, assert_matches_world, query, run_pipeline, run_without_marts, settings_for
from tests.promises.conftest import Serve
from tests.promises.fault_runner import changed_days, published_days
from tests.promises.world_factory import tiny_world

ALWAYS = 10**9
PAGE = 3
LIST = "list-livestreams"
SESSIONS = "get-livestream"
PAGES = 40
"""More pages than any list of these worlds has."""


def run_is_complete(settings: Settings, simulator: Simulator, days: tuple[date, date] = DAYS) -> bool:
    """Run under faults; return whether the run is complete. If not, its errors name the incomplete lists."""
    before = simulator.request_count()
    errors = [failure.error for failure in run_without_marts(settings, days, run_id="drift").failures]
    failures = [str(error) for error in errors]
    list_requests = 2 * (1 + max(len(app.livestreams) for app in simulator.world.apps.values()))
    assert simulator.request_count() - before <= list_requests * paging.MAX_PASSES * PAGES + 100, "bounded"
    for failure, message in zip(errors, failures, strict=True):
        assert isinstance(failure, IncompleteListError)
        assert "not complete after" in message
        assert "livestream" in message
    return not failures


def assert_incomplete(run: RunContext, pattern: str) -> None:
    """Every failure of the run is an incomplete list whose message matches."""
    assert run.failures
    assert all(isinstance(failure.error, IncompleteListError) for failure in run.failures)
    assert all(re.search(pattern, line) for line in run.failure_lines())


@pytest.mark.promise(3)
@pytest.mark.parametrize("kind", long_except(sorted(set(GROUPS["drift"]) - {"endless_pages"}), "row_moved"))
def test_list_is_complete_or_an_error(kind: str, serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(apps=("aula",), broken=False, stale_clocks=False)
    order = "updated_at" if kind == "row_moved" else "created_at"
    faults = FaultInjector(seed=5, rate=0.25, kinds=(kind,), max_consecutive=1)
    simulator = serve(Simulator(world, per_page_cap=PAGE, order_by=order, faults=faults))
    settings = settings_for(simulator, tmp_path / "home")
    is_complete = run_is_complete(settings, simulator)
    assert {injected for _, injected in faults.injected} == {kind}
    if is_complete and kind != "row_moved":  # a row touched after it was read is younger than the table
        assert_matches_world(settings, world)
    simulator.service.faults = FaultInjector()
    run_without_marts(settings, run_id="quiet")
    assert_matches_world(settings, world)


@pytest.mark.long
@pytest.mark.promise(3)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_all_paging_faults_at_once_leave_a_complete_list_or_an_error(seed: int, serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(seed=seed, broken=False)
    kinds = tuple(sorted(set(GROUPS["drift"]) - {"endless_pages", "row_moved"}))
    faults = FaultInjector(seed=seed, rate=0.1, kinds=kinds, max_consecutive=2)
    simulator = serve(Simulator(world, per_page_cap=PAGE, faults=faults))
    settings = settings_for(simulator, tmp_path / "home")
    if run_is_complete(settings, simulator):
        assert_matches_world(settings, world)
    simulator.service.faults = FaultInjector()
    run_pipeline(settings, run_id="quiet")
    assert_matches_world(settings, world)


@pytest.mark.long
@pytest.mark.promise(3)
@pytest.mark.parametrize("kind", ["page_no_ignored", "repeat_page", "total_high"])
@pytest.mark.parametrize("operation", [LIST, SESSIONS])
def test_list_that_stays_incomplete_is_an_error(kind: str, operation: str, serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(apps=("aula",), livestreams=7, broken=False)
    simulator = serve(Simulator(world, per_page_cap=PAGE))
    settings = settings_for(simulator, tmp_path / "home")
    run_pipeline(settings, run_id="before")
    before = published_days(settings)
    simulator.service.faults = FaultInjector(rate=1.0, kinds=(kind,), operations=(operation,), max_consecutive=ALWAYS)
    requests = simulator.request_count(operation)
    run = run_pipeline(settings, run_id="drift", full=True)
    assert_incomplete(run, r"not complete after 4 passes: .*(repeats|distinct)")
    assert simulator.request_count(operation) - requests <= 7 * paging.MAX_PASSES * PAGES
    assert changed_days(before, published_days(settings)) == set()


@pytest.mark.long
@pytest.mark.promise(3)
@pytest.mark.parametrize("operation", long_except([LIST, SESSIONS], SESSIONS))
def test_endless_pages_are_an_error(
    operation: str, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging.read_all, "__kwdefaults__", {"max_pages": 50})
    assert_endless_pages_are_an_error(operation, 50, serve, tmp_path)


@pytest.mark.promise(3)
@pytest.mark.long
def test_endless_pages_are_an_error_at_the_real_limit(serve: Serve, tmp_path: Path) -> None:
    assert_endless_pages_are_an_error(SESSIONS, paging.MAX_PAGES, serve, tmp_path)


def assert_endless_pages_are_an_error(operation: str, max_pages: int, serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(apps=("aula",), livestreams=1, sessions=12, broken=False)
    simulator = serve(Simulator(world, per_page_cap=PAGE))
    settings = settings_for(simulator, tmp_path / "home")
    if operation == LIST:  # without any list, a first run fails as a whole
        run_without_marts(settings, run_id="before")
    simulator.requests.clear()
    simulator.service.faults = FaultInjector(
        rate=1.0, kinds=("endless_pages",), operations=(operation,), max_consecutive=ALWAYS
    )
    assert_incomplete(run_without_marts(settings, run_id="endless", full=operation == LIST), "no end after ")
    assert simulator.request_count(operation) <= max_pages + 1
    simulator.service.faults = FaultInjector()
    run_without_marts(settings, run_id="after")
    assert_matches_world(settings, world)


@pytest.mark.long
@pytest.mark.promise(2)
def test_repeated_records_are_counted_once(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(broken=False)
    faults = FaultInjector(rate=1.0, kinds=("same_record_twice",), max_consecutive=ALWAYS)
    simulator = serve(Simulator(world, per_page_cap=PAGE, faults=faults))
    settings = settings_for(simulator, tmp_path / "home")
    results = []
    for run in ("first", "second", "third"):
        run_pipeline(settings, run_id=run, full=run == "second", backfill=run == "third")
        assert_matches_world(settings, world)
        results.append(published_days(settings))
    assert results[0] == results[1] == results[2]
    unbalanced = "SELECT * FROM ops.loads WHERE rows_received <> rows_landed + rows_quarantined + rows_duplicate"
    assert query(settings, unbalanced) == []
    assert query(settings, "SELECT sum(rows_duplicate) > 0 FROM ops.loads WHERE run_id = 'first'") == [(True,)]


@pytest.mark.long
@pytest.mark.promise(2)
def test_overlapping_ranges_leave_each_row_once(serve: Serve, tmp_path: Path) -> None:
    simulator = serve(Simulator(tiny_world()))
    settings = settings_for(simulator, tmp_path / "home")
    first, last = DAYS
    middle = first.replace() + (last - first) // 2
    for number, days in enumerate([(first, middle), (middle, last), DAYS, (last, last)]):
        run_pipeline(settings, days, run_id=f"{number}", backfill=number % 2 == 1)
    assert_matches_world(settings, simulator.world)
    for table in ("livestream_sessions", "livestream_analytics_daily", "meeting_sessions_daily", "recordings_daily"):
        key = "session_id" if table == "livestream_sessions" else "day"
        assert query(settings, f"SELECT app_id, {key} FROM core.{table} GROUP BY ALL HAVING count(*) > 1") == []
    assert {app_id for (app_id,) in query(settings, "SELECT DISTINCT app_id FROM core.livestreams")} == set(APPS)
