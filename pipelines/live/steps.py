"""Looks at what is on air, and lets runs take over what was seen.

A look asks within the same request budget as a run, but never beside one: while a run holds the house, looking
steps back at once, also in the middle of a look. It waits for nothing and holds nothing that a run waits for.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import polars as pl
from duckdb import DuckDBPyConnection

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.clock import utc_now
from pipelines.errors import AlreadyRunningError, ApiError
from pipelines.extract.client import ApiClient
from pipelines.live import merge as stored
from pipelines.live import staging as live
from pipelines.live.parse import ENDED, FAILED, Seen, observations
from pipelines.live.poll import Eye
from pipelines.normalize.raw_frames import identity
from pipelines.settings.settings import Settings
from pipelines.steps import dialect
from pipelines.steps.context import Counts, RunContext
from pipelines.storage.warehouse import Warehouse, open_warehouse

KEPT_FOR_ON_AIR = timedelta(hours=2)
"""What was merged stays in the small file for so long: the last look, and the trend `livehouse on-air` shows."""


@dataclass(frozen=True)
class Look:
    """What one look at one app brought."""

    app_id: str
    looked_at: datetime
    on_air: int = 0
    ended: int = 0
    """Sessions on air at the look before, with their last figures now."""
    waiting: int = 0
    """Streams listed as on air that run no session."""
    unreadable: int = 0
    seconds: float = 0.0
    said: str | None = None
    """What was out of the ordinary, in a line."""
    failed: bool = False


def observe(
    settings: Settings,
    client: ApiClient,
    *,
    now: Callable[[], datetime] = utc_now,
    is_stopped: Callable[[], bool] = lambda: False,
) -> list[Look]:
    """Look at every app once, each committed by itself. An app that fails leaves the others to be looked at.

    Raises `HouseBusyError` at once where a run has the house, or another process is looking.
    """
    warehouse = open_warehouse(settings)
    warehouse.prepare()

    def may_ask() -> None:
        if is_stopped():
            raise AlreadyRunningError("stopped looking")
        if run := live.run_under_way(warehouse):
            raise AlreadyRunningError(f"stepped back: a run ({run}) needs the request budget")

    with live.observing(warehouse):
        may_ask()
        with live.open_live(warehouse) as connection:
            dialect.recall(client, connection, settings.base_url)
        looks = [_look(warehouse, Eye(client, app_id, identity, may_ask, now)) for app_id in settings.app_ids]
        dialect.keep(client, partial(_write, warehouse), settings.base_url)
        return looks


def _write(warehouse: Warehouse, body: Callable[[DuckDBPyConnection], None]) -> None:
    with live.open_live(warehouse) as connection:
        body(connection)


def _look(warehouse: Warehouse, eye: Eye) -> Look:
    app_id, looked_at, started, retried = eye.app_id, eye.now(), time.monotonic(), eye.client.retried
    with live.open_live(warehouse) as connection:
        before = {one.session_id: one for one in live.running_at_last_look(connection, app_id, over=(ENDED, FAILED))}
    try:
        present = eye.look()
        seen = [Seen(one.livestream_id, one.livestream, one.session, one.seen_at) for one in present.sights]
        gone = before.keys() - {one.session_id for one in present.sights}
        seen += [
            _ended(before[session_id], session, eye.now()) for session_id, session in eye.ended(sorted(gone)).items()
        ]
    except ApiError as error:
        with live.open_live(warehouse) as connection:
            live.record_failure(connection, app_id, looked_at, str(error))
        return Look(app_id, looked_at, seconds=time.monotonic() - started, said=str(error), failed=True)
    rows, rejects = observations(seen, app_id=app_id, looked_at=looked_at)
    ended = rows.filter(pl.col("status").is_in([ENDED, FAILED])).height
    look = Look(
        app_id,
        looked_at,
        on_air=rows.height - ended,
        ended=ended,
        waiting=present.waiting,
        unreadable=rejects.height,
        seconds=time.monotonic() - started,
        said=_said(present.errors, rejects, eye.client.retried - retried),
    )
    with live.open_live(warehouse) as connection:
        live.record_look(connection, app_id, looked_at, rows=rows, rejects=rejects, said=look.said)
    return look


def _ended(running: live.Running, session: object, seen_at: datetime) -> Seen:
    """How a session stands that was on air at the look before; the stream itself is as it was then."""
    livestream = {"name": running.name, "meeting_id": running.meeting_id}
    return Seen(running.livestream_id, livestream, session, seen_at, on_air_at=running.observed_at)


def _said(errors: list[ApiError], rejects: pl.DataFrame, retried: int) -> str | None:
    parts = []
    if errors:
        parts.append(f"questions that failed: {len(errors)}, first {errors[0]}")
    if not rejects.is_empty():
        field, reason = rejects.select("field", "reason").row(0)
        parts.append(f"streams that cannot be read: {rejects.height}, first {field} is {reason}")
    if retried:
        parts.append(f"requests sent again: {retried}")
    return "; ".join(parts) or None


def merge_observations(run: RunContext) -> dict[str, Counts]:
    """Move what was seen on air into core.live_observations, and thin what has grown old. Sends no request."""

    def merge(app_id: str, counts: Counts) -> None:
        now, days = utc_now(), run.settings.observation_days
        with live.open_live(run.warehouse) as seen:
            fresh = live.days_seen(seen, app_id)
            rejects = live.read_rejects(seen, app_id)
        with run.warehouse.open_working() as working:
            aged = stored.days_to_thin(working, app_id, observation_days=days, now=now)
        for day in sorted({*fresh, *aged}):
            with live.open_live(run.warehouse) as seen:
                rows = live.read_seen(seen, app_id, day)
            by_hour = day < stored.oldest_by_minute(days, now)
            merged = partial(
                stored.merge_day, app_id=app_id, day=day, rows=rows, by_hour=by_hour, run_id=run.run_id, now=now
            )
            new = run.warehouse.write(merged)
            with live.open_live(run.warehouse) as seen:
                live.forget_merged(seen, app_id, rows, now - KEPT_FOR_ON_AIR)
            counts.received += rows.height
            counts.landed += new
            counts.duplicates += rows.height - new
        run.warehouse.write(partial(stored.replace_rejects, app_id=app_id, rejects=rejects, run_id=run.run_id))
        counts.received += rejects.height
        counts.quarantined += rejects.height

    with run.warehouse.open_raw():
        pass  # made where it is missing: a warehouse without one looks like one that has lost it
    return run.for_each_app(LIVE_OBSERVATIONS, merge, days=None)
