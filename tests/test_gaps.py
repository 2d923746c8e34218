"""Parts of an app's data that cannot be fetched: everything else is landed, loaded and published, and the gap is named."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest

from pipelines.clock import days_from
from pipelines.errors import ApiError
from pipelines.simulator.access import LoggedRequest
from tests.fixed_clock import NOW
from tests.night_runner import APP, LAST, NIGHT, WEEK, NightRunner, Serve, add_day, ids, names_livestream
from tests.parameters import long_except
from tests.pipeline_runner import assert_matches_world, query

DAY = timedelta(days=1)
OVERALL, DAYWISE = "get-overall-analytics", "get-daywise-analytics"


def notes(nights: NightRunner, table: str) -> str:
    ((note,),) = query(
        nights.settings,
        "SELECT note FROM ops.loads WHERE run_id = ? AND table_name = ?",
        f"night {nights.number}",
        table,
    )
    return note or ""


def sessions_by_livestream(nights: NightRunner) -> dict[str, int]:
    return dict(query(nights.settings, "SELECT livestream_id, count(*) FROM core.livestream_sessions GROUP BY ALL"))


@pytest.mark.long
@pytest.mark.parametrize("status", long_except([500, 400, 403], 500))
def test_a_livestream_that_cannot_be_read_takes_nothing_with_it(status: int, serve: Serve) -> None:
    nights = serve(5)
    first, *others = ids(nights.world)
    nights.refuse(names_livestream(first), status)
    run = nights.load(WEEK)
    assert sessions_by_livestream(nights) == dict.fromkeys(others, 7)
    (line,) = run.failure_lines()
    assert f"sessions of livestream {first}: " in line
    assert str(status) in line
    assert notes(nights, "raw.livestream_sessions").startswith(f"incomplete: sessions of livestream {first}")
    held = query(nights.settings, "SELECT livestream_id, failure FROM ops.livestream_sync WHERE failed_at IS NOT NULL")
    assert [(held_id, str(status) in why) for held_id, why in held] == [(first, True)]
    nights.load(NIGHT, at=NOW + DAY)
    assert sessions_by_livestream(nights) == dict.fromkeys(others, 7)
    nights.heal()
    assert nights.load((LAST, LAST), at=NOW + 2 * DAY).failures == []
    request = [r.path.rpartition("/")[2] for r in nights.simulator.requests if r.operation == "get-livestream"]
    assert request == [first], "its own requests alone"
    assert_matches_world(nights.settings, nights.world, WEEK)
    assert query(nights.settings, "FROM ops.livestream_sync WHERE failed_at IS NOT NULL OR failure IS NOT NULL") == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("livestreams", "bad"),
    [
        (60, slice(0, 18)),
        *(
            pytest.param(200, bad, marks=pytest.mark.long)
            for bad in (slice(0, 60), slice(0, 200, 2), slice(150, 200), slice(1, 200))
        ),
    ],
)
def test_readable_livestreams_are_fetched_the_same_night_wherever_they_are_in_the_list(
    livestreams: int, bad: slice, serve: Serve
) -> None:
    nights = serve(livestreams)
    every = ids(nights.world)
    broken = every[bad]
    nights.refuse(names_livestream(*broken), 400 if len(broken) > 150 else 500)
    run = nights.load((LAST, LAST))
    assert sessions_by_livestream(nights).keys() == set(every) - set(broken)
    assert len(run.failures) == 1
    assert f"{len(broken)} livestreams" in run.failure_lines()[0]
    add_day(nights.world, LAST + DAY)
    nights.load((LAST, LAST + DAY), at=NOW + DAY)
    request = [r.path.rpartition("/")[2] for r in nights.simulator.requests if r.operation == "get-livestream"]
    readable = [at for at, livestream_id in enumerate(request) if livestream_id not in broken]
    assert max(readable) < len(every) - len(broken) + 16, "those that failed last night come last"
    nights.heal()
    nights.load((LAST, LAST), at=NOW + 2 * DAY)
    assert_matches_world(nights.settings, nights.world, (LAST, LAST + DAY))


def days_of(operation: str, *ages: int) -> Callable[[LoggedRequest], bool]:
    """Requests of an operation that touch a day of these ages."""
    names = {OVERALL: ("start_time", "end_time"), DAYWISE: ("start_date", "end_date")}[operation]
    days = {LAST - age * DAY for age in ages}

    def touches(request: LoggedRequest) -> bool:
        if request.operation != operation:
            return False
        first, last = (day_of(request.query[name]) for name in names)
        return bool(days & set(days_from(first, last)))

    return touches


def day_of(text: str) -> date:
    if text.isdecimal():
        return datetime.fromtimestamp(int(text), UTC).date()
    return date.fromisoformat(text[:10])


TABLES = {OVERALL: ["livestream_analytics_daily"], DAYWISE: ["meeting_sessions_daily", "recordings_daily"]}
RAW = {OVERALL: "raw.livestream_analytics", DAYWISE: "raw.app_analytics"}


EVERY = (0, 1, 2, 3, 4, 5, 6)
REFUSED = [(OVERALL, (4, 5, 6), 400), (DAYWISE, (3,), 500)]
REFUSED_TOO = [
    (operation, ages, status)
    for operation in (OVERALL, DAYWISE)
    for ages in ((6,), (0,), (2, 4), (4, 5, 6), EVERY)
    for status in (400, 422, 403, 500)
    if (operation, ages, status) not in REFUSED
]


@pytest.mark.long
@pytest.mark.parametrize(
    ("operation", "ages", "status"),
    [*REFUSED, *(pytest.param(*case, marks=pytest.mark.long) for case in REFUSED_TOO)],
)
def test_a_day_that_is_refused_is_unknown_and_everything_else_is_loaded(
    operation: str, ages: tuple[int, ...], status: int, serve: Serve
) -> None:
    nights = serve(3)
    nights.refuse(days_of(operation, *ages), status)
    run = nights.load(WEEK)
    refused = {LAST - age * DAY for age in ages}
    if operation == DAYWISE and status in {403, 500}:
        refused = set(days_from(*WEEK))  # one request covers the range; these statuses are not about its days
    known = set(days_from(*WEEK)) - refused
    assert sessions_by_livestream(nights) == dict.fromkeys(ids(nights.world), 7)
    for table in TABLES[operation]:
        assert {day for (day,) in query(nights.settings, f"SELECT day FROM core.{table}")} == known
        listed = "SELECT day FROM ops.days WHERE table_name = ? AND is_known"
        assert {day for (day,) in query(nights.settings, listed, f"core.{table}")} == known
    assert len(run.failure_lines()) == 1
    if known:
        for day in refused & {min(refused), max(refused)}:
            assert f"{day}" in notes(nights, RAW[operation])
    column = "overall_ingest_seconds" if operation == OVERALL else "meeting_minutes"
    mart = "reconciliation" if operation == OVERALL else "daily_usage"
    unknown = nights.query_marts(f"SELECT day FROM marts.{mart} WHERE {column} IS NULL")
    assert {day for (day,) in unknown} == refused
    sums = "SELECT DISTINCT ingest_seconds FROM marts.daily_usage"
    assert nights.query_marts(sums) == [(1_800.0,)]
    nights.heal()
    assert nights.load(WEEK, at=NOW + DAY).failures == []
    assert_matches_world(nights.settings, nights.world, WEEK)


def test_daywise_refused_for_every_day_costs_a_few_requests(serve: Serve) -> None:
    nights = serve(1)
    days = (LAST - 99 * DAY, LAST)
    nights.refuse(lambda request: request.operation in {DAYWISE, OVERALL}, 400)
    nights.land_only(days)
    assert nights.simulator.request_count(DAYWISE) <= 10 * 8


@pytest.mark.long
def test_daywise_older_than_the_source_keeps_is_found_in_a_few_requests(serve: Serve) -> None:
    nights = serve(1)
    nights.refuse(days_of(DAYWISE, *range(3, 60)), 400)
    nights.load((LAST - 59 * DAY, LAST))
    held = query(nights.settings, "SELECT day FROM core.meeting_sessions_daily")
    assert {day for (day,) in held} == set(days_from(LAST - 2 * DAY, LAST))
    assert nights.simulator.request_count(DAYWISE) <= 3 * 8 + 16


@pytest.mark.long
def test_without_the_list_the_totals_are_loaded_and_the_sessions_are_unknown(serve: Serve) -> None:
    nights = serve(3)
    nights.refuse(lambda request: request.operation == "list-livestreams", 500)
    run = nights.load(WEEK)
    assert len(run.failure_lines()) == 1
    known = dict(query(nights.settings, "SELECT table_name, count(*) FROM ops.days WHERE is_known GROUP BY ALL"))
    assert known == dict.fromkeys([f"core.{name}" for names in TABLES.values() for name in names], 7)
    sessions = "SELECT DISTINCT sessions_ingest_seconds, verdict FROM marts.reconciliation"
    assert nights.query_marts(sessions) == [(None, "unknown")]
    nights.heal()
    nights.load(WEEK)
    assert_matches_world(nights.settings, nights.world, WEEK)


def test_nothing_answers_is_an_error_and_publishes_nothing(serve: Serve) -> None:
    nights = serve(3)
    nights.refuse(lambda _: True, 500)
    with pytest.raises(ApiError, match="500"):
        nights.load(WEEK)
    assert not nights.settings.warehouse.exists()


def test_a_refused_token_ends_the_run_at_its_first_request(serve: Serve) -> None:
    nights = serve(3)
    nights.refuse(lambda _: True, 401)
    with pytest.raises(ApiError, match="401"):
        nights.load(WEEK)
    assert nights.simulator.request_count() == 1


@pytest.mark.long
def test_empty_days_are_unknown_while_a_livestream_that_may_have_had_sessions_cannot_be_read(serve: Serve) -> None:
    nights = serve(1)
    (only,) = ids(nights.world)
    before = WEEK[0] - 30 * DAY
    nights.refuse(names_livestream(only), 500)
    nights.load((before, LAST))
    days = dict(
        query(nights.settings, "SELECT day, is_known FROM ops.days WHERE table_name = 'core.livestream_sessions'")
    )
    created = WEEK[0] - 3 * DAY  # an hour before it was made
    assert {day for day, is_known in days.items() if is_known} == set(days_from(before, created - DAY))
    figures = nights.query_marts("SELECT DISTINCT ingest_seconds FROM marts.daily_usage WHERE day >= ?", created)
    assert figures == [(None,)]
    nights.heal()
    nights.load((LAST, LAST), at=NOW + DAY)
    assert_matches_world(nights.settings, nights.world, (before, LAST))
    assert query(nights.settings, "FROM ops.days WHERE NOT is_known") == []


@pytest.mark.long
@pytest.mark.parametrize(
    "allow", ["a livestream", *(pytest.param(part, marks=pytest.mark.long) for part in ("overall", "daywise"))]
)
def test_allow_shrink_drops_nothing_of_what_could_not_be_fetched(allow: str, serve: Serve) -> None:
    nights = serve(3, is_loaded=True)
    gaps = {
        "a livestream": names_livestream(ids(nights.world)[1]),
        "overall": days_of(OVERALL, 2),
        "daywise": days_of(DAYWISE, 2),
    }
    nights.refuse(gaps[allow], 400)
    nights.load(WEEK, at=NOW + DAY, full=True, allow_shrink=True)
    assert_matches_world(nights.settings, nights.world, WEEK)
    assert APP in nights.world.apps
