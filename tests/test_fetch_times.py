"""A day counts as over only if it was over when it was fetched, whatever was rebuilt from raw afterwards."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipelines.catalog.streams import FACTS
from pipelines.normalize import fingerprint
from pipelines.simulator.server import Simulator
from pipelines.steps import load_core as core
from pipelines.steps import report
from pipelines.steps.context import open_run
from pipelines.steps.days import keep_days_in_raw
from tests.fixed_clock import clock_set_to
from tests.night_runner import APP, LAST, NIGHT, WEEK, NightRunner, add_day, at_hour, ids, names_livestream, world_of
from tests.parameters import long_except
from tests.pipeline_runner import query

DAY = timedelta(days=1)
TODAY = LAST + DAY
NOON, TOMORROW = at_hour(TODAY, 12), at_hour(TODAY + DAY, 3)
ONE = (TODAY, TODAY)


@pytest.fixture
def nights(tmp_path: Path) -> Iterator[NightRunner]:
    with Simulator(world_of(2)) as simulator:
        add_day(simulator.world, TODAY)
        served = NightRunner(simulator, tmp_path / "home")
        served.builds_marts = False
        yield served


def state(nights: NightRunner) -> tuple[bool, bool, str]:
    """Whether the figures of today are final by each mart that judges it."""
    query_ = f"""
        SELECT is_settled, is_complete, verdict FROM marts.daily_usage JOIN marts.reconciliation USING (app_id, day)
        WHERE day = '{TODAY}'
    """
    [(is_settled, is_complete, verdict)] = nights.query_marts(query_)
    return is_settled, is_complete, verdict


def rebuild(nights: NightRunner, at: datetime) -> None:
    with (
        clock_set_to(at),
        open_run(nights.settings, run_id="rebuild", full=False, allow_shrink=False, backfill=None) as run,
    ):
        keep_days_in_raw(run, ONE)
        core.load_livestreams(run)
        for table in FACTS:
            core.load_facts(run, table, ONE)
        report.publish_warehouse(run, None)


OPEN, FINAL = (False, False, "unsettled"), (True, True, "match")


@pytest.mark.long
def test_a_rebuild_does_not_make_a_day_final_that_was_fetched_at_noon(nights: NightRunner) -> None:
    nights.load(ONE, at=NOON)
    assert state(nights) == OPEN
    rebuild(nights, TOMORROW)
    assert state(nights) == OPEN
    hours = f"SELECT DISTINCT loaded_at < TIMESTAMP '{TODAY + DAY}' FROM ops.days WHERE day = '{TODAY}'"
    assert query(nights.settings, hours) == [(True,)]
    nights.load(ONE, at=TOMORROW)
    assert state(nights) == FINAL


@pytest.mark.long
def test_a_rebuild_of_what_a_killed_run_landed_at_noon_is_not_final(nights: NightRunner) -> None:
    nights.load(WEEK)
    with clock_set_to(NOON):
        nights.world.now = NOON
        nights.land_only(ONE)
    rebuild(nights, TOMORROW)
    assert state(nights) == OPEN


@pytest.mark.long
@pytest.mark.parametrize("cause", long_except(["new rules", "a corrected session"], "a corrected session"))
def test_a_run_for_other_days_does_not_make_it_final(
    cause: str, nights: NightRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.load((LAST, TODAY), at=NOON)
    if cause == "new rules":
        monkeypatch.setattr(fingerprint, "RULES_VERSION", fingerprint.RULES_VERSION + 1)
    else:
        nights.world.now = TOMORROW
        corrected = nights.world.apps[APP].livestreams[0].sessions[-1]
        nights.world.change_session(APP, corrected.id, ingest_seconds=900.0, viewer_seconds=9_000.0)
    add_day(nights.world, TODAY + DAY, hour=1)
    nights.load((TODAY + DAY, TODAY + DAY), at=TOMORROW)
    assert state(nights) == OPEN


@pytest.mark.long
def test_a_run_that_began_before_midnight_knows_its_day_as_of_then(nights: NightRunner) -> None:
    """A day that was fetched before midnight is known as of then, although it was loaded after midnight."""
    nights.load(WEEK)
    with clock_set_to(at_hour(TODAY, 23.9)):
        nights.world.now = at_hour(TODAY, 23.9)
        nights.land_only(ONE)
    with (
        clock_set_to(at_hour(TODAY, 23.9)),
        open_run(nights.settings, run_id="late", full=False, allow_shrink=False, backfill=None) as run,
    ):
        run.fetched.add((APP, "raw.livestream_sessions"))
        with clock_set_to(at_hour(TODAY, 24.1)):
            for table in FACTS:
                core.load_facts(run, table, ONE)
    with run.warehouse.open_working() as connection:
        found = connection.execute(
            "SELECT DISTINCT loaded_at < day + INTERVAL 1 DAY FROM ops.days WHERE day = ?", [TODAY]
        )
        assert found.fetchall() == [(True,)]


@pytest.mark.long
def test_a_backfill_resumed_the_next_day_fetches_what_changed_since(nights: NightRunner) -> None:
    """Livestreams fetched by the first part at noon are skipped only if they did not change afterwards."""
    changed, _unchanged = ids(nights.world)
    with clock_set_to(NOON):
        nights.world.now = NOON
        nights.land_only(ONE, backfill=True)
    nights.world.add_session(APP, changed, created_at=at_hour(TODAY, 20), ingest_seconds=0.2, viewer_seconds=0.3)
    # Without counts of sessions, the API's totals do not show a session this short.
    nights.refuse(lambda request: request.operation == "get-livestream-daywise-analytics", 404)
    nights.load(ONE, at=TOMORROW, backfill=True)
    assert query(nights.settings, f"SELECT count(*) FROM core.livestream_sessions WHERE day = '{TODAY}'") == [(3,)]
    assert state(nights)[:2] == (True, True)
    fetched = {
        request.path.rpartition("/")[2]
        for request in nights.simulator.requests
        if request.operation == "get-livestream"
    }
    assert fetched == {changed}


@pytest.mark.long
def test_a_day_is_not_settled_while_a_livestream_that_may_have_a_session_then_is_unread(nights: NightRunner) -> None:
    broken, _ = ids(nights.world)
    nights.refuse(names_livestream(broken))
    nights.load(WEEK, at=TOMORROW)
    settled = "SELECT DISTINCT is_settled FROM marts.daily_usage"
    assert nights.query_marts(settled) == [(False,)]
    noted = "SELECT DISTINCT unread_livestreams FROM ops.days WHERE table_name = 'core.livestream_sessions'"
    assert query(nights.settings, noted) == [(1,)]
    nights.heal()
    nights.load(NIGHT, at=TOMORROW + DAY)
    assert query(nights.settings, noted) == [(0,)]
    assert nights.query_marts(settled) == [(True,)], "days outside of the range too"
