"""Many questions at once: each answered once, a few in line, no failure hidden."""

import threading
from collections.abc import Iterator

import pytest

from pipelines.errors import ApiError, ApiRefusedError, NotFoundError, TransientApiError
from pipelines.extract.parallel import ask_each


@pytest.mark.parametrize("concurrency", [1, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_every_question_is_answered_once(concurrency: int, count: int) -> None:
    answers = list(ask_each(lambda n: n * n, range(count), concurrency))
    assert sorted((answer.question, answer.value) for answer in answers) == [(n, n * n) for n in range(count)]
    assert all(answer.error is None for answer in answers)


def test_a_failure_is_an_answer_and_the_others_go_on() -> None:
    def ask(n: int) -> int:
        if n % 10 == 3:
            raise TransientApiError(f"question {n}")
        return n

    answers = list(ask_each(ask, range(60), 4))
    assert sorted(answer.question for answer in answers if answer.error) == [3, 13, 23, 33, 43, 53]
    assert sorted(answer.question for answer in answers) == list(range(60))


def test_an_answer_of_none_is_no_failure() -> None:
    (answer,) = ask_each(lambda _: None, ["x"], 2)
    assert (answer.value, answer.error) == (None, None)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_ends_it(status: int) -> None:
    asked: list[int] = []

    def ask(n: int) -> int:
        asked.append(n)
        raise ApiRefusedError("no", status=status)

    with pytest.raises(ApiRefusedError):
        list(ask_each(ask, range(1000), 2))
    assert len(asked) <= 6


def test_failures_that_pile_up_end_it() -> None:
    asked: list[int] = []

    def ask(n: int) -> int:
        asked.append(n)
        raise TransientApiError("down")

    with pytest.raises(TransientApiError, match="down"):
        list(ask_each(ask, range(1000), 2))
    assert 8 <= len(asked) <= 8 + 3 * 2


def test_one_not_found_is_not_hopeless() -> None:
    def ask(_: int) -> int:
        raise NotFoundError("gone", status=404)

    assert len(list(ask_each(ask, range(7), 2))) == 7


def test_a_mistake_of_ours_is_raised_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        list(ask_each(lambda n: 1 // n, [1, 0, 2], 1))


def test_questions_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def questions() -> Iterator[int]:
        for n in range(10_000):
            taken.append(n)
            yield n

    answers = ask_each(lambda n: n, questions(), 3)
    next(answers)
    assert len(taken) <= 2 * 6
    answers.close()  # type: ignore[attr-defined]  # a generator
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

    list(ask_each(ask, range(40), 4))
    assert most == 4


def test_the_moment_of_asking_is_before_the_answer() -> None:
    (answer,) = ask_each(lambda _: __import__("pipelines.clock").clock.utc_now(), [0], 1)
    assert answer.value is not None
    assert answer.asked_at <= answer.value


def test_other_errors_of_the_api_are_answers_too() -> None:
    class OddError(ApiError):
        pass

    def ask(_: int) -> int:
        raise OddError("odd")

    (answer,) = ask_each(ask, [1], 1)
    assert isinstance(answer.error, OddError)
