"""The request budget, on a clock that moves only while somebody sleeps."""

import itertools
import math
import random
import threading
from collections.abc import Mapping

import pytest

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
def test_97_percent_are_used_and_a_server_that_counts_any_second_refuses_none(clock: Clock, late: float) -> None:
    wakes_late = random.Random(1)
    sleep = clock.sleep
    clock.sleep = lambda seconds: sleep(seconds + wakes_late.uniform(0, late))  # type: ignore[method-assign]
    times = starts(Budget(4), clock, 2_000)
    assert all(fifth - first > 1 for first, fifth in zip(times, times[4:], strict=False))
    assert (len(times) - 1) / times[-1] >= 0.97 * 4


def test_bursts_stay_within_the_policy_and_use_all_of_it(clock: Clock) -> None:
    budget, used, ends, began = Budget(0), 0, 0.0, clock.now
    for _ in range(100):
        with budget.slot():
            if clock.now >= ends:
                used, ends = 0, clock.now + 5
            used += 1
            assert used <= 10, "the server would answer 429"
            left = {"ratelimit": f'"default";r={10 - used};t={ends - clock.now:.0f}', "ratelimit-policy": "q=10;w=5"}
            budget.update_from_headers(left)
    assert clock.now - began == 45


@pytest.mark.parametrize(("quota", "window"), [(4, 1), (40, 10), (1_200, 300)])
def test_97_percent_are_used_of_a_limit_that_the_headers_tell(clock: Clock, quota: int, window: int) -> None:
    """Seen: of four a second half was used, since `t=1` of a full second was waited for in whole."""
    budget, used, ends, began = Budget(quota / window), 0, 0.0, clock.now
    for _ in range(3_000):
        with budget.slot():
            if clock.now >= ends:
                used, ends = 0, clock.now + window
            used += 1
            assert used <= quota, "the server would answer 429"
            budget.update_from_headers({"ratelimit": f'"default";r={quota - used};t={math.ceil(ends - clock.now)}'})
    assert 2_999 / (clock.now - began) >= 0.97 * quota / window


def test_a_pause_gives_no_credit_for_a_burst(clock: Clock) -> None:
    budget = Budget(4)
    starts(budget, clock, 3)
    clock.now += 3600
    assert starts(budget, clock, 3)[-1] >= 0.5


def test_hold_holds_everybody(clock: Clock) -> None:
    budget = Budget(0)
    budget.pause(30)
    budget.pause(10)
    assert starts(budget, clock, 2) == [30.0, 30.0]


@pytest.mark.parametrize(
    "header",
    ['"default";r=0;t=30', "limit=100, remaining=0, reset=30", "limit=100,remaining=0,reset=30", '"a"; r=0; t=30.0'],
)
def test_a_used_up_quota_holds_until_its_reset(clock: Clock, header: str) -> None:
    assert starts(Budget(0), clock, 2, {"ratelimit": header}) == [0.0, 30.0]


def test_what_is_left_is_spent_and_no_more(clock: Clock) -> None:
    budget = Budget(0)
    assert starts(budget, clock, 1, {"ratelimit": '"default";r=3;t=60'}) == [0.0]
    assert starts(budget, clock, 5) == [0.0, 0.0, 0.0, 60.0, 60.0]


def test_requests_under_way_count_against_what_is_left(clock: Clock) -> None:
    budget = Budget(0)
    with budget.slot(), budget.slot():
        budget.update_from_headers({"ratelimit": '"default";r=2;t=60'})
    assert starts(budget, clock, 2) == [0.0, 60.0]


@pytest.mark.parametrize(
    "header", ["", "garbage", '"default";r=;t=', '"default";r=0', '"default";t=30', '"default";r=-1;t=-1', "r=0;t=x"]
)
def test_a_header_that_says_nothing(clock: Clock, header: str) -> None:
    assert starts(Budget(0), clock, 2, {"ratelimit": header}) == [0.0, 0.0]


def test_a_header_cannot_stop_us_for_a_year(clock: Clock) -> None:
    assert starts(Budget(0), clock, 2, {"ratelimit": '"default";r=0;t=31536000'})[1] <= 900


def test_the_policy_header_is_no_quota(clock: Clock) -> None:
    assert starts(Budget(0), clock, 2, {"ratelimit-policy": '"default";q=0;w=60'}) == [0.0, 0.0]


def test_a_request_that_fails_gives_its_place_back(clock: Clock) -> None:
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

    def ask() -> None:
        for _ in range(10):
            with budget.slot():
                times.append(clock.now)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == 80
    assert max(times) - min(times) >= 79 / 10


def test_long_waits_are_announced_once_with_their_reason(clock: Clock) -> None:
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


def test_all_threads_announce_a_wait_once(clock: Clock) -> None:
    shown: list[str] = []
    budget = Budget(100, shown.append)
    budget.pause(60)
    threads = [threading.Thread(target=starts, args=(budget, clock, 1)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(shown) == 1
