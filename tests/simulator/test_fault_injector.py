"""The fault injector selects requests by seed, rate, operation, app and schedule, and is parsed from text."""

from collections import Counter

import pytest

from pipelines.simulator.access import LoggedRequest
from pipelines.simulator.faults import GROUPS, KINDS, FaultInjector
from tests.simulator.conftest import APP

pytestmark = pytest.mark.long  # by default, the tests that use the simulator prove what they need of it


def make_request(page: int = 1, operation: str = "list-livestreams") -> LoggedRequest:
    return LoggedRequest("GET", operation, APP, f"/{operation}", {"page_no": str(page)})


def struck(faults: FaultInjector, pages: list[int]) -> Counter[tuple[int, str]]:
    found = Counter[tuple[int, str]]()
    for page in pages:
        fault = faults.next_fault(make_request(page))
        if fault:
            found[page, fault.kind] += 1
    return found


def test_same_seed_injects_the_same_faults_in_any_request_order() -> None:
    def faults(seed: int) -> FaultInjector:
        return FaultInjector(seed=seed, rate=0.3, kinds=GROUPS["transient"])

    pages = [page for page in range(100) for _ in range(3)]
    assert struck(faults(1), pages) == struck(faults(1), pages[::-1])
    assert struck(faults(1), pages) != struck(faults(2), pages)
    assert 60 < sum(struck(faults(1), pages).values()) < 120


def test_max_consecutive_lets_retries_succeed() -> None:
    faults = FaultInjector(rate=1, kinds=("server_error",), max_consecutive=2)
    assert [faults.next_fault(make_request()) is None for _ in range(7)] == [
        False,
        False,
        True,
        False,
        False,
        True,
        False,
    ]


def test_max_faults_operations_and_rate_are_respected() -> None:
    assert sum(struck(FaultInjector(rate=1, kinds=("html_200",), max_faults=5), list(range(50))).values()) == 5
    assert not struck(FaultInjector(rate=1, kinds=("html_200",), operations=("get-session",)), list(range(50)))
    assert not struck(FaultInjector(rate=0, kinds=("html_200",)), list(range(50)))
    never = FaultInjector(rate=1, kinds=("row_moved",))
    assert never.next_fault(make_request(operation="get-overall-analytics")) is None


def test_scheduled_fault_matches_operation_app_and_number_of_requests() -> None:
    faults = FaultInjector()
    faults.schedule("drop_before", operation="list-livestreams", app_id=APP, times=2)
    assert faults.next_fault(make_request(operation="get-session")) is None
    assert [getattr(faults.next_fault(make_request()), "kind", None) for _ in range(3)] == [
        "drop_before",
        "drop_before",
        None,
    ]
    assert faults.injected == [("list-livestreams", "drop_before")] * 2
    faults.schedule("drop_before", app_id="elsewhere")
    assert faults.next_fault(make_request()) is None


def test_faults_are_parsed_from_text() -> None:
    faults = FaultInjector.parse("server_error, cut_body:0.25", seed=3)
    assert (tuple(faults.kinds), faults.rate, faults.seed) == (("server_error", "cut_body"), 0.25, 3)
    assert FaultInjector.parse("transient").rate == 0.08
    assert tuple(FaultInjector.parse("all:1").kinds) == KINDS


@pytest.mark.parametrize("text", ["", "earthquake", "server_error:2", "server_error:often", "server_error:nan"])
def test_unknown_faults_are_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"groups of kinds: all, transient, hostile"):
        FaultInjector.parse(text)


def test_unknown_words_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown fault 'x'; known are rate_limited, .*not_found"):
        FaultInjector(kinds=("x",))
    with pytest.raises(ValueError, match=r"unknown operation 'x'; known are list-livestreams"):
        FaultInjector().schedule("html_200", operation="x")
