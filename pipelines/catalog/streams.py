"""The streams of the API: which operation fills which raw table, and which core tables are built from it.

Assets, checks, the files' tables, known fields and the report are derived from `STREAMS`. "Add an endpoint" in
CONTRIBUTING.md says what one more costs. The tables of a stream, and the raw tables that are fetched before it:

raw.livestreams          -> core.livestreams
raw.livestream_analytics -> core.livestream_analytics_daily
raw.app_analytics        -> core.meeting_sessions_daily, core.recordings_daily
raw.livestream_sessions  -> core.livestream_sessions                            after raw.livestreams, raw.livestream_analytics
"""

from dataclasses import dataclass
from typing import Literal

from pipelines.catalog import core, raw
from pipelines.catalog.types import Table


@dataclass(frozen=True)
class Part:
    """A core table, and the part of a stream's records that it is built from."""

    table: Table
    title: str
    """Name of its rows on the report."""
    stats: str | None = None
    """Value of `stats` in the raw table, where one reply has several parts."""
    also_reads: tuple[Table, ...] = ()
    """Other raw tables: a change there can change rows of this table, so the day is rebuilt."""
    explained_by: Table | None = None
    """Core table whose rows must add up to a total that became smaller; otherwise the larger total stays."""


@dataclass(frozen=True)
class Stream:
    """One operation of the API, as a nightly run uses it."""

    operation: str
    """Name of the operation, as `livehouse api` calls it. Its parser is registered under this name."""
    raw: Table
    parts: tuple[Part, ...]
    """Core tables built from it. A stream without any fills columns of another stream's table (`Table.joined_columns`)."""
    fetched_by: Literal["page", "day", "range", "livestream"]
    """Scope of one request: a page of a list, one day, a range of days, or one livestream."""
    path: tuple[str, ...] = ()
    """Of a stream fetched by `range`: segments of its URL after the app's. It takes `start_date` and `end_date`."""
    day_field: str = "day"
    """Field of an entry that names its day."""
    after: tuple[Table, ...] = ()
    """Raw tables that must be fetched first: they decide what to request."""

    @property
    def label(self) -> str:
        """Name of the operation in messages: the last segment of its path."""
        return self.path[-1] if self.path else self.operation

    @property
    def is_by_day(self) -> bool:
        """Whether requests name days, so that an answer tells about whole days."""
        return self.fetched_by in ("day", "range")


STREAMS = (
    Stream(
        operation="list-livestreams",
        raw=raw.RAW_LIVESTREAMS,
        parts=(Part(core.LIVESTREAMS, "Livestreams"),),
        fetched_by="page",
    ),
    Stream(
        operation="get-overall-analytics",
        raw=raw.RAW_LIVESTREAM_ANALYTICS,
        parts=(
            Part(
                core.LIVESTREAM_ANALYTICS_DAILY,
                "API’s daily totals",  # noqa: RUF001 - typographic, like the rest of the page
                also_reads=(raw.RAW_LIVESTREAM_DAYWISE, raw.RAW_LIVESTREAM_SESSIONS),
                explained_by=core.LIVESTREAM_SESSIONS,
            ),
        ),
        fetched_by="day",
    ),
    Stream(
        operation="get-livestream-daywise-analytics",
        raw=raw.RAW_LIVESTREAM_DAYWISE,
        parts=(),  # fills core.livestream_analytics_daily.session_count
        fetched_by="range",
        day_field="date",
    ),
    Stream(
        operation="get-daywise-analytics",
        raw=raw.RAW_APP_ANALYTICS,
        parts=(
            Part(core.MEETING_SESSIONS_DAILY, "Meetings", stats="session_stats"),
            Part(core.RECORDINGS_DAILY, "Recordings", stats="recording_stats"),
        ),
        fetched_by="range",
        path=("analytics", "daywise"),
    ),
    Stream(
        operation="get-livestream",
        raw=raw.RAW_LIVESTREAM_SESSIONS,
        parts=(Part(core.LIVESTREAM_SESSIONS, "Sessions"),),
        fetched_by="livestream",
        # Where *overall* counts more than the known sessions, more livestreams are fetched.
        after=(raw.RAW_LIVESTREAMS, raw.RAW_LIVESTREAM_ANALYTICS),
    ),
)
"""Every stream, in the order in which a run fetches them."""

LOADED_STREAMS = tuple(stream for stream in STREAMS if stream.parts)
"""Streams with core tables of their own: each is an asset."""

CORE_TABLES = tuple(part.table for stream in LOADED_STREAMS for part in stream.parts)
"""Core tables that are built from raw tables."""

FACTS = tuple(table for table in CORE_TABLES if "day" in table.column_names)
"""Core tables that are loaded by whole days of an app."""

DAILY_RAW = tuple(stream.raw for stream in LOADED_STREAMS if stream.is_by_day)
"""Raw tables that get a record for each day that was fetched, if only an empty one."""

_BY_CORE_TABLE = {part.table.full_name: (stream, part) for stream in STREAMS for part in stream.parts}


def stream_of(table: Table) -> Stream:
    """Return the stream that a core table is built from."""
    return _BY_CORE_TABLE[table.full_name][0]


def part_of(table: Table) -> Part:
    """Return the part of its stream that a core table is built from."""
    return _BY_CORE_TABLE[table.full_name][1]
