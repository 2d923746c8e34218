"""Asks for the present: what is on air, the session it runs, how a session ended. Here a 404 is an answer.

The document has operations for each: the list by status, a livestream's active session, a meeting's active
livestream, a session by its id.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.errors import ApiError, NotFoundError
from pipelines.extract import operations
from pipelines.extract import parsers as shapes
from pipelines.extract.client import ApiClient
from pipelines.extract.concurrency import fetch_concurrently
from pipelines.extract.lists import FetchPage, livestream_pages
from pipelines.extract.paging import read_all
from pipelines.extract.parsers import Record
from pipelines.extract.selection import ON_AIR


@dataclass(frozen=True)
class Sight:
    """One stream with a session, and when the API answered about it (UTC)."""

    livestream_id: str
    livestream: Record
    session: Record
    seen_at: datetime

    @property
    def session_id(self) -> str | None:
        """Which session it runs, where the record tells."""
        return _text(self.session, "id")


@dataclass
class Present:
    """What one look at an app brought."""

    sights: list[Sight] = field(default_factory=list)
    waiting: int = 0
    """Streams listed as LIVE or INVOKED that run no session: made, and not fed yet; or over since listed."""
    errors: list[ApiError] = field(default_factory=list)
    """Questions about single streams that failed: those are left out."""


@dataclass(frozen=True)
class Eye:
    """How one app is looked at."""

    client: ApiClient
    app_id: str
    identify: Callable[[Record], str]
    """Tells records of a list apart."""
    may_ask: Callable[[], None]
    """Called before every question; raises when observing has to step back."""
    now: Callable[[], datetime]

    def look(self) -> Present:
        """Ask for everything that is on air."""
        present = Present()
        listed = self._listed()
        meetings = dict.fromkeys(text for record in listed.values() if (text := _text(record, "meeting_id")))
        for result in fetch_concurrently(self._of_meeting, meetings, self.client.concurrency):
            present.errors += [result.error] if result.error else []
            # A stream that started since the lists were read is known by its meeting alone.
            listed |= {found: record for record in result.value or () if (found := _text(record, "id"))}
        for seen in fetch_concurrently(self._running, listed.items(), self.client.concurrency):
            if seen.error:
                present.errors.append(seen.error)
            elif seen.value is None:
                present.waiting += 1
            else:
                present.sights.append(seen.value)
        return present

    def ended(self, session_ids: Sequence[str]) -> dict[str, Record]:
        """Ask how sessions stand that are not on air any more; one that cannot be had is left out."""
        results = fetch_concurrently(self._session, session_ids, self.client.concurrency)
        return {result.item: result.value for result in results if result.value is not None}

    def _listed(self) -> dict[str, Record]:
        """List livestreams by status, by id. INVOKED first: what goes live meanwhile is then in the second list."""
        found: dict[str, Record] = {}
        for status in reversed(ON_AIR):
            fetch = livestream_pages(self.client, self.app_id, status=status)

            def page_of(page_no: int, fetch: FetchPage = fetch) -> shapes.Page:
                self.may_ask()
                return fetch(page_no)

            for page in read_all(f"{status} livestreams of app {self.app_id}", page_of, self.identify):
                for record in page:
                    livestream_id = _text(record, "id")
                    # A service that passes over the filter would have us ask about every livestream there is.
                    if livestream_id and (_text(record, "status") or status).upper() in ON_AIR:
                        found[livestream_id] = record
        return found

    def _of_meeting(self, meeting_id: str) -> list[Record]:
        self.may_ask()
        try:
            reply = operations.get_meeting_livestream(self.client, self.app_id, meeting_id)
        except NotFoundError:
            return []
        return [record for name, record in shapes.stream_and_session(reply, alone="livestream") if name == "livestream"]

    def _running(self, listed: tuple[str, Record]) -> Sight | None:
        livestream_id, livestream = listed
        self.may_ask()
        try:
            reply = operations.get_active_session(self.client, self.app_id, livestream_id)
        except NotFoundError:
            return None
        found = dict(shapes.stream_and_session(reply, alone="session"))
        if "session" not in found:
            return None
        return Sight(livestream_id, found.get("livestream", livestream), found["session"], self.now())

    def _session(self, session_id: str) -> Record | None:
        self.may_ask()
        try:
            reply = operations.get_session(self.client, self.app_id, session_id)
        except NotFoundError:
            return None
        return dict(shapes.stream_and_session(reply, alone="session")).get("session")


def _text(record: Record, field: str) -> str | None:
    """Read an identifier or a word of a record, where there is one."""
    value = record.get(field) if isinstance(record, dict) else None
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None
