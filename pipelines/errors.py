"""The errors that a user, the API or the machine can cause, and whether a retry can help.

Every message is one line: what is wrong, where, and what to do. Secrets never enter a message.
"""

import re
from typing import ClassVar

from pipelines.text import printable


class LivehouseError(Exception):
    """An error that a user, the API or the machine can cause. Shown as its one-line message, never as a traceback."""

    can_retry: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        """Escape control characters: a message may quote text from outside, and a terminal would obey them."""
        super().__init__(printable(message))


_MACHINE_CAUSES = (
    (
        r"can't start new thread|Resource temporarily unavailable|std::system_error",
        "cannot start another thread for this user: raise the limit (`ulimit -u`)",
    ),
    (r"Too many open files", "cannot open more files: raise the limit (`ulimit -n`)"),
    (r"No usable temporary directory", "cannot write temporary files: set TMPDIR to a writable directory"),
    (r"Read-only file system", "a file system is read-only: set LIVEHOUSE_HOME and TMPDIR to writable directories"),
    (
        r"[Uu]nable to open database file",
        "cannot open the history of runs: fix the permissions of $LIVEHOUSE_HOME/dagster",
    ),
)
"""Patterns of the messages of libraries that fail because of the machine, and the message to show instead."""


def find_machine_cause(error: BaseException | str) -> str | None:
    """Return a one-line message if a problem of the machine caused an error, given as exception or text; else None."""
    message = str(error)
    return next((line for pattern, line in _MACHINE_CAUSES if re.search(pattern, message)), None)


class SettingsError(LivehouseError):
    """A setting is missing or malformed. The message names the variable and the accepted form."""


class UsageError(LivehouseError):
    """The arguments of a command are not valid."""


class ApiError(LivehouseError):
    """The API failed for one app. Other apps continue."""


class TransientApiError(ApiError):
    """The API or the network failed temporarily: 408, 429, 5xx, a malformed or truncated reply.

    `wait_seconds` is the wait that the API requested of every caller, None if it requested none.
    """

    can_retry = True

    def __init__(self, message: str, *, status: int | None = None, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.wait_seconds = wait_seconds


class ApiRefusedError(ApiError):
    """The API, or a proxy in front of it, refused: 4xx other than 408 and 429, a redirect, a bot challenge.

    `remedy` is the advice for a reply that is more specific than its status.
    """

    def __init__(self, message: str, *, status: int = 0, remedy: str = "") -> None:  # copied by its message alone
        super().__init__(message)
        self.status = status
        self.remedy = remedy


class NotFoundError(ApiRefusedError):
    """404. For the live session of a livestream this means "not on air"; for an app it is an error."""


class UnexpectedReplyError(ApiError):
    """A reply is well-formed JSON, but has no known shape of its operation."""


class IncompleteListError(ApiError):
    """A list could not be read to its end: pages repeat, or `total_count` is not reached."""

    can_retry = True


class ApiUnreachableError(LivehouseError):
    """No server answers at the API's address. Not an `ApiError`: it concerns all apps and ends the run at once."""

    can_retry = True


class ClockError(LivehouseError):
    """By the API's clock, none of the days to load has begun yet."""

    can_retry = True


class AlreadyRunningError(LivehouseError):
    """Another livehouse process still writes to the same home after the time that this one may wait."""

    can_retry = True


class WarehouseError(LivehouseError):
    """A file of the warehouse is missing, damaged, not writable, or the disk is full."""


class QueryError(LivehouseError):
    """DuckDB refused a user's query. `excerpt` quotes the line of the query, with a caret below the place; or is empty."""

    def __init__(self, message: str, excerpt: str = "") -> None:
        """Keep the line breaks of the excerpt."""
        super().__init__(message)
        self.excerpt = "\n".join(map(printable, excerpt.splitlines()))
