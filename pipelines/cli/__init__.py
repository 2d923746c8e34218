"""`livehouse`: the command line. Commands import what they need when they run: `--help` answers at once."""

import errno
import importlib
import os
import resource
import sys
from contextlib import suppress
from typing import Any

import click

from pipelines.cli.streams import end_output, prepare_streams
from pipelines.steps.process_memory import collect_garbage_rarely

COMMANDS = {
    "demo": ("pipelines.cli.demo", "Load a simulated account, no real one needed, and say what to look at."),
    "nightly": ("pipelines.cli.runs", "Load the last days again, in one run. For cron."),
    "backfill": ("pipelines.cli.runs", "Load every day from START to END; started again, it goes on where it stopped."),
    "rebuild": ("pipelines.cli.runs", "Make tables and marts again from what was landed; sends no request."),
    "sql": ("pipelines.cli.query", "Run a query on the warehouse, read-only."),
    "report": ("pipelines.cli.query", "Write report.html."),
    "on-air": ("pipelines.cli.on_air", "Show who is live now, and how many watch."),
    "doctor": ("pipelines.cli.doctor", "Check settings, token, reachability, disk, lock and schema."),
    "simulate": ("pipelines.cli.simulate", "Serve a simulated API until stopped."),
    "api": ("pipelines.cli.api", "Perform one operation of the API by hand."),
    "move": ("pipelines.cli.move", "Carry a warehouse from a file to a lakehouse, or back."),
    "upkeep": ("pipelines.cli.upkeep", "Do what a lakehouse needs once a week, and show sizes."),
    "ui": ("pipelines.cli.ui", "Start Dagster's UI on this project."),
}


_LEAST_OPEN_FILES = 256
"""Connections of 64 requests, the warehouse, the history of runs, and what Dagster and DuckDB open besides."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="livehouse", message="%(version)s")
def cli() -> None:
    """Cloudflare RealtimeKit livestreams, their sessions and analytics, in DuckDB.

    Settings are environment variables or a `.env` file; see .env.example. Exit status: 0 done, 1 a run
    failed (what was landed stays landed), 2 wrong usage or settings.
    """


def _with_remedy(error: click.ClickException) -> str:
    said = " ".join(error.format_message().split()).rstrip(".")
    if not isinstance(error, click.UsageError) or error.ctx is None or said.endswith("?"):  # Did you mean …?
        return said
    return f"{said}; see `{error.ctx.command_path} --help`"


def main(arguments: list[str] | None = None) -> None:
    """Run a command; every fault ends as one line on stderr and an exit status."""
    collect_garbage_rarely()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold the token and passwords
    prepare_streams()
    output = sys.stdout
    try:
        _check_surroundings()
        status: Any = cli.main(arguments, prog_name="livehouse", standalone_mode=False)
        sys.stdout.flush()  # here, where what goes wrong is still told
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except (SystemExit, BrokenPipeError) as ended:
        # Whoever read has seen enough (`| head`): no fault. Click makes one of it, with a stdout of its own.
        if isinstance(ended, SystemExit) and sys.stdout is output:
            raise
        end_output()
        sys.exit(0)
    except (Exception, KeyboardInterrupt) as error:
        line, status = _told(error)
        if line is None:
            raise
        click.echo(f"livehouse: {line}", err=True)
    sys.exit(status if isinstance(status, int) else 0)


def _check_surroundings() -> None:
    if sys.flags.optimize > 1:
        raise click.ClickException(
            "PYTHONOPTIMIZE=2 removes texts that the program's libraries need: unset it, or set 1"
        )
    _allow_open_files()
    try:
        os.getcwd()  # noqa: PTH109 - pathlib's does the same
    except OSError:
        raise click.ClickException("the working directory no longer exists: change into another one") from None


def _allow_open_files() -> None:
    """Raise the soft limit to the hard one. Without enough files DuckDB ends the process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _LEAST_OPEN_FILES:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < _LEAST_OPEN_FILES:
            raise click.ClickException(
                f"only {soft} files may be open: raise the limit (`ulimit -n {_LEAST_OPEN_FILES}`)"
            )


def _told(error: BaseException) -> tuple[str | None, int]:
    """The line that tells of a fault, and the exit status; no line for one to be seen whole."""
    if isinstance(error, click.ClickException):
        return _with_remedy(error), 2
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return "stopped; what was landed stays, and the same command goes on from there", 130
    from pipelines.errors import LivehouseError, SettingsError, UsageError, find_machine_cause
    from pipelines.text import printable

    if isinstance(error, LivehouseError):
        return str(error), 2 if isinstance(error, SettingsError | UsageError) else 1
    if os.environ.get("LIVEHOUSE_DEBUG"):
        return None, 1
    is_full = isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None
    if is_full:
        end_output()
    if cause := "cannot write output: no space left on device" if is_full else find_machine_cause(error):
        return cause, 1
    said = printable(" ".join(str(error).split()))[:300]
    return f"a fault of livehouse itself: {type(error).__name__}: {said} (LIVEHOUSE_DEBUG=1 shows where)", 1
