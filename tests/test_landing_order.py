"""Night after night: the order of landing decides, whatever clocks say."""

from datetime import timedelta

import pytest

from pipelines.storage.warehouse import open_warehouse
from tests.fixed_clock import NOW, clock_set_to
from tests.night_runner import APP, LAST, NIGHT, WEEK, Serve, at_hour
from tests.pipeline_runner import assert_matches_world, query

DAY = timedelta(days=1)
OVERALL = "get-overall-analytics"


@pytest.mark.long
@pytest.mark.parametrize("skew", [3 * DAY, *(pytest.param(days * DAY, marks=pytest.mark.long) for days in (400, -2))])
def test_the_last_landing_is_current_whatever_the_clock_of_a_run(skew: timedelta, serve: Serve) -> None:
    nights = serve(2, is_loaded=True)
    nights.correct_session(6, 700, 7_000, NOW + DAY)
    run = nights.load(NIGHT, at=NOW + DAY, clock=skew)
    assert bool(run.warnings) is (skew < timedelta(0)), "this machine's clock is behind"
    nights.correct_session(6, 650, 6_500, NOW + 2 * DAY)
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
    nights.correct_session(0, 999, 9_999, NOW + DAY)
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
    nights.correct_session(0, 999, 9_999, NOW + timedelta(hours=3))
    nights.load(NIGHT, at=NOW + timedelta(hours=3))
    assert query(nights.settings, "SELECT max(ingest_seconds) FROM core.livestream_sessions") == [(999.0,)]


@pytest.mark.long
def test_a_session_of_the_future_is_read_once_the_clock_is_right(serve: Serve) -> None:
    nights = serve(1)
    nights.load((LAST - 60 * DAY, LAST - 60 * DAY), clock=-60 * DAY)
    nights.load(NIGHT)
    assert_matches_world(nights.settings, nights.world, NIGHT)


@pytest.mark.long
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


@pytest.mark.long
def test_the_number_of_landings_is_the_homes(serve: Serve) -> None:
    nights = serve(2, is_loaded=True)
    with open_warehouse(nights.settings).open_raw() as connection:
        ((number,),) = connection.execute("SELECT number FROM ops.landings").fetchall()
        arrivals = connection.execute("SELECT max(arrival), min(arrival) FROM raw.livestream_sessions").fetchall()
    assert 0 < arrivals[0][1] <= arrivals[0][0] <= number
