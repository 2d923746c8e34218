"""Corrected days are fetched again once, sessions that never end for a limited number of days."""

from datetime import datetime, timedelta

import pytest

from pipelines.steps.context import RunContext
from tests.fixed_clock import NOW
from tests.night_runner import APP, LAST, NIGHT, WEEK, NightRunner, Serve, add_day, ids
from tests.parameters import long_except
from tests.pipeline_runner import assert_matches_world, query

DAY = timedelta(days=1)
OVERALL, SESSIONS = "get-overall-analytics", "get-livestream"


@pytest.mark.long
@pytest.mark.parametrize("figure", long_except([900.0, 100.0], 100.0))
def test_a_session_corrected_outside_the_lookback_has_its_day_fetched_again(figure: float, serve: Serve) -> None:
    nights = serve(2, is_loaded=True)
    nights.correct_session(0, figure, 10 * figure, NOW + DAY)
    add_day(nights.world, LAST + DAY)
    nights.load((LAST, LAST + DAY), at=NOW + DAY)
    assert nights.simulator.request_count(OVERALL) == 3, "the two days of the night, and the one that changed"
    assert nights.verdicts() == {"match"}
    assert_matches_world(nights.settings, nights.world, (WEEK[0], LAST + DAY))
    nights.load((LAST + DAY, LAST + DAY), at=NOW + DAY)
    assert nights.simulator.request_count(OVERALL) == 1, "once"
    unbalanced = "FROM ops.loads WHERE rows_received <> rows_landed + rows_quarantined + rows_duplicate"
    assert query(nights.settings, unbalanced) == []
    assert (
        query(
            nights.settings,
            "FROM (SELECT count(*) AS n FROM ops.loads GROUP BY run_id, table_name, app_id) WHERE n > 1",
        )
        == []
    )


def load_last_day(nights: NightRunner, at: datetime) -> RunContext:
    return nights.load((at.date() - DAY, at.date() - DAY), at=at)


def given_up(nights: NightRunner) -> set[str]:
    flagged = query(nights.settings, "SELECT livestream_id FROM ops.livestream_sync WHERE given_up_at IS NOT NULL")
    return {livestream_id for (livestream_id,) in flagged}


@pytest.mark.long
def test_sessions_that_never_end_are_fetched_for_so_many_days_only(serve: Serve) -> None:
    nights = serve(6, LIVEHOUSE_UNFINISHED_DAYS="3")
    for livestream in nights.world.apps[APP].livestreams[:4]:
        livestream.sessions[-1].stopped_ms = None
        livestream.status = "LIVE"
    nights.load(WEEK)
    for age, request in ((2, 4), (3, 0)):
        run = load_last_day(nights, NOW + age * DAY)
        assert nights.simulator.request_count(SESSIONS) == request
        note = "SELECT note FROM ops.loads WHERE table_name = 'raw.livestream_sessions' AND run_id = ?"
        ((found,),) = query(nights.settings, note, run.run_id)
        assert ("4 sessions have not ended for more than 3 days" in (found or "")) is (request == 0)
    assert given_up(nights) == set(ids(nights.world)[:4])


@pytest.mark.long
def test_a_livestream_that_was_given_up_is_fetched_once_its_clock_moves(serve: Serve) -> None:
    nights = serve(2, LIVEHOUSE_UNFINISHED_DAYS="3")
    for livestream in nights.world.apps[APP].livestreams:
        livestream.sessions[-1].stopped_ms = None
        livestream.status = "LIVE"
    nights.load(WEEK)
    load_last_day(nights, NOW + 40 * DAY)
    assert given_up(nights) == set(ids(nights.world))
    nights.world.apps[APP].livestreams[0].sessions[-1].stopped_ms = nights.world.now_ms
    nights.world.apps[APP].livestreams[0].touch(nights.world.now_ms)
    load_last_day(nights, NOW + 41 * DAY)
    assert nights.simulator.request_count(SESSIONS) == 1
    load_last_day(nights, NOW + 41 * DAY + timedelta(hours=1))
    assert given_up(nights) == {ids(nights.world)[1]}


@pytest.mark.long
@pytest.mark.parametrize("status", long_except(["LIVE", "INVOKED"], "LIVE"))
def test_livestreams_deleted_while_on_air_cost_no_request(status: str, serve: Serve) -> None:
    nights = serve(6)
    for livestream in nights.world.apps[APP].livestreams[:4]:
        livestream.sessions[-1].stopped_ms = None
        livestream.status = status
    nights.load(WEEK)
    for livestream_id in ids(nights.world)[:4]:
        nights.world.delete_livestream(APP, livestream_id)
    nights.load(NIGHT, at=NOW + DAY)
    assert nights.simulator.request_count(SESSIONS) == 0
    assert query(nights.settings, "SELECT count(*) FROM core.livestream_sessions") == [(42,)]
