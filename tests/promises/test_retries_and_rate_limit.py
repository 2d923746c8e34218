"""Promise 4: requests stay within the budget, waits follow the response, and only transient errors are retried."""

import math
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.errors import ApiRefusedError, TransientApiError
from pipelines.extract.concurrency import _FAILURES_TO_GIVE_UP
from pipelines.extract.retry_policy import MAX_RETRIES
from pipelines.simulator.access import LoggedRequest, RequestLog
from pipelines.simulator.expected_rows import ExpectedRows
from pipelines.simulator.faults import GROUPS, FaultInjector
from pipelines.simulator.server import Simulator
from pipelines.simulator.transport_faults import FaultOptions
from tests.pipeline_runner import (
    APPS,
    DAYS,
    LAST,
    assert_matches_world,
    environment_for,
    query,
    run_without_marts,
    settings_for,
)
from tests.promises.conftest import Serve
from tests.promises.fault_runner import max_repeats, run_cli
from tests.promises.world_factory import tiny_world

ALWAYS = 10**9
QUICK = FaultOptions(retry_after=0, trickle_seconds=0.02)
TRIES = 1 + MAX_RETRIES


@dataclass(slots=True)
class TimedLog(RequestLog):
    """Also records the arrival time of each request."""

    times: list[float] = field(default_factory=list)

    def start(self, request: LoggedRequest) -> None:
        self.times.append(time.monotonic())
        RequestLog.start(self, request)


# --- only necessary requests --------------------------------------------------------------------------------


def pages(records: int) -> int:
    return max(1, math.ceil(records / 100))


def requests_by_operation(simulator: Simulator) -> Counter[str]:
    return Counter(request.operation for request in simulator.requests)


@pytest.mark.long
@pytest.mark.promise(4)
def test_unchanged_night_requests_only_what_may_change(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(livestreams=105, sessions=40, on_air=3, broken=False)
    simulator = serve(Simulator(world))
    settings = settings_for(simulator, tmp_path / "home")
    night = (DAYS[1] - timedelta(days=2), DAYS[1])
    run_without_marts(settings, night, run_id="before", full=True)
    world.advance(timedelta(minutes=10))
    run_without_marts(settings, night, run_id="night before", full=True)
    simulator.requests.clear()
    run_without_marts(settings, night, run_id="night")
    running = {
        livestream.id
        for app in world.apps.values()
        for livestream in app.livestreams
        if livestream.status in ("LIVE", "INVOKED") or livestream.open_session
    }
    assert running
    request = [request.path for request in simulator.requests if request.operation == "get-livestream"]
    assert Counter(path.rpartition("/")[2] for path in request) == Counter(running)
    assert requests_by_operation(simulator) == {
        "list-livestreams": sum(pages(len(app.livestreams)) for app in world.apps.values()),
        "get-livestream": len(running),
        "get-overall-analytics": 3 * len(world.apps),
        "get-daywise-analytics": len(world.apps),
        "get-livestream-daywise-analytics": len(world.apps),
    }


@pytest.mark.promise(4)
@pytest.mark.parametrize(
    ("livestreams", "days"),
    [
        pytest.param(20, 40, marks=pytest.mark.long),
        pytest.param(2_000, 365, marks=pytest.mark.long, id="a year of 2,000"),
    ],
)
def test_backfill_sends_at_most_two_percent_extra_requests(
    livestreams: int, days: int, serve: Serve, tmp_path: Path
) -> None:
    world = tiny_world(apps=("aula",), livestreams=livestreams, sessions=6 * livestreams, days=days - 5, broken=False)
    simulator = serve(Simulator(world))
    first = DAYS[1] - timedelta(days=days - 1)
    run_without_marts(settings_for(simulator, tmp_path / "home"), (first, DAYS[1]), backfill=True)
    [app] = world.apps.values()
    sessions = Counter(livestream.id for livestream in app.livestreams for _ in livestream.sessions)
    candidates = sum(pages(sessions[livestream.id]) for livestream in app.livestreams)
    must = pages(livestreams) + candidates + days + 2 * math.ceil(days / 30)
    assert simulator.request_count() <= 1.02 * must, requests_by_operation(simulator)
    assert_matches_world(settings_for(simulator, tmp_path / "home"), world, (first, DAYS[1]))


# --- retries ------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.promise(4)
@pytest.mark.parametrize("seed", [1, 2])
def test_transient_faults_on_eight_percent_of_requests_leave_exact_rows(
    seed: int, serve: Serve, tmp_path: Path
) -> None:
    faults = FaultInjector(seed=seed, rate=0.08, kinds=GROUPS["transient"], options=QUICK)
    simulator = serve(Simulator(tiny_world(livestreams=20), per_page_cap=7, faults=faults))
    settings = settings_for(simulator, tmp_path / "home")
    run = run_without_marts(settings)
    assert faults.injected
    assert run.failures == []
    assert_matches_world(settings, simulator.world)
    assert query(settings, "SELECT sum(api_retries) > 0 FROM ops.loads") == [(True,)]
    assert query(settings, "SELECT sum(api_requests) FROM ops.loads") == [(simulator.request_count(),)]


@pytest.mark.long
@pytest.mark.promise(4)
@pytest.mark.parametrize("kind", GROUPS["transient"])
def test_each_transient_fault_leaves_exact_rows(kind: str, serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(apps=("aula",), livestreams=6, sessions=30)
    options = FaultOptions(retry_after=1 if kind == "quota_out" else 0, trickle_seconds=0.02)
    limit = 2 if kind in {"quota_out", "rate_limited_date"} else None  # these wait for whole seconds
    faults = FaultInjector(seed=3, rate=0.3, kinds=(kind,), options=options, max_faults=limit)
    simulator = serve(Simulator(world, faults=faults))
    settings = settings_for(simulator, tmp_path / "home")
    assert run_without_marts(settings).failures == []
    assert faults.injected
    assert_matches_world(settings, world)


@pytest.mark.promise(4)
@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_transient_faults_of_many_seeds_leave_exact_rows(seed: int, serve: Serve, tmp_path: Path) -> None:
    faults = FaultInjector(seed=seed, rate=0.08, kinds=GROUPS["transient"], options=QUICK)
    simulator = serve(Simulator(tiny_world(seed=seed, livestreams=60, sessions=300), per_page_cap=7, faults=faults))
    settings = settings_for(simulator, tmp_path / "home")
    assert run_without_marts(settings).failures == []
    assert_matches_world(settings, simulator.world)


@pytest.mark.long
@pytest.mark.promise(4)
def test_request_is_sent_at_most_seven_times(serve: Serve, tmp_path: Path) -> None:
    faults = FaultInjector(
        rate=1.0, kinds=("server_error",), operations=("get-overall-analytics",), max_consecutive=ALWAYS
    )
    simulator = serve(Simulator(tiny_world(apps=("aula",)), faults=faults))
    settings = settings_for(simulator, tmp_path / "home", LIVEHOUSE_CONCURRENCY="2")
    failures = run_without_marts(settings).failures
    assert {(failure.table, type(failure.error)) for failure in failures} == {
        ("raw.livestream_analytics", TransientApiError),
        ("core.livestream_analytics_daily", TransientApiError),
    }
    overall = [request for request in simulator.requests if request.operation == "get-overall-analytics"]
    assert max_repeats(overall) == TRIES
    assert max_repeats([request for request in simulator.requests if request not in overall]) == 1
    given_up = _FAILURES_TO_GIVE_UP + 2  # in flight in two threads at the last failure
    assert len(overall) <= given_up * TRIES


@pytest.mark.long
@pytest.mark.promise(4)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 422, 451])
def test_permanent_error_is_not_retried(status: int, serve: Serve, tmp_path: Path) -> None:
    faults = FaultInjector(
        rate=1.0, kinds=("server_error",), max_consecutive=ALWAYS, options=FaultOptions(status=status)
    )
    simulator = serve(Simulator(tiny_world(apps=("aula",)), faults=faults))
    with pytest.raises(ApiRefusedError, match=rf"/livestreams: {status}: Internal error"):
        run_without_marts(settings_for(simulator, tmp_path / "home"))
    assert max_repeats(simulator.requests) == 1


@pytest.mark.long
@pytest.mark.promise(4)
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 520, 530])
def test_transient_error_is_retried(status: int, serve: Serve, tmp_path: Path) -> None:
    simulator = serve(Simulator(tiny_world(apps=("aula",), livestreams=2, sessions=4)))
    simulator.faults.schedule("server_error", times=MAX_RETRIES, options=FaultOptions(status=status))
    settings = settings_for(simulator, tmp_path / "home")
    assert run_without_marts(settings, (DAYS[1], DAYS[1])).failures == []
    assert max_repeats(simulator.requests) == TRIES


# --- budget and waiting -------------------------------------------------------------------------------------


@pytest.mark.promise(4)
def test_429_pauses_every_thread(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(livestreams=30, sessions=30, apps=("aula",))
    simulator = serve(Simulator(world, latency=0.02))
    log = simulator.service.log = TimedLog()
    simulator.faults.schedule("rate_limited", operation="get-overall-analytics", options=FaultOptions(retry_after=2))
    settings = settings_for(simulator, tmp_path / "home")
    assert run_without_marts(settings).failures == []
    limited = next(number for number, request in enumerate(log.requests) if request.status == 429)
    limited_at = log.times[limited]
    # Other requests are in flight while the 429 arrives; a second later none is.
    assert [moment for moment in log.times if limited_at + 1 < moment < limited_at + 2] == []
    assert Counter(request.status for request in log.requests)[429] == 1
    assert query(settings, "SELECT sum(api_refusals) FROM ops.loads") == [(1,)]
    assert_matches_world(settings, world)


@pytest.mark.long
@pytest.mark.promise(4)
@pytest.mark.parametrize(
    "requests_per_second",
    [pytest.param("25", id="own budget"), pytest.param("0", id="quota of the server", marks=pytest.mark.long)],
)
def test_no_request_exceeds_the_rate_limit(requests_per_second: str, serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(livestreams=6, sessions=20)
    simulator = serve(Simulator(world, rate_limit=(25, 1.0)))
    settings = settings_for(simulator, tmp_path / "home", LIVEHOUSE_REQUESTS_PER_SECOND=requests_per_second)
    run_without_marts(settings)
    assert simulator.request_count() > 30
    assert {request.status for request in simulator.requests} == {200}
    assert_matches_world(settings, world)


@pytest.mark.long
@pytest.mark.promise(4)
def test_concurrency_limit_is_respected(serve: Serve, tmp_path: Path) -> None:
    simulator = serve(Simulator(tiny_world(livestreams=30), latency=0.01))
    run_without_marts(settings_for(simulator, tmp_path / "home", LIVEHOUSE_CONCURRENCY="3"))
    assert simulator.max_concurrent == 3


@pytest.mark.long
@pytest.mark.promise(4)
def test_pages_of_one_livestream_are_fetched_concurrently_within_the_limit(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(apps=("aula",), livestreams=1, sessions=900)
    simulator = serve(Simulator(world, latency=0.05))
    settings = settings_for(simulator, tmp_path / "home", LIVEHOUSE_CONCURRENCY="4")
    day = (LAST, LAST)  # every other request is sent once
    run_without_marts(settings, day)
    pages = [int(request.query["page_no"]) for request in simulator.requests if request.operation == "get-livestream"]
    assert sorted(pages) == list(range(1, -(-len(world.apps["aula"].timeline) // 100) + 1))
    assert simulator.max_concurrent == 4
    assert_matches_world(settings, world, day)


@pytest.mark.long
@pytest.mark.promise(4)
def test_retries_are_reported_as_progress(serve: Serve, tmp_path: Path) -> None:
    simulator = serve(Simulator(tiny_world(apps=("aula",), livestreams=2, sessions=4)))
    simulator.faults.schedule("server_error", times=4)
    given = environment_for(simulator, tmp_path / "home") | {"LIVEHOUSE_RETRY_PAUSE_SECONDS": "0.05"}
    status, _, err = run_cli(given, "api", "list-livestreams")
    assert status == 0
    [line] = err.splitlines()
    assert re.fullmatch(r"livehouse: GET /\S+: 5\d\d: .*; retry 2 of 6 in 0 s", line), err


def test_expected_rows_are_not_empty() -> None:
    expected: ExpectedRows = tiny_world().expected_rows(APPS[0], *DAYS)
    assert all(expected.tables().values())
