"""Concurrent requests: one result per item, bounded queues, no failure hidden."""

import threading
from collections.abc import Callable, Iterator

import pytest

from pipelines.errors import (
    ApiError,
    ApiRefusedError,
    IncompleteListError,
    NotFoundError,
    TransientApiError,
    UnexpectedReplyError,
)
from pipelines.extract.concurrency import fetch_concurrently, prefetch_pages
from pipelines.extract.paging import read_all
from pipelines.extract.parsers import Page
from pipelines.normalize.record import identity


@pytest.mark.parametrize("concurrency", [1, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_every_item_has_one_result(concurrency: int, count: int) -> None:
    results = list(fetch_concurrently(lambda n: n * n, range(count), concurrency))
    assert sorted((result.item, result.value) for result in results) == [(n, n * n) for n in range(count)]
    assert all(result.error is None for result in results)


def test_a_failure_is_a_result_and_the_others_continue() -> None:
    def call(n: int) -> int:
        if n % 10 == 3:
            raise TransientApiError(f"item {n}")
        return n

    results = list(fetch_concurrently(call, range(60), 4))
    assert sorted(result.item for result in results if result.error) == [3, 13, 23, 33, 43, 53]
    assert sorted(result.item for result in results) == list(range(60))


def test_a_value_of_none_is_not_a_failure() -> None:
    (result,) = fetch_concurrently(lambda _: None, ["x"], 2)
    assert (result.value, result.error) == (None, None)


def test_a_refused_token_ends_the_list() -> None:
    requested: list[int] = []

    def call(n: int) -> int:
        requested.append(n)
        raise ApiRefusedError("no", status=401)

    results = list(fetch_concurrently(call, range(1000), 2))
    assert len(requested) <= 6
    assert sorted(result.item for result in results) == list(range(1000))
    assert {str(result.error) for result in results} == {"no"}


def refuse(n: int) -> int:
    raise ApiRefusedError(f"{n} is refused", status=400)


def deny(n: int) -> int:
    raise ApiRefusedError(f"{n} is denied", status=403)


def fail(n: int) -> int:
    raise TransientApiError(f"{n} is down")


def misread(n: int) -> int:
    raise UnexpectedReplyError(f"{n} is unreadable")


@pytest.mark.parametrize(("fails", "ends"), [(fail, True), (deny, True), (refuse, False), (misread, False)])
def test_forty_failures_of_the_service_in_a_row_end_the_list(
    fails: Callable[[int], int],
    ends: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    requested: list[int] = []

    def call(n: int) -> int:
        requested.append(n)
        return n if n < 200 else fails(n)

    results = list(fetch_concurrently(call, range(1000), 2))
    assert sorted(result.item for result in results) == list(range(1000))
    assert sorted(result.item for result in results if result.error is None) == list(range(200))
    assert 240 <= len(requested) <= 240 + 3 * 2 if ends else len(requested) == 1000


@pytest.mark.parametrize("share", [2, 5, 10])
def test_scattered_failures_do_not_end_the_list(share: int) -> None:
    def call(n: int) -> int:
        return n if n % share == 0 else fail(n)

    results = list(fetch_concurrently(call, range(2000), 4))
    assert sum(result.error is None for result in results) == 2000 // share


def test_not_found_does_not_end_the_list() -> None:
    def call(_: int) -> int:
        raise NotFoundError("gone", status=404)

    assert len(list(fetch_concurrently(call, range(7), 2))) == 7


def test_a_programming_error_is_raised_unchanged() -> None:
    with pytest.raises(ZeroDivisionError):
        list(fetch_concurrently(lambda n: 1 // n, [1, 0, 2], 1))


def test_items_are_consumed_as_needed() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for n in range(10_000):
            taken.append(n)
            yield n

    results = fetch_concurrently(lambda n: n, items(), 3)
    next(results)
    assert len(taken) <= 2 * 6
    results.close()  # type: ignore[attr-defined]  # a generator
    assert len(taken) <= 2 * 6


def test_concurrency_is_used_and_not_exceeded() -> None:
    lock, running, most = threading.Lock(), 0, 0
    barrier = threading.Barrier(4)

    def call(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        barrier.wait(timeout=30)  # passes only if four are in flight together
        with lock:
            running -= 1

    list(fetch_concurrently(call, range(40), 4))
    assert most == 4


def test_requested_at_is_before_the_result() -> None:
    (result,) = fetch_concurrently(lambda _: __import__("pipelines.clock").clock.utc_now(), [0], 1)
    assert result.value is not None
    assert result.requested_at <= result.value


def test_any_api_error_is_a_result() -> None:
    class OtherError(ApiError):
        pass

    def call(_: int) -> int:
        raise OtherError("other")

    (result,) = fetch_concurrently(call, [1], 1)
    assert isinstance(result.error, OtherError)


class Pages:
    """A list with two rows per page that records which pages were requested."""

    def __init__(self, count: int, *, claims: int | None = None) -> None:
        self.rows = [{"id": number} for number in range(count)]
        self.total = count if claims is None else claims
        self.requested: list[int] = []

    def fetch(self, page_no: int) -> Page:
        self.requested.append(page_no)
        return Page(self.rows[2 * page_no - 2 : 2 * page_no], self.total)

    def read(self, concurrency: int) -> list[object]:
        with prefetch_pages(self.fetch, concurrency) as page:
            return [record["id"] for records in read_all("the list", page, identity) for record in records]


@pytest.mark.parametrize("concurrency", [1, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 9, 39])
def test_prefetching_costs_no_extra_request(count: int, concurrency: int) -> None:
    source = Pages(count)
    assert source.read(concurrency) == list(range(count))
    assert sorted(source.requested) == list(range(1, max(-(-count // 2), 1) + 1))


def test_pages_are_prefetched_concurrently() -> None:
    source, together = Pages(7), threading.Barrier(3)

    def fetch(page_no: int) -> Page:
        if page_no > 1:
            together.wait(timeout=30)  # passes only if pages 2, 3 and 4 are requested at once
        return source.fetch(page_no)

    with prefetch_pages(fetch, 3) as page:
        assert [len(records) for records in read_all("the list", page, identity)] == [2, 2, 2, 1]


def test_prefetched_pages_belong_to_one_pass() -> None:
    """Rows vanish while the list is read: the second pass uses no page of the first."""
    source = Pages(12)

    def fetch(page_no: int) -> Page:
        if page_no == 4 and source.requested.count(1) == 1:
            del source.rows[0]
            source.total = 11
        return source.fetch(page_no)

    with prefetch_pages(fetch, 2) as page:
        read = [record["id"] for records in read_all("the list", page, identity) for record in records]
    assert read[-11:] == list(range(1, 12))
    assert source.requested.count(1) == 2


def test_pages_that_the_count_promises_may_be_missing() -> None:
    source = Pages(5, claims=9)
    with pytest.raises(IncompleteListError, match="5 distinct rows of 9"):
        source.read(8)


def test_the_error_of_a_page_is_raised_when_it_is_read() -> None:
    source = Pages(12)

    def fetch(page_no: int) -> Page:
        if page_no == 3:
            raise TransientApiError("page 3")
        return source.fetch(page_no)

    with prefetch_pages(fetch, 4) as page:
        pages = read_all("the list", page, identity)
        assert [next(pages), next(pages)] == [source.rows[:2], source.rows[2:4]]
        with pytest.raises(TransientApiError, match="page 3"):
            next(pages)
