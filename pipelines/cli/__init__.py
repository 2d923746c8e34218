"""`livehouse`: the command line. Commands import what they need when they run: `--help` answers at once."""

import importlib
import os
import sys
from typing import Any

import click

COMMANDS = {
    "demo": ("pipelines.cli.demo", "Load a simulated account, no real one needed, and say what to look at."),
    "nightly": ("pipelines.cli.runs", "Load the last days again, in one run. For cron."),
    "backfill": ("pipelines.cli.runs", "Load every day from START to END; started again, it goes on where it stopped."),
    "rebuild": ("pipelines.cli.runs", "Make tables and marts again from what was landed; sends no request."),
    "sql": ("pipelines.cli.query", "Run a query on the warehouse, read-only."),
    "report": ("pipelines.cli.query", "Write report.html."),
    "on-air": ("pipelines.cli.on_air", "Show who is live now, and how many watch."),
    "doctor": ("pipelines.cli.doctor", "Check settings, token, reachability, disk, lock and schema."),
    "simulate": ("pipelines.cli.serve", "Serve a simulated API until stopped."),
    "api": ("pipelines.cli.api", "Perform one operation of the API by hand."),
    "move": ("pipelines.cli.move", "Carry a warehouse from a file to a lakehouse, or back."),
    "upkeep": ("pipelines.cli.upkeep", "Do what a lakehouse needs once a week, and show sizes."),
    "ui": ("pipelines.cli.serve", "Start Dagster's UI on this project."),
}


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


def _fail(message: str, status: int) -> None:
    click.echo(f"livehouse: {message}", err=True)
    sys.exit(status)


def _with_remedy(error: click.ClickException) -> str:
    said = " ".join(error.format_message().split()).rstrip(".")
    if not isinstance(error, click.UsageError) or error.ctx is None or said.endswith("?"):  # Did you mean …?
        return said
    return f"{said}; see `{error.ctx.command_path} --help`"


def main(arguments: list[str] | None = None) -> None:
    """Run a command; every fault ends as one line on stderr and an exit status."""
    try:
        status: Any = cli.main(arguments, prog_name="livehouse", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.ClickException as error:
        if not isinstance(error, click.exceptions.NoArgsIsHelpError):
            _fail(_with_remedy(error), 2)
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        _fail("stopped; what was landed stays, and the same command goes on from there", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        from pipelines.errors import LivehouseError, SettingsError, UsageError  # noqa: PLC0415 - faults are rare

        if isinstance(error, SettingsError | UsageError):
            _fail(str(error), 2)
        if isinstance(error, LivehouseError):
            _fail(str(error), 1)
        if os.environ.get("LIVEHOUSE_DEBUG"):
            raise
        said = " ".join(str(error).split())[:300]
        _fail(f"a fault of livehouse itself: {type(error).__name__}: {said} (LIVEHOUSE_DEBUG=1 shows where)", 1)
