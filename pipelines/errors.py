"""What can go wrong, as classes that say whether trying again can help.

Every message is one line: what is wrong, where, and the remedy. Secrets never enter a message.
"""

import re
from typing import ClassVar

from pipelines.text import printable


class LivehouseError(Exception):
    """A fault that a user, the API or the machine can cause. Shown as its one line, never as a traceback."""

    can_retry: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        """Take the line. What it quotes may come from outside, and is made safe for whatever shows it."""
        super().__init__(printable(message))


_SURROUNDINGS = (
    (
        r"can't start new thread|Resource temporarily unavailable|std::system_error",
        "this user may start no more threads: raise the limit (`ulimit -u`)",
    ),
    (r"Too many open files", "no more files can be opened: raise the limit (`ulimit -n`)"),
    (r"No usable temporary directory", "no directory for temporary files can be written: set TMPDIR to one that can"),
    (
        r"Read-only file system",
        "a file system is read-only: set LIVEHOUSE_HOME and TMPDIR to directories that can be written",
    ),
    (
        r"[Uu]nable to open database file",
        "the history of runs cannot be opened: fix the permissions of $LIVEHOUSE_HOME/dagster",
    ),
)
"""What errors of libraries say where the machine is the cause, and the line for it."""


def find_machine_cause(error: BaseException | str) -> str | None:
    """Return one line about what is wrong with the machine, if an error, or its text, comes from that."""
    said = str(error)
    return next((line for pattern, line in _SURROUNDINGS if re.search(pattern, said)), None)


class SettingsError(LivehouseError):
    """A setting is missing or malformed. The message names the variable and what it takes."""


class UsageError(LivehouseError):
    """A command was called with arguments it cannot take."""


class ApiError(LivehouseError):
    """The API's doing, about one app: the other apps go on."""


class TransientApiError(ApiError):
    """The API, or the way to it, failed in a manner that passes: 408, 429, 5xx, a broken or cut reply.

    `wait_seconds` is how long the API asked every caller to wait, where it said so.
    """

    can_retry = True

    def __init__(self, message: str, *, status: int | None = None, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.wait_seconds = wait_seconds


class ApiRefusedError(ApiError):
    """The API, or what stands in front of it, refused: 4xx other than 408 and 429, a redirect, a bot challenge, a proxy.

    `remedy` says what to do where the reply tells more than the status does.
    """

    def __init__(self, message: str, *, status: int = 0, remedy: str = "") -> None:  # copied by its message alone
        super().__init__(message)
        self.status = status
        self.remedy = remedy


class NotFoundError(ApiRefusedError):
    """The API knows no such thing (404): of a stream "now live", an answer; of an app, a fault."""


class UnexpectedReplyError(ApiError):
    """A reply is well-formed, yet has none of the shapes known of its operation."""


class IncompleteListError(ApiError):
    """A list could not be read to its end: pages repeat, or the count the API gives is not reached."""

    can_retry = True


class ApiUnreachableError(LivehouseError):
    """Nothing answers at the API's address. No `ApiError`, since it is not about one app: it ends the whole run, at once."""

    can_retry = True


class ClockError(LivehouseError):
    """By the API's clock, none of the days to load has happened yet."""

    can_retry = True


class AlreadyRunningError(LivehouseError):
    """Another livehouse process is writing to the same home, and did not finish in the time allowed."""

    can_retry = True


class WarehouseError(LivehouseError):
    """A file of the warehouse is missing, damaged, not writable, or the disk is full."""


class QueryError(LivehouseError):
    """DuckDB refused a query given by hand."""
