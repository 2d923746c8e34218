"""Calls a function for many items concurrently, yields results as they complete, and lets no failure hide the rest."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from itertools import islice
from typing import Generic, TypeVar

from pipelines.clock import utc_now
from pipelines.errors import ApiError, ApiRefusedError
from pipelines.extract.parsers import Page

Item = TypeVar("Item")
Value = TypeVar("Value")

_FAILURES_TO_GIVE_UP = 40
"""After so many failures in a row the service itself is at fault. By then each transient failure has cost seven requests and
half a minute. A count of all failures would give up a long list because of a few bad records in it."""


@dataclass(frozen=True)
class Result(Generic[Item, Value]):
    """The outcome for one item: `error` is set, or `value` holds what the call returned."""

    item: Item
    requested_at: datetime
    value: Value | None
    error: ApiError | None
    was_sent: bool = True
    """False: no request was sent, and `error` is the one that ended the list."""


def fetch_concurrently(
    call: Callable[[Item], Value], items: Iterable[Item], concurrency: int
) -> Iterator[Result[Item, Value]]:
    """Yield one result for each item, in order of completion. A few items are queued, never all of them.

    A failed call yields a result with its error. Once going on is pointless, because the token is refused or every call
    fails, the remaining items are not requested: each yields the error that ended the list.
    """

    def process(item: Item) -> Result[Item, Value]:
        requested_at = utc_now()
        try:
            return Result(item, requested_at, call(item), None)
        except ApiError as error:
            return Result(item, requested_at, None, error)

    remaining = iter(items)
    failed_in_a_row = 0
    ended_by: ApiError | None = None
    with _threads(concurrency) as pool:
        pending: dict[Future[Result[Item, Value]], Item] = {
            pool.submit(process, item): item for item in islice(remaining, 2 * concurrency)
        }
        while pending:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            finished = [(future, pending.pop(future)) for future in done]
            if ended_by is None:
                pending |= {pool.submit(process, item): item for item in islice(remaining, len(done))}
            for future, item in finished:
                if future.cancelled():
                    yield Result(item, utc_now(), None, ended_by, was_sent=False)
                    continue
                result = future.result()
                yield result
                failed_in_a_row = failed_in_a_row + _is_of_the_service(result.error) if result.error else 0
                if result.error and (_is_token_refused(result.error) or failed_in_a_row >= _FAILURES_TO_GIVE_UP):
                    ended_by = ended_by or result.error
                    for waiting in pending:
                        waiting.cancel()
    for item in remaining:
        yield Result(item, utc_now(), None, ended_by, was_sent=False)


def _is_token_refused(error: ApiError) -> bool:
    return isinstance(error, ApiRefusedError) and error.status == HTTPStatus.UNAUTHORIZED


def _is_of_the_service(error: ApiError) -> bool:
    """Whether a failure may be the whole service's; any other refusal is an answer about this one question."""
    return error.can_retry or (isinstance(error, ApiRefusedError) and error.status == HTTPStatus.FORBIDDEN)


@contextmanager
def prefetch_pages(fetch_page: Callable[[int], Page], concurrency: int) -> Iterator[Callable[[int], Page]]:
    """Give a `fetch_page` for `read_all` that has the pages to come under way: one by one, slow replies waste budget.

    They are as many as the first page counts; each reading asks anew. A page's failure is raised when that page is read.
    """
    under_way: dict[int, Future[Page]] = {}
    last = 1

    def page(page_no: int) -> Page:
        nonlocal last
        if page_no == 1:
            for unread in under_way.values():
                unread.cancel()
            under_way.clear()
            first = fetch_page(1)
            last = -(-(first.total_count or 0) // max(len(first.records), 1))
            return first
        for coming in range(page_no, min(page_no + concurrency - 1, last) + 1):
            if coming not in under_way:
                under_way[coming] = pool.submit(fetch_page, coming)
        return under_way.pop(page_no).result() if page_no in under_way else fetch_page(page_no)

    with _threads(concurrency) as pool:
        yield page


@contextmanager
def _threads(most: int) -> Iterator[ThreadPoolExecutor]:
    """Threads, each made when it is needed. They are waited for where the run goes on, and not by a person who stops it.

    What they still ask then fails, for the run closes its client.
    """
    pool = ThreadPoolExecutor(most, thread_name_prefix="ask")
    goes_on = False
    try:
        yield pool
        goes_on = True
    except ApiError:
        goes_on = True
        raise
    finally:
        pool.shutdown(wait=goes_on, cancel_futures=True)
