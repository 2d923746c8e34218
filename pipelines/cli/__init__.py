"""`livehouse`: the command line. Each command imports its libraries when it runs, so that `--help` is fast."""

import errno
import importlib
import os
import resource
import sys
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import click

from pipelines.cli.streams import discard_output, prepare_streams
from pipelines.cli.suggestions import did_you_mean
from pipelines.steps.process_memory import collect_garbage_rarely

COMMANDS = {
    "demo": ("pipelines.cli.demo", "Load a simulated account; needs no real one. Start here."),
    "init": ("pipelines.cli.init", "Write a .env to fill in; on request, a cron line or systemd units."),
    "nightly": ("pipelines.cli.runs", "Reload the last days in one run. For cron."),
    "backfill": ("pipelines.cli.runs", "Load every day from START to END; resumes after an interruption."),
    "rebuild": ("pipelines.cli.runs", "Rebuild core tables and marts from the raw tables; sends no request."),
    "sql": ("pipelines.cli.query", "Run a query on the warehouse, read-only."),
    "report": ("pipelines.cli.query", "Write report.html."),
    "statement": ("pipelines.cli.statement", "Print a month by app or customer, with its estimated cost, for finance."),
    "explore": ("pipelines.cli.explore", "Show the warehouse in a browser: tables, examples as forms, SQL, charts."),
    "export": ("pipelines.cli.export", "Write core and marts as Parquet or CSV files for other engines."),
    "on-air": ("pipelines.cli.on_air", "Show which livestreams are live now, and their viewers."),
    "alerts": ("pipelines.cli.alerts", "Evaluate the alert rules, post and list incidents; test the webhook."),
    "doctor": ("pipelines.cli.doctor", "Check settings, token, reachability, disk, lock and schema."),
    "simulate": ("pipelines.cli.simulate", "Serve a simulated API until stopped."),
    "api": ("pipelines.cli.api", "Run one operation of the API, and print its reply as JSON."),
    "move": ("pipelines.cli.move", "Copy a warehouse from a file to a lakehouse, or back."),
    "upkeep": ("pipelines.cli.upkeep", "Weekly maintenance of a lakehouse; prints sizes."),
    "mend": ("pipelines.cli.mend", "Repair a lakehouse that lost files."),
    "ui": ("pipelines.cli.ui", "Start Dagster's UI for this project."),
}


_MIN_OPEN_FILES = 256
"""Enough for 64 connections, the warehouse, the history of runs, and the files of Dagster and DuckDB."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            if ctx.resilient_parsing:  # completion by the shell: an error would land in the line that is being typed
                return None
            raise click.UsageError(f"there is no command {cmd_name!r}{did_you_mean(cmd_name, COMMANDS)}", ctx)
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _print_version(ctx: click.Context, _: click.Parameter, is_requested: bool) -> None:  # noqa: FBT001 - click's signature
    if is_requested and not ctx.resilient_parsing:
        python = ".".join(map(str, sys.version_info[:3]))
        click.echo(
            f"livehouse {version('livehouse')} (Python {python}, DuckDB {version('duckdb')}, Dagster {version('dagster')})"
        )
        ctx.exit()


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the versions."
)
def cli() -> None:
    """Cloudflare RealtimeKit livestreams, their sessions and analytics, in DuckDB.

    Settings are environment variables or a `.env` file, which `livehouse init` writes. Exit status: 0 success,
    1 a run failed (landed data is kept), 2 wrong usage or settings, 130 interrupted.
    """


def _describe_usage_error(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split()).rstrip(".")
    if not isinstance(error, click.UsageError) or error.ctx is None or message.endswith("?"):  # Did you mean …?
        return message
    return f"{message}; see `{error.ctx.command_path} --help`"


def main(arguments: list[str] | None = None) -> None:
    """Run a command. Every error ends as one line on stderr and an exit status."""
    collect_garbage_rarely()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold the token and passwords
    prepare_streams()
    output = sys.stdout
    try:
        _check_machine()
        status: Any = cli.main(arguments, prog_name="livehouse", standalone_mode=False)
        sys.stdout.flush()  # here, where a failure can still be reported
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except (SystemExit, BrokenPipeError) as ended:
        # The reader closed its end (`| head`), which is no error. Click replaces stdout and exits with 1.
        if isinstance(ended, SystemExit) and sys.stdout is output:
            raise
        discard_output()
        sys.exit(0)
    except (Exception, KeyboardInterrupt) as error:
        line, status = _describe_error(error)
        if line is None:
            raise
        from pipelines.telemetry.logs import log

        log(f"livehouse: {line}", "error")
        for text in getattr(error, "excerpt", "").splitlines():  # of a query
            log(text, "error")
    sys.exit(status if isinstance(status, int) else 0)


def _check_machine() -> None:
    if sys.flags.optimize > 1:
        raise click.ClickException(
            "PYTHONOPTIMIZE=2 removes docstrings that the program's libraries need: unset it, or set 1"
        )
    _allow_open_files()
    try:
        os.getcwd()  # noqa: PTH109 - pathlib's does the same
    except OSError:
        raise click.ClickException("the working directory no longer exists: change into another one") from None


def _allow_open_files() -> None:
    """Raise the soft limit to the hard limit. DuckDB aborts the process when it cannot open a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _MIN_OPEN_FILES:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < _MIN_OPEN_FILES:
            raise click.ClickException(
                f"only {soft} files may be open: raise the limit (`ulimit -n {_MIN_OPEN_FILES}`)"
            )


def _describe_error(error: BaseException) -> tuple[str | None, int]:
    """Return the message and the exit status of an error; no message if the traceback is wanted (LIVEHOUSE_DEBUG)."""
    if isinstance(error, click.ClickException):
        return _describe_usage_error(error), 2
    if isinstance(error, click.Abort | KeyboardInterrupt):
        from pipelines.orchestration.run_errors import STOPPED

        return STOPPED, 130
    from pipelines.errors import LivehouseError, SettingsError, UsageError, find_machine_cause
    from pipelines.text import printable

    if isinstance(error, LivehouseError):
        return str(error), 2 if isinstance(error, SettingsError | UsageError) else 1
    if os.environ.get("LIVEHOUSE_DEBUG"):
        return None, 1
    is_full = isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None
    if is_full:
        discard_output()
    if cause := "cannot write output: no space left on device" if is_full else find_machine_cause(error):
        return cause, 1
    message = printable(" ".join(str(error).split()))[:300]
    return f"a fault of livehouse itself: {type(error).__name__}: {message} (LIVEHOUSE_DEBUG=1 shows where)", 1
