"""Calls a function for many items concurrently, yields results as they complete, and lets no failure hide the rest."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from itertools import islice
from queue import SimpleQueue
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
    remaining = iter(items)
    failed_in_a_row = 0
    ended_by: ApiError | None = None
    # A queue, because `wait` visits every pending future for each one that is done.
    done: SimpleQueue[Future[Result[Item, Value]]] = SimpleQueue()
    pending: dict[Future[Result[Item, Value]], Item] = {}
    with _thread_pool(concurrency) as pool:

        def submit(most: int) -> None:
            for item in islice(remaining, most):
                future = pool.submit(_call, call, item)
                pending[future] = item
                future.add_done_callback(done.put)

        submit(2 * concurrency)
        while pending:
            future = done.get()
            item = pending.pop(future)
            if ended_by is None:
                submit(1)
            if future.cancelled():
                yield Result(item, utc_now(), None, ended_by, was_sent=False)
            else:
                result = future.result()
                yield result
                failed_in_a_row = failed_in_a_row + _may_be_service_failure(result.error) if result.error else 0
                if result.error and (_is_token_refused(result.error) or failed_in_a_row >= _FAILURES_TO_GIVE_UP):
                    ended_by = ended_by or result.error
                    for waiting in pending:
                        waiting.cancel()
    for item in remaining:
        yield Result(item, utc_now(), None, ended_by, was_sent=False)


def _call(call: Callable[[Item], Value], item: Item) -> Result[Item, Value]:
    requested_at = utc_now()
    try:
        return Result(item, requested_at, call(item), None)
    except ApiError as error:
        return Result(item, requested_at, None, error)


def _is_token_refused(error: ApiError) -> bool:
    return isinstance(error, ApiRefusedError) and error.status == HTTPStatus.UNAUTHORIZED


def _may_be_service_failure(error: ApiError) -> bool:
    """Whether a failure may concern the whole service; any other refusal concerns one item."""
    return error.can_retry or (isinstance(error, ApiRefusedError) and error.status == HTTPStatus.FORBIDDEN)


@contextmanager
def prefetch_pages(fetch_page: Callable[[int], Page], concurrency: int) -> Iterator[Callable[[int], Page]]:
    """Yield a `fetch_page` for `read_all` that requests the next pages ahead: one at a time, slow replies waste budget.

    It prefetches as many pages as the first page counts, and starts again when page 1 is fetched again. The error of a
    prefetched page is raised when that page is fetched.
    """
    in_flight: dict[int, Future[Page]] = {}
    last = 1

    def fetch(page_no: int) -> Page:
        nonlocal last
        if page_no == 1:
            for unread in in_flight.values():
                unread.cancel()
            in_flight.clear()
            first = fetch_page(1)
            last = -(-(first.total_count or 0) // max(len(first.records), 1))
            return first
        for ahead in range(page_no, min(page_no + concurrency - 1, last) + 1):
            if ahead not in in_flight:
                in_flight[ahead] = pool.submit(fetch_page, ahead)
        return in_flight.pop(page_no).result() if page_no in in_flight else fetch_page(page_no)

    with _thread_pool(concurrency) as pool:
        yield fetch


@contextmanager
def _thread_pool(max_workers: int) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool. Leaving it waits for its threads only if the run continues: Ctrl-C does not wait for in-flight requests.

    Those then fail, because the run closes its client.
    """
    pool = ThreadPoolExecutor(max_workers, thread_name_prefix="fetch")
    continues = False
    try:
        yield pool
        continues = True
    except ApiError:
        continues = True
        raise
    finally:
        pool.shutdown(wait=continues, cancel_futures=True)
