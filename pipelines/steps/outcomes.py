"""The outcome of a step for one app: counts for ops.loads, and data that could not be fetched."""

from dataclasses import dataclass

from pipelines.errors import ApiError


@dataclass(frozen=True)
class Failure:
    """Data of one app that this run could not fetch. Steps that do not depend on it continue."""

    app_id: str
    table: str
    """The raw table without this data."""
    error: ApiError
    part: str | None = None
    """The missing part of the table in words, such as days or livestreams; None: everything of this run."""

    @property
    def message(self) -> str:
        """The missing part and the error, without the app."""
        return f"{self.part}: {self.error}" if self.part else f"{self.error}"


@dataclass
class Counts:
    """Counts of one app and table in this run: received = landed + quarantined + duplicates."""

    received: int = 0
    landed: int = 0
    quarantined: int = 0
    duplicates: int = 0
    requests: int = 0
    """Requests sent, retries included."""
    retries: int = 0
    refusals: int = 0
    """Requests that the rate limit refused."""
    note: str | None = None
    arrival: int | None = None
    """The last landing that a load has read."""

    def add_note(self, line: str) -> None:
        """Append a line about something unusual."""
        self.note = f"{self.note}; {line}" if self.note else line
