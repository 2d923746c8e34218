"""Lists and totals that became smaller: what is kept, what is replaced, and which table warns."""

from datetime import timedelta

import pytest

from pipelines.marts.checks import find_checks, run_check
from tests.fixed_clock import NOW
from tests.night_runner import APP, LAST, NIGHT, WEEK, NightRunner, Serve, ids
from tests.parameters import long_except
from tests.pipeline_runner import assert_matches_world, open_published, query

DAY = timedelta(days=1)


def warned(nights: NightRunner) -> set[str]:
    """The tables that never_shrinks warns about."""
    with open_published(nights.settings) as connection:
        checks = [check for check in find_checks() if check.rule == "never_shrinks"]
        return {check.table for check in checks if not run_check(connection, check).passed}


@pytest.mark.long
def test_a_list_of_livestreams_that_comes_back_empty_warns_and_erases_nothing(serve: Serve) -> None:
    nights = serve(5, is_loaded=True)
    app = nights.world.apps[APP]
    kept, by_id = list(app.livestreams), dict(app.by_id)
    for number in (1, 2):
        app.livestreams.clear()
        nights.load(NIGHT, at=NOW + number * timedelta(hours=1))
        assert warned(nights) == {"core.livestreams"}
        assert query(nights.settings, "SELECT count(*) FROM core.livestreams") == [(5,)]
        assert query(nights.settings, "SELECT count(*) FROM core.livestream_sessions") == [(35,)]
    app.livestreams.extend(kept)
    app.by_id.update(by_id)
    nights.load(NIGHT, at=NOW + timedelta(hours=3))
    assert warned(nights) == set()
    assert_matches_world(nights.settings, nights.world, WEEK)


@pytest.mark.long
@pytest.mark.parametrize("missing", long_except([5, 2], 5))
def test_allow_shrink_drops_no_sessions_of_livestreams_that_only_the_list_lacks(missing: int, serve: Serve) -> None:
    nights = serve(5, is_loaded=True)
    del nights.world.apps[APP].livestreams[:missing]
    nights.load(WEEK, at=NOW + DAY, full=True, allow_shrink=True)
    assert query(nights.settings, "SELECT count(*) FROM core.livestream_sessions") == [(35,)]
    assert warned(nights) == set()


@pytest.mark.long
def test_a_shorter_list_of_livestreams_warns_once(serve: Serve) -> None:
    nights = serve(5, is_loaded=True)
    gone = ids(nights.world)[2:]
    for livestream_id in gone:
        app = nights.world.apps[APP]
        app.livestreams.remove(app.by_id[livestream_id])
    nights.load(NIGHT, at=NOW + DAY)
    assert "core.livestreams" in warned(nights)
    shrinks = query(nights.settings, "SELECT record_id FROM ops.shrinks WHERE table_name = 'core.livestreams'")
    assert {record_id for (record_id,) in shrinks} == set(gone)
    nights.load(NIGHT, at=NOW + 2 * DAY)
    assert "core.livestreams" not in warned(nights)


@pytest.mark.long
def test_sessions_of_long_ago_that_a_list_no_longer_has_warn(serve: Serve) -> None:
    nights = serve(2, is_loaded=True)
    livestream = nights.world.apps[APP].livestreams[0]
    nights.world.delete_sessions(APP, [session.id for session in livestream.sessions[:3]])
    nights.world.now = NOW + timedelta(hours=20)
    livestream.touch(nights.world.now_ms)
    nights.load((LAST, LAST), at=NOW + DAY)
    assert "core.livestream_sessions" in warned(nights)
    assert query(nights.settings, "SELECT count(*) FROM core.livestream_sessions") == [(14,)]


@pytest.mark.long
def test_a_smaller_total_that_the_sessions_do_not_explain_does_not_replace_the_older_one(serve: Serve) -> None:
    nights = serve(3, is_loaded=True)
    nights.world.delete_livestream(APP, ids(nights.world)[0])
    for number in (1, 2):
        nights.load(NIGHT, at=NOW + number * timedelta(hours=1), full=number == 2)
        totals = query(
            nights.settings, "SELECT DISTINCT ingest_seconds, livestream_count FROM core.livestream_analytics_daily"
        )
        assert totals == [(1_800.0, 3)]
        assert "core.livestream_analytics_daily" in warned(nights)
        assert nights.verdicts() == {"match"}
    nights.load(NIGHT, at=NOW + timedelta(hours=3), full=True, allow_shrink=True)
    totals = query(
        nights.settings, "SELECT DISTINCT ingest_seconds FROM core.livestream_analytics_daily WHERE day >= ?", NIGHT[0]
    )
    assert totals == [(1_200.0,)]


@pytest.mark.long
def test_a_smaller_total_that_the_sessions_explain_replaces_the_older_one(serve: Serve) -> None:
    nights = serve(3, is_loaded=True)
    nights.correct_session(6, 100, 1_000, NOW + timedelta(hours=1))
    nights.load(NIGHT, at=NOW + timedelta(hours=1))
    assert_matches_world(nights.settings, nights.world, WEEK)
    assert warned(nights) == set()
    assert nights.verdicts() == {"match"}


@pytest.mark.long
@pytest.mark.parametrize(
    "end", [(0.0, 0.0), *(pytest.param(end, marks=pytest.mark.long) for end in ((None, None), (1.5, 0.0)))]
)
def test_figures_of_an_ended_session_replace_its_placeholders(
    end: tuple[float | None, float | None], serve: Serve
) -> None:
    nights = serve(1)
    session = nights.world.apps[APP].livestreams[0].sessions[-1]
    stopped, session.stopped_ms = session.stopped_ms, None
    session.ingest_seconds = session.viewer_seconds = 60.0
    nights.world.apps[APP].livestreams[0].status = "LIVE"
    nights.load(NIGHT)
    session.stopped_ms, (session.ingest_seconds, session.viewer_seconds) = stopped, end
    nights.load(NIGHT, at=NOW + timedelta(hours=1))
    held = "SELECT ingest_seconds, viewer_seconds FROM core.livestream_sessions WHERE session_id = ?"
    assert query(nights.settings, held, session.id) == [end]
    assert warned(nights) <= {"core.livestream_analytics_daily"}
