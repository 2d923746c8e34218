"""Post the morning digest after a good night, once for each day and set of apps."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import partial

import duckdb

from pipelines.alerts.digest import Digest, build_message, read_day
from pipelines.alerts.store import read_incidents
from pipelines.alerts.webhook import post_message
from pipelines.catalog.alerts import DIGESTS
from pipelines.clock import utc_now
from pipelines.errors import LivehouseError
from pipelines.steps.context import RunContext
from pipelines.storage.warehouse import EVERY_APP


def post_digest(run: RunContext, day: date, findings: Sequence[str]) -> str | None:
    """Post the digest of the day before the run, if LIVEHOUSE_DIGEST requires one and it was not posted yet.

    `day`: the last day that the run loaded. Returns one line if that was not possible: the night does not fail because of it.
    If the process is killed before it is noted, the next run posts it again, with the same id.
    """
    settings = run.settings
    if settings.digest == "off" or run.failures or day != run.started_at.date() - timedelta(days=1):
        return None
    if settings.alert_webhook is None:
        return "LIVEHOUSE_DIGEST is set without LIVEHOUSE_ALERT_WEBHOOK: set both, or neither"
    try:
        with run.warehouse.lock_table(DIGESTS.full_name, EVERY_APP):
            digest = run.warehouse.read(partial(_read, run=run, day=day, findings=findings))
            if digest is None:
                return None
            if fault := post_message(settings, build_message(digest)):
                return f"{fault}; the digest of {day} was not posted"
            run.warehouse.write(partial(_note, day=day, app_ids=run.app_ids, now=utc_now()))
    except (LivehouseError, duckdb.Error) as error:
        return f"the digest of {day} was not posted, or not noted: {' '.join(str(error).split())}"
    return None


def _read(
    connection: duckdb.DuckDBPyConnection, *, run: RunContext, day: date, findings: Sequence[str]
) -> Digest | None:
    """Return what the digest reports; None if it was posted already."""
    posted = f"SELECT day FROM {DIGESTS.full_name} WHERE day = ? AND app_ids = ?"
    if connection.execute(posted, [day, run.app_ids]).fetchall():
        return None
    apps = run.settings.app_ids
    incidents = read_incidents(connection, closed_since=run.started_at)
    return Digest(
        day=day,
        now=read_day(connection, apps, day),
        before=read_day(connection, apps, day - timedelta(weeks=1)),
        incidents=[incident for incident in incidents if incident.closed_at is None],
        findings=findings,
        report_url=run.settings.report_url,
    )


def _note(connection: duckdb.DuckDBPyConnection, *, day: date, app_ids: str, now: datetime) -> None:
    noted = "(SELECT $day::DATE AS day, $app_ids AS app_ids, $now::TIMESTAMP AS posted_at)"
    connection.execute(DIGESTS.merge_sql(noted), {"day": day, "app_ids": app_ids, "now": now})
