"""When a list is complete. The lists here are fed page by page; test_flow.py pages over HTTP."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ApiRefusedError, IncompleteListError, NotFoundError
from pipelines.extract.paging import MAX_PASSES, read_all
from pipelines.extract.parsers import Page
from pipelines.normalize.record import identity


class Source:
    """A list that a test can change between two pages. `total`: what it claims; "true" for the truth."""

    def __init__(self, rows: Sequence[object], *, size: int = 2, total: int | str | None = "true") -> None:
        self.rows, self.size, self.total = list(rows), size, total
        self.requested: list[int] = []
        self.before_page: dict[int, Callable[[], object]] = {}
        """Called before a page is sent, by the number of pages requested so far."""

    def page(self, page_no: int) -> Page:
        self.before_page.get(len(self.requested), lambda: None)()
        self.requested.append(page_no)
        total = len(self.rows) if self.total == "true" else self.total
        assert total is None or isinstance(total, int)
        return Page([{"id": row} for row in self.rows[(page_no - 1) * self.size : page_no * self.size]], total)

    def read(self, **options: int) -> list[object]:
        pages = list(read_all("the list", self.page, identity, **options))
        return [record["id"] for page in pages for record in page]


@pytest.mark.parametrize("total", ["true", None])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_a_list_that_does_not_change(count: int, total: str | None) -> None:
    source = Source(range(count), total=total)
    assert source.read() == list(range(count))
    pages = -(-count // 2)
    is_last_full = count > 2 and count % 2 == 0  # whether page 1 is full, a list of one page does not tell
    assert len(source.requested) == (max(pages + is_last_full, 1) if total else pages + 1)


@pytest.mark.parametrize("total", ["true", None])
def test_a_short_page_is_not_the_end(total: str | None) -> None:
    # Servers cap the page size silently: a page shorter than asked for, or than the one before, ends nothing.
    pages = [[1, 2, 3], [4], [5, 6], [7], []]

    def fetch(page_no: int) -> Page:
        return Page([{"id": row} for row in pages[page_no - 1]], 7 if total else None)

    read = [record["id"] for page in read_all("x", fetch, identity) for record in page]
    assert read == [1, 2, 3, 4, 5, 6, 7]


def test_an_id_as_number_and_as_text_is_one_row() -> None:
    # Seen: counted twice, it replaced the last row, which was then never requested.
    pages: list[list[int | str]] = [[5, "a"], ["5", "b"], ["c"]]

    def fetch(page_no: int) -> Page:
        return Page([{"id": row} for row in pages[page_no - 1]], 4)

    read = [record["id"] for page in read_all("x", fetch, identity) for record in page]
    assert read == [5, "a", "5", "b", "c"]


def test_records_without_a_valid_id_are_distinguished() -> None:
    # Seen: two records with the id "" counted as one, so the list never reached its count and nothing was landed.
    broken: list[object] = ["", True, [], 1.5]
    records = [{"id": found, "row": row} for found in broken for row in (1, 2)]
    pages = [[{"id": "a"}, *records], []]
    read = [record for page in read_all("x", lambda page_no: Page(pages[page_no - 1], 9), identity) for record in page]
    assert len(read) == 9


def test_insertion_at_the_front_loses_nothing() -> None:
    source = Source([1, 2, 3, 4, 5])
    source.before_page[1] = lambda: source.rows.insert(0, 0)
    assert set(source.read()) == {0, 1, 2, 3, 4, 5}


def test_insertion_that_makes_a_whole_page_repeat() -> None:
    source = Source([1, 2, 3, 4])
    source.before_page[1] = lambda: source.rows.__setitem__(slice(0, 0), [-1, 0])
    assert set(source.read()) == {-1, 0, 1, 2, 3, 4}


def test_removal_from_a_page_read_before_loses_nothing() -> None:
    source = Source([1, 2, 3, 4, 5, 6])
    source.before_page[1] = lambda: source.rows.remove(1)
    assert set(source.read()) >= {2, 3, 4, 5, 6}


def test_a_row_that_moves_to_the_end_loses_none_that_moved_up() -> None:
    source = Source([1, 2, 3, 4, 5, 6])

    def move() -> None:
        source.rows.remove(1)
        source.rows.append(1)

    source.before_page[1] = move
    assert set(source.read()) == {1, 2, 3, 4, 5, 6}


def test_removal_and_insertion_in_one_reading() -> None:
    source = Source([1, 2, 3, 4, 5, 6])

    def change() -> None:
        source.rows.remove(1)
        source.rows.append(7)

    source.before_page[1] = change
    with_all = {2, 3, 4, 5, 6, 7}
    read = set(source.read())
    # 1, 2, 4, 5, 6, 7 are as many as the API counts: by the contract the list is complete without 3.
    assert read >= with_all - {3}


@pytest.mark.parametrize("rows", [[1, 2], [1]])
def test_page_no_ignored_without_a_total_is_an_error(rows: list[int]) -> None:
    source = Source(rows)
    with pytest.raises(IncompleteListError, match=r"the list: not complete .* page 2 repeats"):
        list(read_all("the list", lambda _: Page(source.page(1).records, None), identity))
    assert len(source.requested) == 2 * MAX_PASSES


def test_page_no_ignored_with_a_total_above_the_page_is_an_error() -> None:
    source = Source([1, 2, 3])
    with pytest.raises(IncompleteListError):
        list(read_all("the list", lambda _: source.page(1), identity))
    assert len(source.requested) == 2 * MAX_PASSES


def test_page_no_ignored_but_the_list_is_complete() -> None:
    source = Source([1, 2])
    assert list(read_all("x", lambda _: source.page(1), identity)) == [[{"id": 1}, {"id": 2}]]


def test_pages_that_repeat_in_a_longer_circle_are_an_error() -> None:
    requested = []

    def fetch(page_no: int) -> Page:
        requested.append(page_no)
        return Page([{"id": page_no % 3}], None)

    with pytest.raises(IncompleteListError, match="page 4 repeats"):
        list(read_all("x", fetch, identity))
    assert len(requested) == 4 * MAX_PASSES


def test_a_page_that_repeats_once_is_tolerated() -> None:
    source = Source(range(6))

    def fetch(page_no: int) -> Page:
        return source.page(1 if len(source.requested) == 1 else page_no)

    assert {record["id"] for page in read_all("x", fetch, identity) for record in page} == set(range(6))


def test_total_too_high_is_an_error() -> None:
    source = Source([1, 2, 3], total=9)
    with pytest.raises(IncompleteListError, match="3 distinct rows of 9 the API counts"):
        source.read()
    assert len(source.requested) == 3 * MAX_PASSES


@pytest.mark.parametrize("total", [0, 1, 3])
def test_total_too_low_ends_only_with_an_empty_page(total: int) -> None:
    source = Source([1, 2, 3, 4, 5], total=total)
    assert source.read() == [1, 2, 3, 4, 5]


def test_a_total_that_comes_and_goes() -> None:
    pages = {1: Page([{"id": 1}], None), 2: Page([{"id": 2}], 3), 3: Page([{"id": 3}], None), 4: Page([], None)}
    assert len(list(read_all("x", lambda page_no: pages[page_no], identity))) == 4


def test_an_endless_list_ends() -> None:
    requested = []

    def fetch(page_no: int) -> Page:
        requested.append(page_no)
        return Page([{"id": page_no}], 10**9)

    with pytest.raises(IncompleteListError, match="no end after 50 pages, 50 distinct rows"):
        list(read_all("x", fetch, identity, max_pages=50))
    assert len(requested) == 50


def test_rows_without_an_id_are_distinguished_by_content() -> None:
    pages = {1: Page([{"name": "a"}, None], None), 2: Page([{"name": "b"}, 5], None), 3: Page([], None)}
    assert sum(len(page) for page in read_all("x", lambda page_no: pages[page_no], identity)) == 4


def test_a_row_on_two_pages_is_yielded_twice() -> None:
    pages = {1: Page([{"id": 1}, {"id": 2}], 3), 2: Page([{"id": 2}, {"id": 3}], 3), 3: Page([], 3)}
    assert [len(page) for page in read_all("x", lambda page_no: pages[page_no], identity)] == [2, 2, 0]


# --- counts that are not of the list, and what servers answer past its end ------------------------------------------

COUNTS: dict[str, Callable[[int, int], int | None]] = {
    "of the list": lambda whole, _: whole,
    "of the page": lambda _, rows: rows,
    "up to a cap at a page's end": lambda whole, _: min(whole, 20),
    "up to a cap within a page": lambda whole, _: min(whole, 15),
    "of the first page": lambda whole, _: min(whole, 10),
    "none": lambda *_: None,
    "zero": lambda *_: 0,
}
ENDS = ("empty", "404", "416", "the last page again")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("rows", [1, 9, 10, 11, 20, 25, 30, 35])
def test_with_any_count_a_list_is_complete_or_an_error(rows: int, count: str, end: str) -> None:
    # 100 of 250 livestreams were loaded, exit 0, where total_count was the rows of the page.
    source = Source(range(rows), size=10)
    last_page = max(-(-rows // 10), 1)

    def fetch(page_no: int) -> Page:
        records = source.page(page_no).records
        if not records and end in {"404", "416"}:
            raise ApiRefusedError(f"GET /x: {end}: Invalid page.", status=int(end))
        if not records and end == "the last page again":
            records = source.page(last_page).records
        return Page(records, COUNTS[count](rows, len(records)), full_rows=10)

    read: set[object] = set()
    try:
        for page in read_all("x", fetch, identity):
            read |= {record["id"] for record in page}
    except IncompleteListError:
        # One page, and then the same page: page_no may as well be ignored.
        assert (end, rows <= 10) == ("the last page again", True)
        assert count in {"none", "zero"}
    else:
        assert read == set(range(rows))
    assert len(source.requested) <= MAX_PASSES * 2 * (last_page + 2)


@pytest.mark.parametrize(("rows", "requests"), [(5, 1), (10, 2), (15, 2), (20, 3)])
def test_only_a_full_page_that_reaches_the_count_costs_an_extra_request(rows: int, requests: int) -> None:
    source = Source(range(rows), size=10)

    def fetch(page_no: int) -> Page:
        page = source.page(page_no)
        return Page(page.records, page.total_count, full_rows=10)

    list(read_all("x", fetch, identity))
    assert len(source.requested) == requests


def test_a_404_within_a_list_is_not_its_end() -> None:
    pages = {1: Page([{"id": 1}, {"id": 2}], 5), 2: Page([{"id": 3}], 5)}

    def fetch(page_no: int) -> Page:
        if page_no not in pages:
            raise NotFoundError("GET /x: 404: gone", status=404)
        return pages[page_no]

    with pytest.raises(IncompleteListError, match="page 3 is not found"):
        list(read_all("x", fetch, identity))


def test_a_404_after_a_short_page_is_raised() -> None:
    # Without a count nothing tells whether more rows follow, unless every page but the last was full.
    pages = {1: Page([{"id": 1}], None), 2: Page([{"id": 2}, {"id": 3}], None)}

    def fetch(page_no: int) -> Page:
        if page_no not in pages:
            raise NotFoundError("GET /x: 404: gone", status=404)
        return pages[page_no]

    with pytest.raises(NotFoundError, match="gone"):
        list(read_all("x", fetch, identity))


@pytest.mark.parametrize("status", [404, 416])
@pytest.mark.parametrize(
    ("rows", "size", "is_whole"),
    [(500, 100, False), (10_000, 100, False), (1_000, 50, False), (499, 100, True), (200, 100, True), (501, 100, True)],
)
def test_a_404_at_a_usual_cap_is_not_the_end(rows: int, size: int, status: int, *, is_whole: bool) -> None:
    # A service that lists no further than 10,000 rows, counts none of them and answers 404 behind them: the list ended
    # there without a word.
    source = Source(range(rows), size=size)

    def fetch(page_no: int) -> Page:
        page = source.page(page_no)
        if not page.records:
            raise ApiRefusedError(f"GET /x: {status}: Invalid page.", status=status)
        return Page(page.records, None, full_rows=size)

    if is_whole:
        assert sum(map(len, read_all("x", fetch, identity))) == rows
        return
    with pytest.raises(
        IncompleteListError, match=rf"^x: not known to be complete: page \d+ is not found after {rows:,}"
    ):
        list(read_all("x", fetch, identity))
    assert len(source.requested) == rows / size + 1, "another pass would find the same"


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_another_refusal_is_never_the_end(status: int) -> None:
    # "Result window is too large": at ten thousand rows, beside a total that is capped there.
    source = Source(range(20))

    def fetch(page_no: int) -> Page:
        if page_no > 3:
            raise ApiRefusedError("GET /x: no", status=status)
        return Page(source.page(page_no).records, None)

    with pytest.raises(ApiRefusedError):
        list(read_all("x", fetch, identity))


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(
    ("reason", "is_end"),
    [
        ("Invalid page.", True),
        ("page_no must be between 1 and 2", True),
        ("offset out of range", True),
        ("Result window is too large", False),
        ("page too deep: no more than 10,000 rows", False),
        ("no", False),
    ],
)
def test_a_malformed_page_refusal_confirms_a_count_reached_with_a_full_page(
    status: int, reason: str, *, is_end: bool
) -> None:
    # Exactly 100 of 100 livestreams, and a service that answers 400 past the end: the app failed every night.
    source = Source(range(20), size=10)

    def fetch(page_no: int) -> Page:
        if page_no > 2:
            raise ApiRefusedError(f"GET /accounts/1000010000/range/page: {status}: {reason}", status=status)
        return Page(source.page(page_no).records, 20, full_rows=10)

    if is_end:
        assert sum(map(len, read_all("x", fetch, identity))) == 20
    else:
        with pytest.raises(ApiRefusedError):
            list(read_all("x", fetch, identity))


def test_a_full_page_repeated_once_is_not_the_end() -> None:
    source = Source(range(8))

    def fetch(page_no: int) -> Page:
        return Page(source.page(2 if len(source.requested) == 2 else page_no).records, None)

    assert {record["id"] for page in read_all("x", fetch, identity) for record in page} == set(range(8))


@pytest.mark.parametrize("first_page", [1, 100])
@pytest.mark.parametrize("grows", [1, 2, 50])
def test_pages_with_one_new_row_end_by_the_first_count(first_page: int, grows: int) -> None:
    # 10,000 requests were sent, 42 minutes of the budget.
    requested = []

    def fetch(page_no: int) -> Page:
        requested.append(page_no)
        rows = [{"id": f"{page_no}-{n}"} for n in range(first_page if page_no == 1 else 1)]
        return Page(rows, 150 + grows * page_no, full_rows=100)

    with pytest.raises(IncompleteListError, match="no end after"):
        list(read_all("x", fetch, identity))
    assert len(requested) <= 2 * -(-(150 + grows) // first_page) + 12


def test_a_long_list_in_capped_pages_is_read() -> None:
    source = Source(range(3000), size=20)
    read = [record for page in read_all("x", lambda n: Page(source.page(n).records, 40), identity) for record in page]
    assert len(read) == 3000


@given(
    count=st.integers(0, 12),
    size=st.integers(1, 5),
    moves=st.dictionaries(st.integers(1, 6), st.tuples(st.integers(0, 11), st.integers(0, 12)), max_size=3),
)
def test_moving_rows_are_neither_lost_nor_an_error(count: int, size: int, moves: dict[int, tuple[int, int]]) -> None:
    source = Source(range(count), size=size)

    def mover(origin: int, target: int) -> Callable[[], None]:
        def move() -> None:
            if source.rows:
                source.rows.insert(target, source.rows.pop(origin % len(source.rows)))

        return move

    source.before_page = {at: mover(*move) for at, move in moves.items()}
    assert set(source.read()) == set(range(count))
