"""Promise 1 when the API forgets: rows it no longer returns are kept and reported, and deleted only on request."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.marts.checks import find_checks, run_check
from pipelines.settings.settings import Settings
from pipelines.simulator.faults import GROUPS, FaultInjector
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from pipelines.storage.warehouse import open_warehouse
from tests.parameters import long_except
from tests.pipeline_runner import (
    APPS,
    DAYS,
    FIRST,
    LAST,
    assert_matches_world,
    environment_for,
    open_published,
    query,
    run_pipeline,
    settings_for,
)
from tests.promises.conftest import WHOLE, LoadHome, Serve, template_world
from tests.promises.fault_runner import published_days, run_cli
from tests.promises.world_factory import tiny_world

ALWAYS = 10**9


def forget(simulator: Simulator, kind: str) -> None:
    """From now on every response has this fault."""
    simulator.service.faults = FaultInjector(rate=1.0, kinds=(kind,), max_consecutive=ALWAYS)


def tables_with_shrink_warning(settings: Settings) -> set[str]:
    """Return the tables whose check `never_shrinks` fails."""
    checks = [check for check in find_checks() if check.rule == "never_shrinks"]
    assert checks
    assert not any(check.is_blocking for check in checks), "older rows are not wrong rows"
    with open_published(settings) as connection:
        return {check.table for check in checks if not run_check(connection, check).passed}


SESSIONS, OVERALL = "core.livestream_sessions", "core.livestream_analytics_daily"
DAYWISE = {"core.meeting_sessions_daily", "core.recordings_daily"}
EXPECTED = {
    "empty_list": {SESSIONS},  # its *daywise* contradicts itself (no days, a total above zero) and is ignored
    "shorter_list": {SESSIONS},
    "zeros": {SESSIONS, OVERALL} | DAYWISE,
    "not_found": {SESSIONS},
}


def test_every_forgetting_fault_is_tested() -> None:
    assert EXPECTED.keys() == set(GROUPS["forgetting"])


@pytest.mark.promise(1)
@pytest.mark.parametrize("kind", long_except(GROUPS["forgetting"], "empty_list"))
def test_smaller_responses_never_erase_rows(kind: str, serve: Serve, load_home: LoadHome, tmp_path: Path) -> None:
    world = template_world()
    simulator = serve(Simulator(world))
    settings = load_home(simulator, tmp_path / "home")
    assert tables_with_shrink_warning(settings) == set()
    before = published_days(settings)
    forget(simulator, kind)
    run_pipeline(settings, run_id="second", full=True)
    assert published_days(settings) == before
    assert_matches_world(settings, world)
    assert tables_with_shrink_warning(settings) >= EXPECTED[kind] - ({SESSIONS} if kind == "not_found" else set())
    reported = dict(query(settings, "SELECT table_name, count(*) FROM ops.shrinks GROUP BY table_name"))
    assert reported.keys() >= EXPECTED[kind] - ({SESSIONS} if kind == "not_found" else set())
    run_pipeline(settings, WHOLE, run_id="third", full=True, allow_shrink=True)  # the home has earlier days too
    after = published_days(settings)
    for table in EXPECTED[kind]:
        held = {at for at in before if at[0] == table}
        assert any(after.get(at) != before[at] for at in held), f"{table} follows the API with --allow-shrink"
    assert tables_with_shrink_warning(settings) == set()


@pytest.mark.long
@pytest.mark.promise(1)
def test_sessions_missing_upstream_are_kept(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(broken=False)
    simulator = serve(Simulator(world))
    settings = settings_for(simulator, tmp_path / "home")
    run_pipeline(settings, run_id="first")
    before = published_days(settings)
    for app_id in APPS:
        world.expire_before(app_id, LAST - timedelta(days=2))
        world.delete_livestream(app_id, world.apps[app_id].livestreams[0].id)
    run_pipeline(settings, run_id="night")
    run_pipeline(settings, run_id="second", full=True)
    assert published_days(settings) == before
    assert tables_with_shrink_warning(settings) == {SESSIONS, OVERALL} | DAYWISE
    shrunk = query(settings, "SELECT DISTINCT day FROM ops.shrinks WHERE table_name = ? ORDER BY day", SESSIONS)
    assert shrunk[0] == (min(day for table, _, day in before if table == SESSIONS),)
    assert query(settings, "SELECT count(*) FROM core.livestreams") == [(16,)]


@pytest.mark.long
@pytest.mark.promise(1)
def test_restored_measures_clear_the_shrink_warning(serve: Serve, tmp_path: Path) -> None:
    simulator = serve(Simulator(tiny_world(broken=False)))
    settings = settings_for(simulator, tmp_path / "home")
    run_pipeline(settings, run_id="first")
    forget(simulator, "zeros")
    run_pipeline(settings, run_id="second", full=True)
    assert tables_with_shrink_warning(settings)
    simulator.service.faults = FaultInjector()
    run_pipeline(settings, run_id="third", full=True)
    assert tables_with_shrink_warning(settings) == set()
    assert_matches_world(settings, simulator.world)


def days_held(settings: Settings, table: str) -> set[object]:
    return {day for (day,) in query(settings, f"SELECT DISTINCT day FROM {table}")}


@pytest.mark.long
@pytest.mark.promise(1)
def test_zero_and_unknown_days_are_distinct(serve: Serve, tmp_path: Path) -> None:
    world = World(now=tiny_world().now)
    for app_id in APPS:
        world.add_app(app_id)
    simulator = serve(Simulator(world))
    daily = (OVERALL, *sorted(DAYWISE))
    days = {FIRST + timedelta(days=number) for number in range(10)}
    young = {day for day in days if day >= world.now.date() - timedelta(days=5)}
    short = {"LIVEHOUSE_RETENTION_DAYS": "5"}
    forgetful = settings_for(simulator, tmp_path / "forgetful", **short)
    run_pipeline(forgetful)
    for table in daily:
        assert days_held(forgetful, table) == young, "an older day without data has no row"
    unknown = query(forgetful, "SELECT DISTINCT day FROM ops.days WHERE NOT is_known")
    assert {day for (day,) in unknown} == days - young
    mindful = settings_for(simulator, tmp_path / "mindful")
    run_pipeline(mindful)
    for table in daily:
        assert days_held(mindful, table) == days, "a day within the retention has a row of zeros"
    with open_warehouse(mindful).open_raw() as connection:
        for raw in ("livestream_analytics", "app_analytics"):
            earlier = "fetched_at = fetched_at - INTERVAL 9 DAY, first_fetched_at = first_fetched_at - INTERVAL 9 DAY"
            connection.execute(f"UPDATE raw.{raw} SET {earlier}")
    run_pipeline(settings_for(simulator, tmp_path / "mindful", **short), run_id="aged", full=True)
    for table in daily:
        assert days_held(mindful, table) == days, "a known zero does not become unknown"
    assert query(mindful, "SELECT count(*) FROM ops.days WHERE NOT is_known") == [(0,)]


def test_allow_shrink_requires_full(serve: Serve, tmp_path: Path) -> None:
    simulator = serve(Simulator(tiny_world()))
    settings = simulator.settings() | {"LIVEHOUSE_HOME": str(tmp_path / "home")}
    status, _, err = run_cli(settings, "backfill", f"{DAYS[0]}", f"{DAYS[1]}", "--allow-shrink")
    assert (status, simulator.request_count()) == (2, 0)
    assert "--full" in err


@pytest.mark.long
@pytest.mark.promise(1)
def test_backfill_command_lets_smaller_responses_replace_larger_ones_on_request(
    serve: Serve, load_home: LoadHome, tmp_path: Path
) -> None:
    simulator = serve(Simulator(template_world()))
    settings = load_home(simulator, tmp_path / "home")
    forget(simulator, "zeros")
    day = LAST - timedelta(days=5)
    environment = environment_for(simulator, settings.home)
    sessions = f"SELECT sum(viewer_seconds) FROM {SESSIONS} WHERE day = ?"
    assert query(settings, sessions, day) > [(0,)]
    command = ("backfill", f"{day}", f"{day}", "--full", "--allow-shrink", "--quiet")
    status, _, err = run_cli(environment, *command)
    assert status == 0, err
    assert query(settings, sessions, day) == [(0,)]
    assert query(settings, "SELECT count(*) FROM ops.shrinks WHERE day = ?", day) == [(0,)]
