"""`nightly`, `backfill`, `rebuild`: the same jobs the UI starts."""

import os
import sys
from datetime import date, timedelta
from typing import TYPE_CHECKING

import click

from pipelines.cli.days import day
from pipelines.cli.streams import end_output

if TYPE_CHECKING:
    from pipelines.settings.settings import Settings

STOPPED = 130
"""Exit status after ctrl-C, as shells have it."""


def finish(
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
    """Run a job over days, show its summary and faults, and give the exit status.

    Without `settings`, those of the environment are read.
    """
    from pipelines.cli.jobs import run_job
    from pipelines.cli.summary import show_summary
    from pipelines.errors import SettingsError, UsageError
    from pipelines.orchestration.alerts import RunStoppedError
    from pipelines.settings.settings import load_settings
    from pipelines.steps.progress import quiet_output

    settings = settings or load_settings()
    if job != "rebuild":
        settings.require_account()
    if not quiet and sys.stderr.isatty():  # Dagster takes seconds before there is progress to show
        click.echo(f"livehouse: {job} of {days[0]} to {days[1]}; ctrl-C stops it, what was landed stays", err=True)
    with quiet_output(quiet=quiet):
        outcome = run_job(settings, job, days, full=full, allow_shrink=allow_shrink, catch_up=catch_up)
    if as_json or not quiet:
        try:
            show_summary(settings, outcome, job, days, as_json=as_json)
            sys.stdout.flush()
        except OSError as untold:  # nobody reads any more, or a full disk: how the run went is told all the same
            if not isinstance(untold, BrokenPipeError):
                click.echo(f"livehouse: the summary could not be written: {untold.strerror}", err=True)
            end_output()
    for error in outcome.errors:
        click.echo(f"livehouse: {error}", err=True)
    if any(isinstance(error, RunStoppedError) for error in outcome.errors):
        os._exit(STOPPED)  # Python would wait for threads that wait for the API, minutes perhaps
    if any(isinstance(error, SettingsError | UsageError) for error in outcome.errors):
        return 2
    return 1 if outcome.errors else 0


def output_options(command: click.decorators.FC) -> click.decorators.FC:
    """`--quiet` and `--json`: each alone, or the JSON without progress."""
    command = click.option("--quiet", is_flag=True, help="Neither progress nor summary; faults are told.")(command)
    return click.option("--json", "as_json", is_flag=True, help="The summary as JSON.")(command)


@click.command("nightly")
@click.option("--date", "last", type=day, help="Last day to load; yesterday (UTC) if not given.")
@click.option(
    "--catch-up/--no-catch-up",
    default=True,
    help="Whether to load earlier days too that are missing, e.g. because the machine was off.  [default: catch-up]",
)
@output_options
def nightly_command(last: date | None, *, catch_up: bool, quiet: bool, as_json: bool) -> int:
    """Load the LIVEHOUSE_LOOKBACK_DAYS days that end with a day, in one run. For cron.

    Loads every earlier day too that is missing since the first loaded one, as far back as the source keeps data
    (LIVEHOUSE_RETENTION_DAYS), and says which.
    """
    from pipelines.clock import yesterday
    from pipelines.errors import UsageError
    from pipelines.settings.settings import load_settings

    settings = load_settings()
    end = last or yesterday()
    _check_end(end)
    if last is None and end < settings.start_date:
        start = settings.start_date
        raise UsageError(f"no day is over yet since LIVEHOUSE_START_DATE ({start}): the first night is that of {start}")
    # Not before the first partition; a day that is before it is refused when the run starts.
    back = min(settings.lookback_days - 1, (end - date.min).days)
    first = min(max(end - timedelta(days=back), settings.start_date), end)
    return finish((first, end), "nightly", quiet=quiet, as_json=as_json, catch_up=catch_up)


@click.command("backfill")
@click.argument("start", type=day, metavar="START")
@click.argument("end", type=day, metavar="END")
@click.option("--full", is_flag=True, help="Ask the API again even for what is known to be unchanged.")
@click.option(
    "--allow-shrink", is_flag=True, help="With --full: let what the API says now replace what it said before."
)
@output_options
def backfill_command(start: date, end: date, *, full: bool, allow_shrink: bool, quiet: bool, as_json: bool) -> int:
    """Load every day from START to END (YYYY-MM-DD), both included, in one run.

    Killed and started again, it goes on where it stopped.
    """
    if allow_shrink and not full:
        raise click.UsageError("--allow-shrink goes with --full: only asking for everything shows what is gone")
    days = _range(start, end)
    return finish(days, "backfill", quiet=quiet, as_json=as_json, full=full, allow_shrink=allow_shrink)


@click.command("rebuild")
@click.argument("start", type=day, metavar="START")
@click.argument("end", type=day, metavar="END")
@output_options
def rebuild_command(start: date, end: date, *, quiet: bool, as_json: bool) -> int:
    """Rebuild core tables and marts of START to END from the raw tables. Sends no request.

    Days of which there is no raw data are left as they are; if there is none of any of them, nothing is changed.
    """
    return finish(_range(start, end), "rebuild", quiet=quiet, as_json=as_json)


def _range(start: date, end: date) -> tuple[date, date]:
    if start > end:
        raise click.UsageError(f"START ({start}) is after END ({end}): give the earlier day first")
    _check_end(end)
    return start, end


def _check_end(end: date) -> None:
    from pipelines.clock import today

    if end > today():
        raise click.UsageError(f"{end} is in the future: the last day that can be loaded is today, {today()} (UTC)")
