"""Functions that fetch one page of a list of the API, for `paging.read_all`."""

from collections.abc import Callable
from dataclasses import replace

from pipelines.extract import operations, parsers
from pipelines.extract.client import ApiClient
from pipelines.extract.parsers import Page

FetchPage = Callable[[int], Page]


def livestream_page_fetcher(client: ApiClient, app_id: str, *, status: str | None = None) -> FetchPage:
    """Return a function that fetches a page of the livestreams of an app."""

    def fetch(page_no: int) -> Page:
        return parsers.parse_livestream_page(
            operations.list_livestreams(client, app_id, page_no=page_no, status=status)
        )

    return _with_full_rows(client, app_id, operations.LIST_LIVESTREAMS, fetch)


def session_page_fetcher(client: ApiClient, app_id: str, livestream_id: str) -> FetchPage:
    """Return a function that fetches a page of the sessions of a livestream."""

    def fetch(page_no: int) -> Page:
        return parsers.parse_session_page(operations.get_livestream(client, app_id, livestream_id, page_no=page_no))

    return _with_full_rows(client, app_id, operations.GET_LIVESTREAM, fetch)


def _with_full_rows(client: ApiClient, app_id: str, operation: str, fetch: FetchPage) -> FetchPage:
    """Return `fetch` with the rows of a full page added to each page."""
    first_rows = 0

    def fetch_with_full_rows(page_no: int) -> Page:
        nonlocal first_rows
        page = fetch(page_no)
        if page_no == 1:
            first_rows = len(page.records)
        elif page.records:
            client.dialect.note_full_page(app_id, operation, first_rows)
        return replace(page, full_rows=client.dialect.full_page_rows(app_id, operation))

    return fetch_with_full_rows
