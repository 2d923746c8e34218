"""Night after night: the order of landing decides, whatever clocks say; what became less and why; what is fetched again."""

from datetime import datetime, timedelta

import pytest

from pipelines.marts.checks import find_checks, run_check
from pipelines.steps.context import RunContext
from pipelines.storage.warehouse import open_warehouse
from tests.fixed_clock import NOW, clock_set_to
from tests.night_runner import APP, LAST, NIGHT, WEEK, NightRunner, Serve, add_day, at_hour, ids
from tests.parameters import long_except
from tests.pipeline_runner import assert_matches_world, open_published, query

DAY = timedelta(days=1)
OVERALL, LIST, SESSIONS = "get-overall-analytics", "list-livestreams", "get-livestream"


def warned(nights: NightRunner) -> set[str]:
    """The tables that never_shrinks warns about."""
    with open_published(nights.settings) as connection:
        checks = [check for check in find_checks() if check.rule == "never_shrinks"]
        return {check.table for check in checks if not run_check(connection, check).passed}


def change(nights: NightRunner, number: int, ingest: float, viewers: float, at: datetime) -> None:
    """Correct the first livestream's session of the number-th day."""
    nights.world.now = at
    session = nights.world.apps[APP].livestreams[0].sessions[number]
    nights.world.change_session(APP, session.id, ingest_seconds=ingest, viewer_seconds=viewers)


# --- A5: clocks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [3 * DAY, *(pytest.param(days * DAY, marks=pytest.mark.long) for days in (400, -2))])
def test_the_last_landing_is_current_whatever_the_clock_of_a_run(skew: timedelta, serve: Serve) -> None:
    nights = serve(2, is_loaded=True)
    change(nights, 6, 700, 7_000, NOW + DAY)
    run = nights.load(NIGHT, at=NOW + DAY, clock=skew)
    assert bool(run.warnings) is (skew < timedelta(0)), "this machine's clock is behind"
    change(nights, 6, 650, 6_500, NOW + 2 * DAY)
    run = nights.load(NIGHT, at=NOW + 2 * DAY)
    assert_matches_world(nights.settings, nights.world, WEEK)
    assert nights.verdicts() == {"match"}
    assert any("in the future" in line for line in run.warnings) is (skew > DAY)


@pytest.mark.long
def test_the_last_landed_version_of_a_livestream_without_updated_at_is_current(serve: Serve) -> None:
    nights = serve(1)
    (livestream,) = nights.world.apps[APP].livestreams
    for number, (name, skew) in enumerate([("first", 0 * DAY), ("ahead", 3 * DAY), ("last", 0 * DAY), ("end", -DAY)]):
        livestream.name, livestream.stale_clock = name, True
        nights.load(NIGHT, at=NOW + number * timedelta(hours=1), clock=skew)
        assert query(nights.settings, "SELECT name FROM core.livestreams") == [(name,)]


@pytest.mark.long
def test_changes_landed_by_a_killed_run_with_a_slow_clock_are_loaded_by_the_next(serve: Serve) -> None:
    nights = serve(2)
    nights.load(WEEK, clock=3 * DAY)
    change(nights, 0, 999, 9_999, NOW + DAY)
    with clock_set_to(NOW - 5 * DAY):
        nights.land_only(NIGHT)
    nights.load(NIGHT, at=NOW + DAY)
    assert query(nights.settings, "SELECT max(ingest_seconds) FROM core.livestream_sessions") == [(999.0,)]
    assert nights.verdicts() == {"match"}


@pytest.mark.long
def test_changes_that_land_after_raw_was_restored_from_a_backup_are_loaded(serve: Serve) -> None:
    nights = serve(1)
    nights.load(WEEK)
    raw = nights.settings.home / "pipeline_raw.duckdb"
    backup = raw.read_bytes()
    for number in (1, 2):
        nights.load(NIGHT, at=NOW + number * timedelta(hours=1))
    raw.write_bytes(backup)
    change(nights, 0, 999, 9_999, NOW + timedelta(hours=3))
    nights.load(NIGHT, at=NOW + timedelta(hours=3))
    assert query(nights.settings, "SELECT max(ingest_seconds) FROM core.livestream_sessions") == [(999.0,)]


@pytest.mark.long
def test_a_session_of_the_future_is_read_once_the_clock_is_right(serve: Serve) -> None:
    nights = serve(1)
    nights.load((LAST - 60 * DAY, LAST - 60 * DAY), clock=-60 * DAY)
    nights.load(NIGHT)
    assert_matches_world(nights.settings, nights.world, NIGHT)


# --- A3 ---------------------------------------------------------------------------------------------------------


def test_overall_that_returns_to_an_earlier_value_is_a_change(serve: Serve) -> None:
    nights = serve(2, is_loaded=True)
    livestream = nights.world.apps[APP].livestreams[0]
    livestream.stale_clock = True
    extra = nights.world.add_session(
        APP, livestream.id, created_at=at_hour(LAST, 12), ingest_seconds=60.0, viewer_seconds=60.0
    )
    nights.load((LAST, LAST), at=NOW + 8 * DAY)
    nights.world.delete_sessions(APP, [extra.id])
    nights.load((LAST, LAST), at=NOW + 9 * DAY, full=True, allow_shrink=True)
    other = nights.world.add_session(
        APP, livestream.id, created_at=at_hour(LAST, 13), ingest_seconds=60.0, viewer_seconds=60.0
    )
    nights.load((LAST, LAST), at=NOW + 10 * DAY)
    held = query(nights.settings, "SELECT session_id FROM core.livestream_sessions WHERE ingest_seconds = 60")
    assert held == [(other.id,)]
    assert nights.verdicts() == {"match"}
    nights.load((LAST, LAST), at=NOW + 11 * DAY)
    assert nights.simulator.request_count(OVERALL) == 1, "a day that moved last night is not settled"


# --- A9 ---------------------------------------------------------------------------------------------------------


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


def test_sessions_of_long_ago_that_a_list_no_longer_has_warn(serve: Serve) -> None:
    nights = serve(2, is_loaded=True)
    livestream = nights.world.apps[APP].livestreams[0]
    nights.world.delete_sessions(APP, [session.id for session in livestream.sessions[:3]])
    nights.world.now = NOW + timedelta(hours=20)
    livestream.touch(nights.world.now_ms)
    nights.load((LAST, LAST), at=NOW + DAY)
    assert "core.livestream_sessions" in warned(nights)
    assert query(nights.settings, "SELECT count(*) FROM core.livestream_sessions") == [(14,)]


# --- D35 --------------------------------------------------------------------------------------------------------


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


def test_a_smaller_total_that_the_sessions_explain_replaces_the_older_one(serve: Serve) -> None:
    nights = serve(3, is_loaded=True)
    change(nights, 6, 100, 1_000, NOW + timedelta(hours=1))
    nights.load(NIGHT, at=NOW + timedelta(hours=1))
    assert_matches_world(nights.settings, nights.world, WEEK)
    assert warned(nights) == set()
    assert nights.verdicts() == {"match"}


# --- A10 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("figure", long_except([900.0, 100.0], 100.0))
def test_a_session_corrected_outside_the_lookback_has_its_day_fetched_again(figure: float, serve: Serve) -> None:
    nights = serve(2, is_loaded=True)
    change(nights, 0, figure, 10 * figure, NOW + DAY)
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


# --- B17 --------------------------------------------------------------------------------------------------------


def load_last_day(nights: NightRunner, at: datetime) -> RunContext:
    return nights.load((at.date() - DAY, at.date() - DAY), at=at)


def given_up(nights: NightRunner) -> set[str]:
    flagged = query(nights.settings, "SELECT livestream_id FROM ops.livestream_sync WHERE given_up_at IS NOT NULL")
    return {livestream_id for (livestream_id,) in flagged}


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


# --- provisional figures ----------------------------------------------------------------------------------------


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


def test_the_number_of_landings_is_the_homes(serve: Serve) -> None:
    nights = serve(2, is_loaded=True)
    with open_warehouse(nights.settings).open_raw() as connection:
        ((number,),) = connection.execute("SELECT number FROM ops.landings").fetchall()
        arrivals = connection.execute("SELECT max(arrival), min(arrival) FROM raw.livestream_sessions").fetchall()
    assert 0 < arrivals[0][1] <= arrivals[0][0] <= number
