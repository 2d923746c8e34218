"""Polls one app for its live streams, their active sessions, and the last figures of sessions that ended.

The vendor's OpenAPI has an operation for each step: the list by status, the active livestream of a meeting, the active
session of a livestream, a session by its id. A 404 of the last three means "none", and is no error.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.errors import ApiError, NotFoundError
from pipelines.extract import operations, parsers
from pipelines.extract.client import ApiClient
from pipelines.extract.concurrency import fetch_concurrently
from pipelines.extract.page_fetchers import FetchPage, livestream_page_fetcher
from pipelines.extract.paging import read_all
from pipelines.extract.parsers import JsonRecord
from pipelines.extract.selection import ON_AIR


@dataclass(frozen=True)
class LiveStream:
    """A livestream with its active session, as of `answered_at` (UTC), the time of the API's reply."""

    livestream_id: str
    livestream: JsonRecord
    session: JsonRecord
    answered_at: datetime

    @property
    def session_id(self) -> str | None:
        """The id of the active session; None if the record has none."""
        return _text(self.session, "id")


@dataclass
class PollResult:
    """The live streams of one app."""

    streams: list[LiveStream] = field(default_factory=list)
    without_session: int = 0
    """Livestreams listed as LIVE or INVOKED that have no active session: not fed yet, or ended since the list was read."""
    errors: list[ApiError] = field(default_factory=list)
    """Failed requests about single livestreams, which are missing from `streams`."""


@dataclass(frozen=True)
class LivePoller:
    """Polls one app."""

    client: ApiClient
    app_id: str
    identify: Callable[[JsonRecord], str]
    """Returns the key of a listed record."""
    check_may_continue: Callable[[], None]
    """Called before every request; raises to abort the poll."""
    now: Callable[[], datetime]

    def poll(self) -> PollResult:
        """Fetch all live streams of the app. Raises `ApiError` if the lists cannot be read."""
        result = PollResult()
        listed = self._list_livestreams()
        meetings = dict.fromkeys(text for record in listed.values() if (text := _text(record, "meeting_id")))
        for of_meeting in fetch_concurrently(self._fetch_of_meeting, meetings, self.client.concurrency):
            result.errors += [of_meeting.error] if of_meeting.error else []
            # The lists do not hold a livestream that started after they were read; its meeting names it.
            listed |= {found: record for record in of_meeting.value or () if (found := _text(record, "id"))}
        for active in fetch_concurrently(self._fetch_active_session, listed.items(), self.client.concurrency):
            if active.error:
                result.errors.append(active.error)
            elif active.value is None:
                result.without_session += 1
            else:
                result.streams.append(active.value)
        return result

    def fetch_sessions(self, session_ids: Sequence[str]) -> tuple[dict[str, JsonRecord], list[ApiError]]:
        """Fetch sessions that are no longer active. Returns those that the API has, by id, and the failed requests."""
        results = list(fetch_concurrently(self._fetch_session, session_ids, self.client.concurrency))
        sessions = {result.item: result.value for result in results if result.value is not None}
        return sessions, [result.error for result in results if result.error]

    def _list_livestreams(self) -> dict[str, JsonRecord]:
        """List livestreams by status, keyed by id. INVOKED first: one that goes live in between is in the second list."""
        found: dict[str, JsonRecord] = {}
        for status in reversed(ON_AIR):
            fetch = livestream_page_fetcher(self.client, self.app_id, status=status)

            def fetch_page(page_no: int, fetch: FetchPage = fetch) -> parsers.Page:
                self.check_may_continue()
                return fetch(page_no)

            for page in read_all(f"{status} livestreams of app {self.app_id}", fetch_page, self.identify):
                for record in page:
                    livestream_id = _text(record, "id")
                    # A service that ignores the filter would cost a request for every livestream of the app.
                    if livestream_id and (_text(record, "status") or status).upper() in ON_AIR:
                        found[livestream_id] = record
        return found

    def _fetch_of_meeting(self, meeting_id: str) -> list[JsonRecord]:
        self.check_may_continue()
        try:
            reply = operations.get_meeting_livestream(self.client, self.app_id, meeting_id)
        except NotFoundError:
            return []
        found = parsers.parse_live_reply(reply, bare_record="livestream")
        return [record for name, record in found if name == "livestream"]

    def _fetch_active_session(self, listed: tuple[str, JsonRecord]) -> LiveStream | None:
        livestream_id, livestream = listed
        self.check_may_continue()
        try:
            reply = operations.get_active_session(self.client, self.app_id, livestream_id)
        except NotFoundError:
            return None
        found = dict(parsers.parse_live_reply(reply, bare_record="session"))
        if "session" not in found:
            return None
        return LiveStream(livestream_id, found.get("livestream", livestream), found["session"], self.now())

    def _fetch_session(self, session_id: str) -> JsonRecord | None:
        self.check_may_continue()
        try:
            reply = operations.get_session(self.client, self.app_id, session_id)
        except NotFoundError:
            return None
        return dict(parsers.parse_live_reply(reply, bare_record="session")).get("session")


def _text(record: JsonRecord, name: str) -> str | None:
    """Return a non-empty text or whole number of a record, as text; None if it has none."""
    value = record.get(name) if isinstance(record, dict) else None
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None
