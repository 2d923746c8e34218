"""`nightly`, `backfill`, `rebuild`: run the same jobs as the UI."""

import os
import sys
import time
from datetime import date, timedelta
from typing import TYPE_CHECKING

import click

from pipelines.cli.param_types import day
from pipelines.cli.streams import discard_output

if TYPE_CHECKING:
    from pipelines.settings.settings import Settings

STOPPED = 130
"""The exit status after ctrl-C, by the convention of shells."""


def run_and_report(
    days: tuple[date, date],
    job: str,
    *,
    quiet: bool,
    as_json: bool,
    full: bool = False,
    allow_shrink: bool = False,
    catch_up: bool = True,
    settings: "Settings | None" = None,
) -> int:
    """Run a job over days, print its summary and errors, and return the exit status.

    Without `settings`, the settings of the environment are used.
    """
    from pipelines.cli.jobs import run_job
    from pipelines.cli.summary import show_summary
    from pipelines.errors import SettingsError, UsageError
    from pipelines.orchestration.run_errors import RunStoppedError
    from pipelines.settings.billing_terms import read_billing_terms
    from pipelines.settings.settings import load_settings
    from pipelines.steps.progress import quiet_output, run_progress
    from pipelines.telemetry.logs import log

    started = time.monotonic()
    settings = settings or load_settings()
    if job != "rebuild":
        settings.require_account()
    read_billing_terms(settings)  # a run would refuse them too, but Dagster takes seconds to start
    if not quiet and sys.stderr.isatty():  # Dagster takes seconds to start before progress is shown
        log(f"livehouse: {job} of {days[0]} to {days[1]}; ctrl-C stops it, landed data is kept")
    label = f"{job} of {days[0]} to {days[1]}"
    with quiet_output(quiet=quiet), run_progress(label, len(settings.app_ids) or 1):
        outcome = run_job(settings, job, days, full=full, allow_shrink=allow_shrink, catch_up=catch_up)
    if as_json or not quiet:
        try:
            show_summary(settings, outcome, job, days, seconds=time.monotonic() - started, as_json=as_json)
            sys.stdout.flush()
        except OSError as error:
            # The reader has closed stdout, or the disk is full: still report errors and the status.
            if not isinstance(error, BrokenPipeError):
                log(f"livehouse: cannot write the summary: {error.strerror}", "error")
            discard_output()
    for failure in outcome.errors:
        log(f"livehouse: {failure}", "error")
    for line in outcome.telemetry_faults:
        log(f"livehouse: {line}", "warning")
    if any(isinstance(failure, RunStoppedError) for failure in outcome.errors):
        os._exit(STOPPED)  # Python would wait for threads with a request in flight, possibly for minutes
    if any(isinstance(failure, SettingsError | UsageError) for failure in outcome.errors):
        return 2
    return 1 if outcome.errors else 0


def output_options(command: click.decorators.FC) -> click.decorators.FC:
    """Add `--quiet` and `--json`, which can be combined: the JSON without progress."""
    command = click.option("--quiet", is_flag=True, help="Print errors only, no progress and no summary.")(command)
    return click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")(command)


@click.command("nightly")
@click.option("--date", "last", type=day, help="Last day to load; yesterday (UTC) by default.")
@click.option(
    "--catch-up/--no-catch-up",
    default=True,
    help="Also load earlier days that are missing, e.g. because the machine was off.  [default: catch-up]",
)
@output_options
def nightly_command(last: date | None, *, catch_up: bool, quiet: bool, as_json: bool) -> int:
    """Reload the last LIVEHOUSE_LOOKBACK_DAYS days in one run. For cron.

    Also loads, and lists, every earlier day that is missing since the first loaded day, as far back as the API keeps
    data (LIVEHOUSE_RETENTION_DAYS).
    """
    from pipelines.clock import yesterday
    from pipelines.errors import UsageError
    from pipelines.settings.settings import load_settings

    settings = load_settings()
    end = last or yesterday()
    _check_end(end)
    if last is None and end < settings.start_date:
        start = settings.start_date
        raise UsageError(f"no day is over yet since LIVEHOUSE_START_DATE ({start}): run again tomorrow")
    # Start no earlier than the first partition. If `end` itself is before it, the run refuses to start.
    back = min(settings.lookback_days - 1, (end - date.min).days)
    first = min(max(end - timedelta(days=back), settings.start_date), end)
    return run_and_report((first, end), "nightly", quiet=quiet, as_json=as_json, catch_up=catch_up)


@click.command("backfill")
@click.argument("start", type=day, metavar="START")
@click.argument("end", type=day, metavar="END")
@click.option("--full", is_flag=True, help="Fetch everything, also livestreams known to be unchanged.")
@click.option("--allow-shrink", is_flag=True, help="With --full: let smaller replies replace larger ones.")
@output_options
def backfill_command(start: date, end: date, *, full: bool, allow_shrink: bool, quiet: bool, as_json: bool) -> int:
    """Load every day from START to END (YYYY-MM-DD), both included, in one run.

    An interrupted backfill resumes where it stopped when run again.
    """
    if allow_shrink and not full:
        raise click.UsageError("--allow-shrink requires --full: only a full fetch shows which records are gone")
    days = _check_range(start, end)
    return run_and_report(days, "backfill", quiet=quiet, as_json=as_json, full=full, allow_shrink=allow_shrink)


@click.command("rebuild")
@click.argument("start", type=day, metavar="START")
@click.argument("end", type=day, metavar="END")
@output_options
def rebuild_command(start: date, end: date, *, quiet: bool, as_json: bool) -> int:
    """Rebuild core tables and marts for START to END from the raw tables. Sends no request.

    Days without raw data are not changed. If no day of the range has raw data, nothing is changed.
    """
    return run_and_report(_check_range(start, end), "rebuild", quiet=quiet, as_json=as_json)


def _check_range(start: date, end: date) -> tuple[date, date]:
    if start > end:
        raise click.UsageError(f"START ({start}) is after END ({end}): give the earlier day first")
    _check_end(end)
    return start, end


def _check_end(end: date) -> None:
    from pipelines.clock import today

    if end > today():
        raise click.UsageError(f"{end} is in the future: the last day that can be loaded is today, {today()} (UTC)")
