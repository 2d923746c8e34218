"""Corrections cause refetches; abandoned runs leave nothing half done; --allow-shrink deletes only what was fetched."""

from datetime import timedelta

import pytest

from pipelines.normalize import fingerprint
from pipelines.simulator.faults import FaultInjector
from pipelines.storage.warehouse import open_warehouse
from tests.fixed_clock import NOW
from tests.night_runner import APP, LAST, NIGHT, WEEK, Serve, add_day, at_hour
from tests.parameters import long_except
from tests.pipeline_runner import assert_matches_world, query

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
OVERALL, SESSIONS = "get-overall-analytics", "get-livestream"


@pytest.mark.long
def test_a_settled_day_within_the_range_is_fetched_again_where_a_session_was_corrected(serve: Serve) -> None:
    """Seen in a backfill: *overall* of the day was settled, so not fetched, and the day read "overall_behind"."""
    nights = serve(2, is_loaded=True)
    nights.load(WEEK, at=NOW + 8 * DAY)
    nights.load(WEEK, at=NOW + 9 * DAY)
    assert nights.simulator.request_count(OVERALL) == 0, "every day is settled"
    nights.world.change_session(
        APP, nights.world.apps[APP].livestreams[0].sessions[2].id, ingest_seconds=900.0, viewer_seconds=9_000.0
    )
    nights.load(WEEK, at=NOW + 10 * DAY, backfill=True)
    assert nights.simulator.request_count(OVERALL) == 1
    assert nights.verdicts() == {"match"}
    assert_matches_world(nights.settings, nights.world, WEEK)


@pytest.mark.long
def test_a_refused_day_is_not_fetched_twice_in_a_run(serve: Serve) -> None:
    nights = serve(2, is_loaded=True)
    nights.world.now = NOW + DAY
    nights.world.change_session(
        APP, nights.world.apps[APP].livestreams[0].sessions[-1].id, ingest_seconds=900.0, viewer_seconds=9.0
    )
    nights.refuse(lambda request: request.operation == OVERALL, 400)
    nights.load(NIGHT, at=NOW + DAY)
    assert nights.simulator.request_count(OVERALL) <= 2 * 3, "once in each form of the times"


@pytest.mark.long
def test_counts_of_sessions_follow_a_session_found_outside_the_lookback(serve: Serve) -> None:
    nights = serve(2, is_loaded=True)
    nights.world.now = NOW + DAY
    livestream = nights.world.apps[APP].livestreams[0]
    nights.world.add_session(
        APP, livestream.id, created_at=at_hour(WEEK[0], 15), ingest_seconds=600.0, viewer_seconds=6_000.0
    )
    livestream.touch(nights.world.now_ms)
    add_day(nights.world, LAST + DAY)
    nights.load((LAST, LAST + DAY), at=NOW + DAY)
    counts = "SELECT overall_session_count, sessions FROM marts.reconciliation WHERE day = ?"
    assert nights.query_marts(counts, WEEK[0]) == [(3, 3)]
    assert nights.verdicts() == {"match"}


@pytest.mark.long
@pytest.mark.parametrize("kind", long_except(["empty_list", "zeros"], "empty_list"))
def test_a_list_of_sessions_that_was_incomplete_is_fetched_again_by_the_next_night(kind: str, serve: Serve) -> None:
    """Seen: it was fetched after *overall* had last changed, so it was taken as complete, and the session never arrived."""
    nights = serve(2, is_loaded=True)
    add_day(nights.world, LAST + DAY)
    for at in (NOW + DAY, NOW + DAY + HOUR):
        nights.simulator.service.faults = FaultInjector(rate=1.0, kinds=(kind,), operations=(SESSIONS,))
        nights.load((LAST, LAST + DAY), at=at)
        assert nights.simulator.request_count(SESSIONS) == 2
    nights.heal()
    nights.load((LAST, LAST + DAY), at=NOW + DAY + 2 * HOUR)
    assert_matches_world(nights.settings, nights.world, (WEEK[0], LAST + DAY))
    assert nights.verdicts() == {"match"}


@pytest.mark.long
def test_totals_that_sessions_never_reach_cost_two_fetches_and_a_backfill_fetches_again(serve: Serve) -> None:
    """Nothing shows that a reply without sessions was incomplete where none was known before."""
    nights = serve(2)
    nights.simulator.service.faults = FaultInjector(rate=1.0, kinds=("empty_list",), operations=(SESSIONS,))
    for number, requests in enumerate((2, 2, 0)):
        nights.load((LAST, LAST), at=NOW + number * HOUR)
        assert nights.simulator.request_count(SESSIONS) == requests
    nights.heal()
    nights.load((LAST, LAST), at=NOW + 3 * HOUR, backfill=True)
    assert_matches_world(nights.settings, nights.world, (LAST, LAST))
    assert nights.verdicts() == {"match"}


@pytest.mark.long
def test_an_abandoned_full_run_leaves_no_work_to_the_next_night(serve: Serve) -> None:
    nights = serve(90)
    nights.load((LAST, LAST))
    nights.refuse(lambda request: request.operation == SESSIONS, 403)
    nights.load((LAST, LAST), at=NOW + timedelta(hours=1), full=True)
    requested = nights.simulator.request_count(SESSIONS)
    assert requested < 90
    failed = "SELECT count(*) FROM ops.livestream_sync WHERE failed_at IS NOT NULL"
    assert query(nights.settings, failed) == [(requested,)]
    nights.heal()
    nights.load((LAST, LAST), at=NOW + timedelta(hours=2))
    assert nights.simulator.request_count(SESSIONS) == requested
    assert query(nights.settings, failed) == [(0,)]


@pytest.mark.long
def test_an_abandoned_night_marks_what_it_did_not_request(serve: Serve) -> None:
    """Nothing is known of these livestreams: their days are unknown, and the next night fetches them."""
    nights = serve(90)
    nights.refuse(lambda request: request.operation == SESSIONS, 403)
    nights.load((LAST, LAST))
    assert query(nights.settings, "SELECT count(*) FROM ops.livestream_sync WHERE failed_at IS NOT NULL") == [(90,)]
    assert nights.query_marts("SELECT sessions FROM marts.daily_usage") == [(None,)]
    nights.heal()
    nights.load((LAST, LAST), at=NOW + timedelta(hours=1))
    assert_matches_world(nights.settings, nights.world, (LAST, LAST))


@pytest.mark.long
def test_a_livestream_that_is_still_fetched_is_not_noted_as_given_up(serve: Serve) -> None:
    nights = serve(2, LIVEHOUSE_UNFINISHED_DAYS="3")
    both, old = nights.world.apps[APP].livestreams
    for session in (both.sessions[0], both.sessions[-1], old.sessions[0]):
        session.stopped_ms = None
    nights.load(WEEK)
    run = nights.load(NIGHT, at=NOW + DAY)
    assert nights.simulator.request_count(SESSIONS) == 1
    note = "SELECT note FROM ops.loads WHERE table_name = 'raw.livestream_sessions' AND run_id = ?"
    ((line,),) = query(nights.settings, note, run.run_id)
    assert "1 session has not ended for more than 3 days" in line
    assert old.id in line
    assert both.id not in line
    flagged = query(nights.settings, "SELECT livestream_id FROM ops.livestream_sync WHERE given_up_at IS NOT NULL")
    assert flagged == [(old.id,)]
    run = nights.load(NIGHT, at=NOW + DAY, full=True)
    assert query(nights.settings, note, run.run_id) == [(None,)], "--full fetches every livestream"


@pytest.mark.long
def test_allow_shrink_keeps_days_that_a_reply_leaves_out_without_meaning_zero(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen: raw lost the day and core kept it, until a rebuild erased it there, too."""
    nights = serve(1, is_loaded=True)
    daily = """
        SELECT day, session_minutes, recording_minutes FROM core.meeting_sessions_daily JOIN core.recordings_daily
        USING (app_id, day) ORDER BY day
    """
    before = query(nights.settings, daily)
    assert len(before) == 7
    nights.simulator.service.faults = FaultInjector(rate=1.0, kinds=("empty_list",), max_consecutive=10**9)
    nights.load(WEEK, at=NOW + timedelta(hours=1), full=True, allow_shrink=True)
    assert query(nights.settings, daily) == before
    with open_warehouse(nights.settings).open_raw() as connection:
        days = "SELECT stats, count(DISTINCT day) FROM raw.app_analytics GROUP BY ALL ORDER BY ALL"
        assert connection.execute(days).fetchall() == [("recording_stats", 7), ("session_stats", 7)]
    nights.heal()
    monkeypatch.setattr(fingerprint, "RULES_VERSION", fingerprint.RULES_VERSION + 1)
    nights.load((LAST, LAST), at=NOW + timedelta(hours=2))
    assert query(nights.settings, daily) == before
