"""`init`: write what a new installation needs. It never overwrites a file."""

import shlex
import sys
from pathlib import Path

import click

_CRON = "45 2 * * *  cd {directory} && {program} nightly --quiet"

_SERVICE = """\
[Unit]
Description=Load the last days of RealtimeKit livestreams
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
{user}WorkingDirectory={directory}
ExecStart={program} nightly
"""

_TIMER = """\
[Unit]
Description=Run livehouse every night

[Timer]
OnCalendar=*-*-* 02:45:00 UTC
Persistent=true

[Install]
WantedBy=timers.target
"""


@click.command("init")
@click.option(
    "--cron", "shows_cron", is_flag=True, help="Print a line for `crontab -e` that runs `livehouse nightly` here."
)
@click.option(
    "--systemd",
    "units",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write livehouse.service and livehouse.timer into DIR: /etc/systemd/system, or ~/.config/systemd/user.",
)
def init_command(*, shows_cron: bool, units: Path | None) -> None:
    """Write `.env` into the working directory, readable by you only, with every setting and its default.

    Files that exist are left as they are. Fill in the token, the account and the app, then run `livehouse doctor`.
    """
    from pipelines.errors import UsageError
    from pipelines.telemetry.logs import log

    directory = Path.cwd()
    if not str(directory).isprintable():
        raise UsageError("the name of the working directory has control characters: use another one")
    _write_new(Path(".env"), _env_template(), 0o600)
    if units:
        for name, text in _build_units(directory, units).items():
            _write_new(units / name, text, 0o644)
        log(f"livehouse: to start it: {_enable_command(units)}")
    if shows_cron:
        line = _CRON.format(directory=shlex.quote(str(directory)), program=shlex.quote(str(_find_program())))
        click.echo(line.replace("%", r"\%"))  # cron ends a line at a plain %
    log("livehouse: next: fill in .env, then run `livehouse doctor`")


def _env_template() -> str:
    """Return `.env.example`: inside the package once installed, at the root of a checkout."""
    from pipelines.settings import env_file

    inside = Path(env_file.__file__).with_name("env.example")
    example = inside if inside.is_file() else Path(env_file.__file__).parents[2] / ".env.example"
    _, _, settings = example.read_text(encoding="utf-8").partition("\n\n")
    return f"# Settings of livehouse for this directory. Variables in the environment win.\n\n{settings}"


def _write_new(path: Path, text: str, mode: int) -> None:
    """Write a file that does not exist yet; leave one that exists."""
    import os

    from pipelines.errors import UsageError
    from pipelines.telemetry.logs import log

    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        log(f"livehouse: {path} exists and is left as it is")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    else:
        click.echo(str(path))


def _find_program() -> Path:
    """Return the absolute path of this program, as cron and systemd need it: links of pipx and uv are kept."""
    called = Path(sys.argv[0]).absolute()
    return called if called.name == "livehouse" else Path(sys.executable).with_name("livehouse")


def _build_units(directory: Path, units: Path) -> dict[str, str]:
    import getpass

    program = '"' + str(_find_program()).replace("\\", r"\\").replace('"', r"\"") + '"'
    service = _SERVICE.format(
        user=f"User={getpass.getuser()}\n" if _is_of_system(units) else "",  # a unit of a user runs as that user
        directory=str(directory).replace("%", "%%"),
        program=program.replace("%", "%%").replace("$", "$$"),
    )
    return {"livehouse.service": service, "livehouse.timer": _TIMER}


def _is_of_system(units: Path) -> bool:
    return any(units.absolute().is_relative_to(root) for root in ("/etc", "/usr"))


def _enable_command(units: Path) -> str:
    user = "" if _is_of_system(units) else " --user"
    return f"systemctl{user} daemon-reload && systemctl{user} enable --now livehouse.timer"
