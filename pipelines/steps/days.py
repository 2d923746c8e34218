"""Chooses the days that a run loads: its range, days that earlier nights missed, or days that raw can rebuild."""

from datetime import date, timedelta
from functools import partial

from pipelines.clock import days_from, describe_days
from pipelines.errors import ClockError, UsageError
from pipelines.load.days import remove_days
from pipelines.load.gaps import days_in_raw, days_only_rebuilt, failed_attempts, missing_days, note_attempts
from pipelines.steps.context import Range, RunContext
from pipelines.telemetry.logs import log

_ATTEMPTS = 3
_RETRIED_PER_NIGHT = 7
"""After `_ATTEMPTS` failed attempts, only this many days of an app are retried per night: days that the source refuses for ever
must not add requests to every night."""


def add_missing_days(run: RunContext, days: Range) -> None:
    """Add every earlier day that is missing and that the source still keeps to a nightly run."""
    settings = run.settings
    oldest = max(run.oldest_retained_day, settings.start_date)
    with run.warehouse.open_working() as connection:
        missing = missing_days(connection, settings.app_ids, oldest=oldest, before=days[0])
        failed = {app_id: failed_attempts(connection, app_id) for app_id in missing}
    for app_id, found in missing.items():
        stubborn = [day for day in found if day in failed[app_id] and failed[app_id][day][0] >= _ATTEMPTS]
        postponed = sorted(stubborn, key=lambda day: failed[app_id][day][1])[_RETRIED_PER_NIGHT:]
        run.catch_up_days[app_id] = sorted(set(found) - set(postponed))
        if postponed:
            run.warnings.append(
                f"{app_id}: {len(stubborn)} days are still missing after {_ATTEMPTS} attempts or more, and"
                f" {_RETRIED_PER_NIGHT} of them are retried per night: {describe_days(stubborn)}"
            )
    if line := describe_catch_up(run):
        log(line)


def note_days_still_missing(run: RunContext) -> None:
    """Record the days that a nightly run could not catch up on."""
    for app_id, days in run.catch_up_days.items():
        tried = [day for day in days if run.is_loadable(day)]
        run.warehouse.write(partial(note_attempts, app_id=app_id, days=tried, run_id=run.run_id, now=run.started_at))


def describe_catch_up(run: RunContext) -> str | None:
    """Return a line that names the missing days that a nightly run also loads; None without any."""
    days = run.all_catch_up_days()
    if not days:
        return None
    lacking = sorted(run.catch_up_days)
    apps = "" if len(lacking) == len(run.settings.app_ids) else f" of {', '.join(lacking)}"
    count = f"{len(days)} earlier days{apps} were" if len(days) > 1 else f"1 earlier day{apps} was"
    return f"{count} missing and {'are' if len(days) > 1 else 'is'} loaded too: {describe_days(days)}"


def check_clock(run: RunContext, days: Range) -> None:
    """Warn if this machine's clock differs from the API's, with the days that were therefore not loaded.

    Raises `ClockError` if no day is left to load.
    """
    ahead = run.clock_ahead()
    if not ahead:
        return
    future_days = [day for day in days_from(*days) if not run.is_loadable(day)]
    line = (
        f"this machine's clock is {_duration(abs(ahead))} {'ahead of' if ahead > timedelta(0) else 'behind'} the API's:"
        " set it (ntp)"
    )
    if future_days:
        line += f"; not over by the API's clock, so not loaded: {describe_days(future_days)}"
    if not any(run.days_to_load(app_id, days) for app_id in run.settings.app_ids):
        raise ClockError(line)
    run.warnings.append(line)
    log(line)


def _duration(span: timedelta) -> str:
    seconds = round(span.total_seconds())
    if seconds < 2 * 3600:
        return f"{seconds:,} s"
    return f"{seconds / 3600:,.1f} hours" if seconds < 2 * 86400 else f"{seconds / 86400:,.1f} days"


def keep_days_in_raw(run: RunContext, days: Range) -> None:
    """Restrict a rebuild to the days that raw has, app by app.

    Raises `UsageError` if raw has none of them: the days would count as loaded although nothing is known about them.
    """
    span = describe_days(days_from(*days))
    with run.warehouse.open_raw() as connection:
        held = {app_id: days_in_raw(connection, app_id, *days) for app_id in run.settings.app_ids}
    if not any(held.values()):
        raise UsageError(
            f"raw data of {span} is missing, so there is nothing to rebuild and nothing was changed:"
            f" `livehouse backfill {days[0]} {days[1]}` fetches it"
        )
    run.rebuilt = {app_id: sorted(found) for app_id, found in held.items()}
    lacking: dict[str, list[str]] = {}
    for app_id, found in held.items():
        if absent := [day for day in days_from(*days) if day not in found]:
            lacking.setdefault(describe_days(absent), []).append(app_id)
    for named, apps in lacking.items():
        line = f"{', '.join(apps)}: not rebuilt for lack of raw data: {named}"
        run.warnings.append(line)
        log(line)


def remove_days_never_landed(run: RunContext) -> None:
    """Remove days that a rebuild by an earlier version listed as loaded although raw never had them."""
    with run.warehouse.open_working() as connection:
        suspects = days_only_rebuilt(connection, run.settings.app_ids)
    wrong: dict[str, list[date]] = {}
    for app_id, days in suspects.items():
        with run.warehouse.open_raw() as connection:
            held = days_in_raw(connection, app_id, min(days), max(days))
        if absent := [day for day in days if day not in held]:
            wrong[app_id] = absent
    if wrong:
        run.warehouse.write(lambda connection: remove_days(connection, wrong))
        for app_id, days in wrong.items():
            line = (
                f"{app_id}: {len(days)} days that a rebuild listed without raw data were removed: {describe_days(days)}"
            )
            run.warnings.append(line)
            log(line)
