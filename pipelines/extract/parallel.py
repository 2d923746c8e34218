"""Asks many questions at once, hands answers on as they come, keeps one failure from hiding the rest."""

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
from pipelines.extract.shapes import Page

Question = TypeVar("Question")
Value = TypeVar("Value")

_HOPELESS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
_FAILURES_TO_GIVE_UP = 8
"""After so many the fault is the service's, not that of a single livestream or day."""


@dataclass(frozen=True)
class Answer(Generic[Question, Value]):
    """What came of one question. Either `error` is set or `value` holds the answer."""

    question: Question
    asked_at: datetime
    value: Value | None
    error: ApiError | None


def ask_each(
    ask: Callable[[Question], Value], questions: Iterable[Question], concurrency: int
) -> Iterator[Answer[Question, Value]]:
    """Give the answers in the order they come. A few questions wait in line, never all of them.

    A question that fails is an answer with its error. Raises that error instead when going on is pointless:
    the token is refused, or failures pile up.
    """

    def answered(question: Question) -> Answer[Question, Value]:
        asked_at = utc_now()
        try:
            return Answer(question, asked_at, ask(question), None)
        except ApiError as error:
            return Answer(question, asked_at, None, error)

    remaining = iter(questions)
    failures = 0
    with _threads(concurrency) as pool:
        pending: set[Future[Answer[Question, Value]]] = {
            pool.submit(answered, question) for question in islice(remaining, 2 * concurrency)
        }
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            pending |= {pool.submit(answered, question) for question in islice(remaining, len(done))}
            for future in done:
                answer = future.result()
                if answer.error:
                    failures += 1
                    refused = isinstance(answer.error, ApiRefusedError) and answer.error.status in _HOPELESS
                    if refused or failures >= _FAILURES_TO_GIVE_UP:
                        raise answer.error
                yield answer


@contextmanager
def pages_ahead(fetch_page: Callable[[int], Page], concurrency: int) -> Iterator[Callable[[int], Page]]:
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
