"""One finished run, as metrics and traces describe it."""

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True)
class Stage:
    """One asset of a run, with its time on the clock (UTC)."""

    name: str
    started_at: datetime
    finished_at: datetime
    succeeded: bool


@dataclass(frozen=True)
class Load:
    """One table of one app in a run: a row of ops.loads."""

    table: str
    app_id: str
    started_at: datetime
    finished_at: datetime
    requests: int
    retries: int
    refusals: int
    """By the rate limit: HTTP 429."""
    received: int
    landed: int
    quarantined: int
    is_incomplete: bool
    """Whether something could not be fetched or loaded."""


@dataclass(frozen=True)
class RunRecord:
    """A run with its stages and loads."""

    run_id: str
    job: str
    started_at: datetime
    finished_at: datetime
    succeeded: bool
    stages: tuple[Stage, ...] = ()
    loads: tuple[Load, ...] = ()
    newest_days: tuple[tuple[str, date], ...] = ()
    """The newest day of each app for which every fact table is loaded, after the run."""
