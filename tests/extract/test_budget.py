"""The request budget, on a clock that moves only while a thread sleeps."""

import itertools
import math
import random
import threading
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.extract.budget import Budget
from tests.extract.conftest import Clock


def starts(budget: Budget, clock: Clock, count: int, headers: Mapping[str, str] | None = None) -> list[float]:
    began = clock.now
    times = []
    for _ in range(count):
        with budget.slot():
            times.append(round(clock.now - began, 6))
            budget.update_from_headers(headers or {})
    return times


def test_unlimited_never_sleeps(clock: Clock) -> None:
    assert starts(Budget(0), clock, 100) == [0.0] * 100
    assert clock.slept == []


@pytest.mark.parametrize("rate", [0.5, 4, 11.66])
def test_never_above_the_rate_in_any_second(clock: Clock, rate: float) -> None:
    times = starts(Budget(rate), clock, 60)
    for first, later in itertools.pairwise(times):
        assert later - first >= 1 / rate
    assert times[-1] == pytest.approx(59 / rate, rel=0.03)


@pytest.mark.parametrize("late", [0.0, 0.001, 0.02])
def test_97_percent_of_the_rate_is_used_and_no_second_exceeds_it(clock: Clock, late: float) -> None:
    wakes_late = random.Random(1)
    sleep = clock.sleep
    clock.sleep = lambda seconds: sleep(seconds + wakes_late.uniform(0, late))  # type: ignore[method-assign]  # the clock of the test
    times = starts(Budget(4), clock, 2_000)
    assert all(fifth - first > 1 for first, fifth in zip(times, times[4:], strict=False))
    assert (len(times) - 1) / times[-1] >= 0.97 * 4


def test_bursts_use_the_whole_quota_and_no_more(clock: Clock) -> None:
    budget, used, ends, began = Budget(0), 0, 0.0, clock.now
    for _ in range(100):
        with budget.slot():
            if clock.now >= ends:
                used, ends = 0, clock.now + 5
            used += 1
            assert used <= 10, "the server would answer 429"
            headers = {"ratelimit": f'"default";r={10 - used};t={ends - clock.now:.0f}', "ratelimit-policy": "q=10;w=5"}
            budget.update_from_headers(headers)
    assert clock.now - began == 45


@pytest.mark.parametrize(("quota", "window"), [(4, 1), (40, 10), (1_200, 300)])
def test_97_percent_of_a_limit_in_headers_are_used(clock: Clock, quota: int, window: int) -> None:
    """Seen: half of a limit of four per second was unused, because each `t=1` was waited for."""
    budget, used, ends, began = Budget(quota / window), 0, 0.0, clock.now
    for _ in range(3_000):
        with budget.slot():
            if clock.now >= ends:
                used, ends = 0, clock.now + window
            used += 1
            assert used <= quota, "the server would answer 429"
            budget.update_from_headers({"ratelimit": f'"default";r={quota - used};t={math.ceil(ends - clock.now)}'})
    assert 2_999 / (clock.now - began) >= 0.97 * quota / window


@given(
    rate=st.sampled_from([0.5, 4, 20]),
    late=st.lists(st.floats(0, 0.4), min_size=30, max_size=60),
    slow=st.lists(st.floats(0, 0.05), min_size=60, max_size=60),
)
def test_however_late_requests_are_written_no_window_exceeds_the_rate(
    rate: float, late: list[float], slow: list[float]
) -> None:
    """Seen: 3 of 467 requests refused at 20 per second on a busy machine. A thread woke up late, and the next one in time."""
    clock = Clock()
    budget, times = Budget(rate), []
    assert budget.write_spacing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.extract.budget.time", clock)
        for seconds, writes in zip(late, slow, strict=False):
            with budget.slot():
                clock.now += seconds
                with budget.write_spacing.writing():
                    times.append(clock.now)
                    clock.now += writes
    window = max(int(rate), 1)
    per_window = zip(times, times[window:], strict=False)
    assert all(later - first >= window / rate for first, later in per_window)


def test_idle_time_gives_no_credit_for_a_burst(clock: Clock) -> None:
    budget = Budget(4)
    starts(budget, clock, 3)
    clock.now += 3600
    assert starts(budget, clock, 3)[-1] >= 0.5


def test_pause_delays_all_requests(clock: Clock) -> None:
    budget = Budget(0)
    budget.pause(30)
    budget.pause(10)
    assert starts(budget, clock, 2) == [30.0, 30.0]


@pytest.mark.parametrize(
    "header",
    ['"default";r=0;t=30', "limit=100, remaining=0, reset=30", "limit=100,remaining=0,reset=30", '"a"; r=0; t=30.0'],
)
def test_an_exhausted_quota_delays_requests_until_its_reset(clock: Clock, header: str) -> None:
    assert starts(Budget(0), clock, 2, {"ratelimit": header}) == [0.0, 30.0]


def test_the_remaining_quota_is_used_and_no_more(clock: Clock) -> None:
    budget = Budget(0)
    assert starts(budget, clock, 1, {"ratelimit": '"default";r=3;t=60'}) == [0.0]
    assert starts(budget, clock, 5) == [0.0, 0.0, 0.0, 60.0, 60.0]


def test_requests_in_flight_count_against_the_remaining_quota(clock: Clock) -> None:
    budget = Budget(0)
    with budget.slot(), budget.slot():
        budget.update_from_headers({"ratelimit": '"default";r=2;t=60'})
    assert starts(budget, clock, 2) == [0.0, 60.0]


@pytest.mark.parametrize(
    "header", ["", "garbage", '"default";r=;t=', '"default";r=0', '"default";t=30', '"default";r=-1;t=-1', "r=0;t=x"]
)
def test_a_malformed_ratelimit_header_is_ignored(clock: Clock, header: str) -> None:
    assert starts(Budget(0), clock, 2, {"ratelimit": header}) == [0.0, 0.0]


def test_a_header_cannot_delay_requests_for_a_year(clock: Clock) -> None:
    assert starts(Budget(0), clock, 2, {"ratelimit": '"default";r=0;t=31536000'})[1] <= 900


def test_the_policy_header_is_not_a_quota(clock: Clock) -> None:
    assert starts(Budget(0), clock, 2, {"ratelimit-policy": '"default";q=0;w=60'}) == [0.0, 0.0]


def test_a_failed_request_is_no_longer_in_flight(clock: Clock) -> None:
    budget = Budget(0)
    for _ in range(3):
        with pytest.raises(RuntimeError), budget.slot():
            raise RuntimeError
    with budget.slot():
        budget.update_from_headers({"ratelimit": '"default";r=1;t=60'})
    assert starts(budget, clock, 2) == [0.0, 60.0]


def test_threads_share_one_budget(clock: Clock) -> None:
    budget = Budget(10)
    times: list[float] = []

    def send() -> None:
        for _ in range(10):
            with budget.slot():
                times.append(clock.now)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == 80
    assert max(times) - min(times) >= 79 / 10


def test_long_waits_are_reported_once_with_their_reason(clock: Clock) -> None:
    shown: list[str] = []
    budget = Budget(4, shown.append)
    starts(budget, clock, 3)
    budget.pause(5, "a short one")
    starts(budget, clock, 2)
    assert shown == []
    budget.pause(45, "GET /x: 503")
    starts(budget, clock, 2)
    starts(budget, clock, 1, {"ratelimit": '"default";r=0;t=30'})
    starts(budget, clock, 3)
    assert [(line[:12], line.rpartition(" UTC: ")[2]) for line in shown] == [
        ("waiting 45 s", "GET /x: 503"),
        ("waiting 30 s", "the API's rate limit is used up"),
    ]


def test_a_wait_of_all_threads_is_reported_once(clock: Clock) -> None:
    shown: list[str] = []
    budget = Budget(100, shown.append)
    budget.pause(60)
    threads = [threading.Thread(target=starts, args=(budget, clock, 1)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(shown) == 1
