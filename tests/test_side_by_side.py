"""Several apps are fetched side by side: requests on threads, everything else on the thread of the run."""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.catalog.core import LIVESTREAM_SESSIONS, LIVESTREAMS
from pipelines.catalog.streams import stream_of
from pipelines.clock import days_from
from pipelines.errors import ApiError, TransientApiError
from pipelines.extract.operations import GET_LIVESTREAM_DAYWISE
from pipelines.extract.selection import split_days
from pipelines.simulator.refusals import Refusal
from pipelines.simulator.server import Simulator
from pipelines.steps import side_by_side
from pipelines.steps.context import open_run
from pipelines.steps.extract_stream import extract_stream
from pipelines.steps.session_counts import extract_session_counts
from pipelines.steps.side_by_side import Fetching, Work, run_side_by_side
from tests.pipeline_runner import DAYS, settings_for, small_world

WAIT_SECONDS = 10
"""For what must happen at once; only a failing test waits this long."""


class Recorder:
    """Runs bodies that record what they receive, and how they end."""

    def __init__(self) -> None:
        self.received: dict[str, list[object]] = {}
        self.ended: dict[str, ApiError | None] = {}
        self.closed: list[str] = []
        self.threads: set[threading.Thread] = set()

    def work(self, app_id: str, *sources: Iterator[object]) -> Work:
        return Work(app_id, lambda: self._fetch(app_id, sources), lambda error: self.ended.update({app_id: error}))

    def _fetch(self, app_id: str, sources: tuple[Iterator[object], ...]) -> Fetching:
        received = self.received.setdefault(app_id, [])
        try:
            for source in sources:
                while (item := (yield source)) is not None:
                    received.append(item)
                    self.threads.add(threading.current_thread())
        finally:
            self.closed.append(app_id)


def failing(error: BaseException, *items: object) -> Iterator[object]:
    yield from items
    raise error


def test_requests_of_several_apps_are_in_flight_together() -> None:
    together = threading.Barrier(3)
    record = Recorder()

    def fetch(app_id: str) -> Iterator[object]:
        together.wait(WAIT_SECONDS)
        yield app_id

    run_side_by_side([record.work(app_id, fetch(app_id)) for app_id in "abc"], most=3)
    assert record.received == {"a": ["a"], "b": ["b"], "c": ["c"]}
    assert record.threads == {threading.current_thread()}


@pytest.mark.parametrize("most", [1, 2, 9])
def test_each_app_receives_its_items_in_order_and_ends_once(most: int) -> None:
    record = Recorder()
    works = [record.work(f"{app}", iter(range(50)), iter([]), iter("xy")) for app in range(5)]
    run_side_by_side(works, most)
    assert record.received == {f"{app}": [*range(50), "x", "y"] for app in range(5)}
    assert record.ended == dict.fromkeys(map(str, range(5)))


def test_the_api_error_of_an_app_ends_only_that_app() -> None:
    record, error = Recorder(), TransientApiError("down")
    run_side_by_side([record.work("a", failing(error, 1)), record.work("b", iter([2]), iter([3]))], most=2)
    assert record.received == {"a": [1], "b": [2, 3]}
    assert record.ended == {"a": error, "b": None}


@pytest.mark.parametrize("error", [KeyError("bug"), KeyboardInterrupt()])
def test_any_other_error_closes_the_work_of_every_app(error: BaseException) -> None:
    record, released = Recorder(), threading.Event()

    def fetch() -> Iterator[object]:
        yield 1
        released.wait(WAIT_SECONDS)

    try:
        with pytest.raises(type(error)):
            run_side_by_side([record.work("a", fetch()), record.work("b", failing(error))], most=2)
    finally:
        released.set()
    assert sorted(record.closed) == ["a", "b"]
    assert record.ended == {}


def test_a_source_runs_ahead_of_the_landing_by_a_bounded_number_of_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "_MAX_AHEAD", 30)
    fetched = threading.Semaphore(0)
    produced: list[int] = []

    def fetch() -> Iterator[list[int]]:
        for number in range(20):
            produced.append(number)
            fetched.release()
            yield [number] * 10

    def land() -> Fetching:
        source = fetch()
        yield source
        for _ in range(5):  # the source goes on while this item lands
            assert fetched.acquire(timeout=WAIT_SECONDS)
        assert not fetched.acquire(timeout=0.05)
        assert len(produced) <= 6
        while (yield source):
            pass

    run_side_by_side([Work("a", land, lambda _: None)], most=1)
    assert len(produced) == 20


@pytest.mark.long
def test_requests_are_counted_for_the_app_they_are_about(tmp_path: Path) -> None:
    world = small_world(apps=("a", "b", "c"), livestreams=3, sessions=12)
    with (
        Simulator(world) as simulator,
        open_run(settings_for(simulator, tmp_path), run_id="run", full=False, allow_shrink=False, backfill=None) as run,
    ):
        counted: Counter[str] = Counter()
        for stream in (stream_of(LIVESTREAMS), stream_of(LIVESTREAM_SESSIONS)):
            for app_id, counts in extract_stream(run, stream, DAYS).items():
                counted[app_id] += counts.requests
        received = Counter(request.app_id for request in simulator.requests)
    assert counted == received
    assert len(received) == 3


def test_months_whose_counts_are_not_found_are_named_and_their_requests_are_counted(tmp_path: Path) -> None:
    """Seen: after the first of them the other months were not read, without a note."""
    days = DAYS[1] - timedelta(days=149), DAYS[1]
    older = split_days(days_from(*days))[:-1]
    refusal = Refusal.parse(f"{GET_LIVESTREAM_DAYWISE}@<{older[-1][1]}=404")
    with (
        Simulator(small_world(apps=("a",), livestreams=1, sessions=2), refusals=[refusal]) as simulator,
        open_run(settings_for(simulator, tmp_path), run_id="run", full=False, allow_shrink=False, backfill=None) as run,
    ):
        counts = extract_session_counts(run, days)["a"]
        assert counts.requests == simulator.request_count(GET_LIVESTREAM_DAYWISE) == len(older) + 1
    assert counts.note
    assert f"{older[0][0]} to {older[-1][1]}" in counts.note
