"""Polls all apps for live streams, and merges the observations into the warehouse during a run.

A poll spends the same request budget as a run, so it never runs beside one: it stops before its next request as soon as a
run holds the lock. It holds no lock that a run waits for.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from functools import partial

import polars as pl

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.catalog.ops import DAYS
from pipelines.clock import utc_now
from pipelines.errors import AlreadyRunningError, ApiError
from pipelines.extract.client import ApiClient
from pipelines.extract.dialect import DialectNote
from pipelines.live import merge
from pipelines.live.observations import ENDED, FAILED, Observation, parse_observations
from pipelines.live.poller import LivePoller
from pipelines.live.staging import RunningSession, Staging, open_staging
from pipelines.normalize.record import identity
from pipelines.settings.settings import Settings
from pipelines.steps.context import RunContext
from pipelines.steps.outcomes import Counts

STAGING_RETENTION = timedelta(hours=2)
"""How long merged rows stay staged: `livehouse on-air` shows the last poll and the trend before it."""


@dataclass(frozen=True)
class AppPollSummary:
    """Outcome of the poll of one app."""

    app_id: str
    polled_at: datetime
    on_air: int = 0
    ended: int = 0
    """Sessions that ended since the poll before, whose last figures were fetched."""
    without_session: int = 0
    """Livestreams listed as LIVE or INVOKED that have no active session."""
    quarantined: int = 0
    seconds: float = 0.0
    warnings: str | None = None
    """Failed requests, quarantined records and retries, on one line; the error if the poll failed."""
    is_failed: bool = False


def poll_apps(
    settings: Settings,
    client: ApiClient,
    *,
    now: Callable[[], datetime] = utc_now,
    is_stopped: Callable[[], bool] = lambda: False,
) -> list[AppPollSummary]:
    """Poll every app and commit each poll by itself. An app that fails does not keep the others from being polled.

    Raises `AlreadyRunningError` at once if a run is active or another process is polling.
    """
    with open_staging(settings) as staging, staging.lock_polling(settings.app_ids):

        def check_may_continue() -> None:
            if is_stopped():
                raise AlreadyRunningError("polling was stopped")
            if run := staging.describe_active_run():
                raise AlreadyRunningError(f"polling is suspended: a run ({run}) needs the request budget")

        check_may_continue()
        client.dialect.load_notes(DialectNote(**row) for row in staging.read_dialect(settings.base_url))
        polls = [
            _poll_app(staging, LivePoller(client, app_id, identity, check_may_continue, now))
            for app_id in settings.app_ids
        ]
        if changed := client.dialect.pop_changes():
            staging.keep_dialect(settings.base_url, [asdict(note) for note in changed])
        return polls


def _poll_app(staging: Staging, poller: LivePoller) -> AppPollSummary:
    app_id, polled_at, started, retried = poller.app_id, poller.now(), time.monotonic(), poller.client.retried
    running = staging.read_running_sessions(app_id, ended_statuses=(ENDED, FAILED))
    running_by_id = {session.session_id: session for session in running}
    try:
        result = poller.poll()
        found = [Observation(one.livestream_id, one.livestream, one.session, one.answered_at) for one in result.streams]
        ended_ids = running_by_id.keys() - {one.session_id for one in result.streams}
        ended_sessions, errors = poller.fetch_sessions(sorted(ended_ids))
        found += [
            _observe_end(running_by_id[session_id], session, poller.now())
            for session_id, session in ended_sessions.items()
        ]
    except ApiError as error:
        staging.record_failed_poll(app_id, polled_at, str(error))
        seconds = time.monotonic() - started
        return AppPollSummary(app_id, polled_at, seconds=seconds, warnings=str(error), is_failed=True)
    rows, rejects = parse_observations(found, app_id=app_id, polled_at=polled_at)
    ended = rows.filter(pl.col("status").is_in([ENDED, FAILED])).height
    summary = AppPollSummary(
        app_id,
        polled_at,
        on_air=rows.height - ended,
        ended=ended,
        without_session=result.without_session,
        quarantined=rejects.height,
        seconds=time.monotonic() - started,
        warnings=_describe_warnings(result.errors + errors, rejects, poller.client.retried - retried),
    )
    staging.record_poll(app_id, polled_at, rows=rows, rejects=rejects, warnings=summary.warnings)
    return summary


def _observe_end(running: RunningSession, session: object, answered_at: datetime) -> Observation:
    """Return the observation of a session that is no longer active. Its livestream is not fetched again."""
    livestream = {"name": running.name, "meeting_id": running.meeting_id}
    return Observation(running.livestream_id, livestream, session, answered_at, last_on_air_at=running.observed_at)


def _describe_warnings(errors: list[ApiError], rejects: pl.DataFrame, retried: int) -> str | None:
    parts = []
    if errors:
        parts.append(f"failed requests: {len(errors)}, the first: {errors[0]}")
    if not rejects.is_empty():
        field, reason = rejects.select("field", "reason").row(0)
        parts.append(f"quarantined records: {rejects.height}, the first: {field} is {reason}")
    if retried:
        parts.append(f"retried requests: {retried}")
    return "; ".join(parts) or None


def merge_observations(run: RunContext) -> dict[str, Counts]:
    """Move the staged observations of each app into core.live_observations, and thin old days. Sends no request."""
    with run.warehouse.open_raw():
        pass  # creates the file: a warehouse without it looks as if it had lost it
    with open_staging(run.settings) as staging:
        unmerged, rejects = staging.find_unmerged_days(), staging.read_rejects()
        now, observation_days = utc_now(), run.settings.observation_days
        with run.warehouse.snapshot([DAYS.full_name]), run.warehouse.open_working() as working:
            quarantined = merge.find_quarantined_apps(working)
            to_thin = {
                app_id: merge.find_days_to_thin(working, app_id, observation_days=observation_days, now=now)
                for app_id in run.settings.app_ids
            }

        def merge_app(app_id: str, counts: Counts) -> None:
            _merge_days(run, staging, app_id, {*unmerged.get(app_id, []), *to_thin[app_id]}, counts)
            of_app = rejects.filter(app_id=app_id)
            if app_id in quarantined or not of_app.is_empty():
                write = partial(merge.replace_quarantined, app_id=app_id, rejects=of_app, run_id=run.run_id)
                run.warehouse.write(write)
            counts.received += of_app.height
            counts.quarantined += of_app.height

        changed = {*unmerged, *quarantined, *rejects["app_id"], *(app_id for app_id, days in to_thin.items() if days)}
        unchanged = set(run.settings.app_ids) - changed
        return run.for_each_app(LIVE_OBSERVATIONS, merge_app, days=None, unchanged=unchanged)


def _merge_days(run: RunContext, staging: Staging, app_id: str, days: set[date], counts: Counts) -> None:
    now, observation_days = utc_now(), run.settings.observation_days
    for day in sorted(days):
        rows = staging.read_unmerged(app_id, day)
        by_hour = day < merge.first_day_by_minute(observation_days, now)
        inserted = run.warehouse.write(
            partial(merge.merge_day, app_id=app_id, day=day, rows=rows, by_hour=by_hour, run_id=run.run_id, now=now)
        )
        staging.mark_merged(app_id, rows, keep_since=now - STAGING_RETENTION)
        counts.received += rows.height
        counts.landed += inserted
        counts.duplicates += rows.height - inserted
