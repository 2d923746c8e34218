"""Many questions at once: each answered once, a few in line, no failure hidden."""

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
from pipelines.normalize.raw_frames import identity


@pytest.mark.parametrize("concurrency", [1, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_every_question_is_answered_once(concurrency: int, count: int) -> None:
    results = list(fetch_concurrently(lambda n: n * n, range(count), concurrency))
    assert sorted((result.item, result.value) for result in results) == [(n, n * n) for n in range(count)]
    assert all(result.error is None for result in results)


def test_a_failure_is_an_answer_and_the_others_go_on() -> None:
    def ask(n: int) -> int:
        if n % 10 == 3:
            raise TransientApiError(f"question {n}")
        return n

    results = list(fetch_concurrently(ask, range(60), 4))
    assert sorted(result.item for result in results if result.error) == [3, 13, 23, 33, 43, 53]
    assert sorted(result.item for result in results) == list(range(60))


def test_an_answer_of_none_is_no_failure() -> None:
    (result,) = fetch_concurrently(lambda _: None, ["x"], 2)
    assert (result.value, result.error) == (None, None)


def test_a_refused_token_ends_it() -> None:
    asked: list[int] = []

    def ask(n: int) -> int:
        asked.append(n)
        raise ApiRefusedError("no", status=401)

    results = list(fetch_concurrently(ask, range(1000), 2))
    assert len(asked) <= 6
    assert sorted(result.item for result in results) == list(range(1000))
    assert {str(result.error) for result in results} == {"no"}


def refuse(n: int) -> int:
    raise ApiRefusedError(f"{n} is refused", status=400)


def deny(n: int) -> int:
    raise ApiRefusedError(f"{n} is denied", status=403)


def fail(n: int) -> int:
    raise TransientApiError(f"{n} is down")


def misread(n: int) -> int:
    raise UnexpectedReplyError(f"{n} is odd")


@pytest.mark.parametrize(("ask", "ends"), [(fail, True), (deny, True), (refuse, False), (misread, False)])
def test_what_may_be_the_fault_of_the_service_ends_the_list_when_nothing_is_answered_any_more(
    ask: Callable[[int], int],
    ends: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    asked: list[int] = []

    def noted(n: int) -> int:
        asked.append(n)
        return n if n < 200 else ask(n)

    results = list(fetch_concurrently(noted, range(1000), 2))
    assert sorted(result.item for result in results) == list(range(1000))
    assert sorted(result.item for result in results if result.error is None) == list(range(200))
    assert 240 <= len(asked) <= 240 + 3 * 2 if ends else len(asked) == 1000


@pytest.mark.parametrize("share", [2, 5, 10])
def test_however_many_fail_the_others_are_asked(share: int) -> None:
    def ask(n: int) -> int:
        return n if n % share == 0 else fail(n)

    results = list(fetch_concurrently(ask, range(2000), 4))
    assert sum(result.error is None for result in results) == 2000 // share


def test_one_not_found_is_not_hopeless() -> None:
    def ask(_: int) -> int:
        raise NotFoundError("gone", status=404)

    assert len(list(fetch_concurrently(ask, range(7), 2))) == 7


def test_a_mistake_of_ours_is_raised_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        list(fetch_concurrently(lambda n: 1 // n, [1, 0, 2], 1))


def test_questions_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def questions() -> Iterator[int]:
        for n in range(10_000):
            taken.append(n)
            yield n

    results = fetch_concurrently(lambda n: n, questions(), 3)
    next(results)
    assert len(taken) <= 2 * 6
    results.close()  # type: ignore[attr-defined]  # a generator
    assert len(taken) <= 2 * 6


def test_never_more_at_once_than_allowed() -> None:
    lock, running, most = threading.Lock(), 0, 0
    barrier = threading.Barrier(4)

    def ask(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        barrier.wait(timeout=30)  # passes only if four are under way together
        with lock:
            running -= 1

    list(fetch_concurrently(ask, range(40), 4))
    assert most == 4


def test_the_moment_of_asking_is_before_the_answer() -> None:
    (result,) = fetch_concurrently(lambda _: __import__("pipelines.clock").clock.utc_now(), [0], 1)
    assert result.value is not None
    assert result.requested_at <= result.value


def test_other_errors_of_the_api_are_answers_too() -> None:
    class OddError(ApiError):
        pass

    def ask(_: int) -> int:
        raise OddError("odd")

    (result,) = fetch_concurrently(ask, [1], 1)
    assert isinstance(result.error, OddError)


class Pages:
    """A list of rows, two a page, that notes which pages were asked for."""

    def __init__(self, count: int, *, claims: int | None = None) -> None:
        self.rows = [{"id": number} for number in range(count)]
        self.total = count if claims is None else claims
        self.asked: list[int] = []

    def fetch(self, page_no: int) -> Page:
        self.asked.append(page_no)
        return Page(self.rows[2 * page_no - 2 : 2 * page_no], self.total)

    def read(self, concurrency: int) -> list[object]:
        with prefetch_pages(self.fetch, concurrency) as page:
            return [record["id"] for records in read_all("the list", page, identity) for record in records]


@pytest.mark.parametrize("concurrency", [1, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 9, 39])
def test_pages_ahead_cost_no_request_more(count: int, concurrency: int) -> None:
    source = Pages(count)
    assert source.read(concurrency) == list(range(count))
    assert sorted(source.asked) == list(range(1, max(-(-count // 2), 1) + 1))


def test_pages_ahead_are_under_way_together() -> None:
    source, together = Pages(7), threading.Barrier(3)

    def fetch(page_no: int) -> Page:
        if page_no > 1:
            together.wait(timeout=30)  # passes only if pages 2, 3 and 4 are asked for at once
        return source.fetch(page_no)

    with prefetch_pages(fetch, 3) as page:
        assert [len(records) for records in read_all("the list", page, identity)] == [2, 2, 2, 1]


def test_pages_ahead_are_of_one_reading() -> None:
    """Rows vanish while the list is read: it is read again, and no page of the first reading is taken for the second."""
    source = Pages(12)

    def fetch(page_no: int) -> Page:
        if page_no == 4 and source.asked.count(1) == 1:
            del source.rows[0]
            source.total = 11
        return source.fetch(page_no)

    with prefetch_pages(fetch, 2) as page:
        read = [record["id"] for records in read_all("the list", page, identity) for record in records]
    assert read[-11:] == list(range(1, 12))
    assert source.asked.count(1) == 2


def test_pages_that_the_count_promises_and_that_are_not_there() -> None:
    source = Pages(5, claims=9)
    with pytest.raises(IncompleteListError, match="5 distinct rows of 9"):
        source.read(8)


def test_a_page_that_fails_is_raised_when_it_is_read() -> None:
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
