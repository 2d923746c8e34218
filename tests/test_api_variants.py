"""Runs leave exact rows with every time format, rounding and set of operations of the API."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.clock import days_from
from pipelines.settings.settings import Settings
from pipelines.simulator.dialects import TODAY, YEAR_2025, Dialect
from pipelines.simulator.refusals import Refusal
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests.fixed_clock import NOW, clock_set_to
from tests.pipeline_runner import LAST, assert_matches_world, query, run_pipeline, settings_for
from tests.promises.fault_runner import run_cli
from tests.promises.world_factory import tiny_world

APP = "aula"
DAYS = (LAST - timedelta(days=4), LAST)
UNIX, ISO = TODAY, YEAR_2025
NO_COUNTS = replace(TODAY, has_livestream_daywise=False)
ISO_AND_COUNTS = replace(TODAY, times="iso")
UNPROCESSABLE = replace(ISO, invalid_status=422)
SMALL_PAGES = replace(TODAY, per_page_maximum=50)
SERVICES = [
    pytest.param(UNIX, "nearest", id="unix, nearest"),
    pytest.param(ISO, "none", id="iso, exact", marks=pytest.mark.long),
    *(
        pytest.param(dialect, rounding, id=f"{name}, {rounding}", marks=pytest.mark.long)
        for name, dialect in {
            "unix": UNIX,
            "iso": ISO,
            "unix without counts": NO_COUNTS,
            "iso with counts": ISO_AND_COUNTS,
            "iso, 422": UNPROCESSABLE,
            "pages of 50": SMALL_PAGES,
        }.items()
        for rounding in ("down", "up", "nearest", "none")
        if (dialect, rounding) not in {(UNIX, "nearest"), (ISO, "none")}
    ),
]


def world_of(rounding: Any) -> World:
    """Return sessions on each day, with fractions of a second, up to the last second of a day."""
    world = tiny_world(apps=(APP,), broken=False, on_air=0, rounding=rounding)
    for number, day in enumerate(days_from(*DAYS)):
        livestream = world.apps[APP].livestreams[number % 3]
        for hour, minute, second in ((0, 0, 0.0), (12, 30, 0.4), (23, 59, 58.9)):
            created_at = NOW.replace(year=day.year, month=day.month, day=day.day, hour=hour, minute=minute, second=0)
            created_at += timedelta(seconds=second)
            ingest, viewed = 118.4 + number, 50.9 * (number + 1)
            world.add_session(APP, livestream.id, created_at=created_at, ingest_seconds=ingest, viewer_seconds=viewed)
    return world


def refused_requests(simulator: Simulator, since: int = 0) -> list[tuple[str, int]]:
    return [(request.operation, request.status) for request in simulator.requests[since:] if request.status >= 400]


def assert_matches(settings: Settings) -> None:
    verdicts = query(settings, "SELECT day, verdict FROM marts.reconciliation WHERE day BETWEEN ? AND ?", *DAYS)
    assert {verdict for _, verdict in verdicts} == {"match"}, verdicts
    assert len(verdicts) == 5


@pytest.mark.long
@pytest.mark.parametrize(("dialect", "rounding"), SERVICES)
def test_two_nights_leave_exact_rows_and_the_second_is_never_refused(
    dialect: Dialect, rounding: Any, tmp_path: Path
) -> None:
    world = world_of(rounding)
    with Simulator(world, dialect=dialect) as simulator:
        settings = settings_for(simulator, tmp_path / "home")
        run_pipeline(settings, DAYS, run_id="first")
        assert_matches_world(settings, world, DAYS)
        assert_matches(settings)
        counts = dict(query(settings, "SELECT day, session_count FROM core.livestream_analytics_daily"))
        truth = {day: number for (_, day), number in world.expected_rows(APP, *DAYS).session_counts.items()}
        assert counts == (truth if dialect.has_livestream_daywise else dict.fromkeys(truth)), (
            "NULL without the operation"
        )
        before = len(simulator.requests)
        world.add_session(
            APP,
            world.apps[APP].livestreams[0].id,
            created_at=world.now - timedelta(hours=30),
            ingest_seconds=7.5,
            viewer_seconds=3.25,
        )
        with clock_set_to(NOW + timedelta(hours=8)):
            run_pipeline(settings, DAYS, run_id="second")
        assert refused_requests(simulator, before) == []
        assert_matches_world(settings, world, DAYS)
        assert_matches(settings)


@pytest.mark.long
def test_daywise_counts_add_one_request_per_month(tmp_path: Path) -> None:
    world = tiny_world(apps=(APP,), broken=False, on_air=0, days=365, sessions=300)
    year = (LAST - timedelta(days=364), LAST)
    counts: dict[str, Counter[str]] = {}
    for name, dialect in (("with", UNIX), ("without", replace(NO_COUNTS))):
        with Simulator(world, dialect=dialect) as simulator:
            settings = settings_for(simulator, tmp_path / name, LIVEHOUSE_START_DATE=f"{year[0]}")
            run_pipeline(settings, year, run_id="year", backfill=True)
            counts[name] = simulator.service.log.counts_by_operation()
    chunks = counts["with"].pop("get-livestream-daywise-analytics")
    # A server without the operation has no route for it: that it is missing is found out by one request.
    assert counts["without"].pop("unknown") == 1
    assert counts["with"] == counts["without"]
    assert chunks <= 13, "one request per range of at most a month"


@pytest.mark.long
def test_refused_parts_are_named_and_the_rest_is_loaded(tmp_path: Path) -> None:
    world = world_of("nearest")
    failing = world.apps[APP].livestreams[1].id  # has sessions on two of the days
    day = DAYS[0]
    refusals = [f"get-overall-analytics@{day}", f"get-livestream@{failing}=500", "get-livestream-daywise-analytics=404"]
    with Simulator(world, refusals=map(Refusal.parse, refusals)) as simulator:
        settings = settings_for(simulator, tmp_path / "home")
        environment = simulator.settings() | {
            "LIVEHOUSE_HOME": f"{settings.home}",
            "LIVEHOUSE_REQUESTS_PER_SECOND": "0",
            "LIVEHOUSE_RETRY_PAUSE_SECONDS": "0.002",
        }
        status, _, err = run_cli(environment, "backfill", f"{DAYS[0]}", f"{DAYS[1]}", "--quiet")
        assert (status, "Traceback" in err) == (1, False)
        assert f"{day}" in err
        assert failing in err
        held = {session for (session,) in query(settings, "SELECT session_id FROM core.livestream_sessions")}
        truth = world.expected_rows(APP, *DAYS).livestream_sessions
        assert held == {at[1] for at, row in truth.items() if row["livestream_id"] != failing}
        days = {at for (at,) in query(settings, "SELECT day FROM core.livestream_analytics_daily")}
        assert days == set(days_from(*DAYS)) - {day}
