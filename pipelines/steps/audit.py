"""Fetches a sample of the livestreams that a night would skip, to check that `updated_at` changes with every session.

That is not documented. Totals and counts of sessions contradict it where they can; the sample finds what both overlook.
"""

import random
from collections.abc import Callable, Collection, Generator, Iterator
from datetime import date
from functools import partial
from typing import Any

import polars as pl

from pipelines.catalog.core import LIVESTREAM_SESSIONS
from pipelines.clock import utc_now
from pipelines.load import raw_tables
from pipelines.load.audits import note_audit
from pipelines.load.loaded_days import read_loaded_days
from pipelines.normalize.resolve import normalize
from pipelines.steps.context import RunContext
from pipelines.steps.landing import name_livestreams
from pipelines.telemetry.logs import log

_IGNORED_COLUMNS = ("app_id", "session_id", "updated_at", "fetched_at")
"""Columns whose difference does not count as a change of a session."""

Session = dict[str, Any]


def audit(
    run: RunContext,
    app_id: str,
    skipped: Collection[str],
    synced: pl.DataFrame,
    fetch: Callable[[list[str]], Generator[Iterator[Any], Any, list[str]]],
) -> Generator[Iterator[Any], Any, list[str]]:
    """Fetch a sample of the skipped livestreams; if one of their sessions has changed, fetch all of them.

    `synced` is ops.livestream_sync before this run. `fetch` lands the sessions of livestreams and returns those that failed.
    Backfills are not audited, since only nights skip livestreams. Returns the livestreams that could not be read.
    """
    if run.full or run.is_backfill:
        return []
    chosen = choose_sample(skipped, synced, _sample_size(run, app_id), run.run_id)
    if not chosen:
        return []
    before = _read_versions_of(run, app_id, chosen)
    unread = yield from fetch(chosen)
    after = _read_versions_of(run, app_id, chosen)
    changed: list[Session] = []
    if _identify_versions(before) != _identify_versions(after):
        known = set(synced.filter(pl.col("complete"))["livestream_id"])
        with run.warehouse.open_working() as connection:
            loaded = read_loaded_days(connection, LIVESTREAM_SESSIONS, app_id)
        sessions = _current_sessions(run, before)
        changed = [
            session
            for session_id, session in _current_sessions(run, after).items()
            if _differ(sessions.get(session_id), session) and _could_be_known(run, session, known, loaded)
        ]
    livestreams = sorted({str(session["livestream_id"]) for session in changed})
    refreshed = sorted(set(skipped) - set(chosen)) if changed else []
    if changed:
        line = (
            f"{app_id}: the audit found changed sessions without a change of updated_at, of"
            f" {name_livestreams(livestreams)}: fetched {len(refreshed):,} more livestreams; see ops.audits"
        )
        log(line)
        run.warnings.append(line)
        unread += yield from fetch(refreshed)
    noted = {
        "run_id": run.run_id,
        "app_id": app_id,
        "audited_at": utc_now(),
        "livestreams_skipped": len(skipped),
        "livestreams_audited": len(chosen),
        "livestreams_changed": len(livestreams),
        "sessions_changed": len(changed),
        "livestreams_refreshed": len(refreshed),
    }
    run.warehouse.write(partial(note_audit, audit=noted))
    return unread


def choose_sample(skipped: Collection[str], synced: pl.DataFrame, most: int, run_id: str) -> list[str]:
    """Return the livestreams whose sessions were fetched longest ago, by day, in random order within a day.

    Livestreams that the API does not know any more are left out.
    """
    synced_on: dict[str, date] = {}
    unknown_upstream: set[str] = set()
    for livestream_id, synced_at, complete in synced.select("livestream_id", "synced_at", "complete").iter_rows():
        if complete is False:
            unknown_upstream.add(livestream_id)
        if synced_at is not None:
            synced_on[livestream_id] = synced_at.date()
    shuffled = random.Random(run_id).sample(sorted(skipped), len(skipped))  # noqa: S311 - a sample, no secret
    candidates = [livestream_id for livestream_id in shuffled if livestream_id not in unknown_upstream]
    return sorted(candidates, key=lambda livestream_id: synced_on.get(livestream_id, date.min))[:most]


def _sample_size(run: RunContext, app_id: str) -> int:
    """Return the size of an app's sample: LIVEHOUSE_AUDIT_LIVESTREAMS is shared by all apps."""
    apps = run.settings.app_ids
    share, left = divmod(run.settings.audit_livestreams, len(apps))
    return share + (apps.index(app_id) < left)


def _read_versions_of(run: RunContext, app_id: str, livestream_ids: list[str]) -> pl.DataFrame:
    with run.warehouse.open_raw() as connection:
        return raw_tables.read_sessions_of(connection, app_id, livestream_ids)


def _identify_versions(raw: pl.DataFrame) -> set[tuple[object, ...]]:
    """Return values that stay the same as long as no landing adds or changes a version, whatever it receives again."""
    return set(raw.select("session_id", "payload", "day", "days_differ", "changed_arrival").iter_rows())


def _current_sessions(run: RunContext, raw: pl.DataFrame) -> dict[str, Session]:
    found = normalize(LIVESTREAM_SESSIONS, raw, now=run.started_at, retention_days=run.settings.retention_days)
    return {row["session_id"]: row for row in found.rows.iter_rows(named=True)}


def _differ(before: Session | None, after: Session) -> bool:
    return before is None or any(before[name] != after[name] for name in after if name not in _IGNORED_COLUMNS)


def _could_be_known(run: RunContext, session: Session, known: set[str], loaded: Collection[date]) -> bool:
    """Return whether earlier nights should have fetched a session.

    They could not fetch one that began or ended since this run began, nor one of a day that was never loaded and a livestream
    that was never fetched.
    """
    moments = (session[name] for name in ("created_at", "started_at", "stopped_at"))
    if any(moment is not None and moment >= run.started_at for moment in moments):
        return False
    return session["livestream_id"] in known or session["day"] in loaded
