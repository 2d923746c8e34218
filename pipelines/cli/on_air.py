"""`on-air`: who is live now, and how many watch."""

import json
import os
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from pipelines.extract.client import ApiClient
    from pipelines.live.view import Present
    from pipelines.settings.settings import Settings

_EVERY_SECONDS = 15
_LINES_BESIDE_TABLE = 6
_REDRAW_SECONDS = 0.5
_SILENCE_SECONDS = 10
"""A look that takes longer is said to."""
_GOODBYE_SECONDS = 2


@click.command("on-air")
@click.option("--watch", is_flag=True, help="Look again and again, until ctrl-C.")
@click.option(
    "--every",
    type=click.IntRange(5, 3600),
    default=_EVERY_SECONDS,
    show_default=True,
    help="With --watch: seconds from one look to the next.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON; with --watch, a line for each look.")
def on_air_command(every: int, *, watch: bool, as_json: bool) -> int:
    """Show who is live now, and how many watch: average viewers since the last look.

    Each look is kept, and is merged into core.live_observations by the next run. While a run has the house,
    looking steps back, and what was last seen is shown.
    """
    from pipelines.settings.settings import load_settings

    settings = load_settings()
    settings.require_account()
    state = _State(settings)
    if watch:
        return _watch(state, every, as_json=as_json)
    state.look()
    state.show(as_json=as_json)
    return 1 if state.failed else 0


@dataclass
class _State:
    """What is shown, and what was last said. Replaced whole by each look, so a drawing thread sees one or the other."""

    settings: "Settings"
    present: "Present | None" = None
    said: list[str] = field(default_factory=list)
    failed: bool = False
    fault: Exception | None = None
    client: "ApiClient | None" = None
    """Of the look that is under way."""
    looking_since: float | None = None
    next_look: float | None = None
    looks: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def recall(self) -> None:
        """Take up what earlier looks saw, so that there is something to see while the API takes its time."""
        from pipelines.live.view import read_present

        self.present = read_present(self.settings)

    def look(self) -> None:
        """Look once. What goes wrong is said, not raised: the next look may go well."""
        from pipelines.clock import utc_now
        from pipelines.errors import AlreadyRunningError, ApiUnreachableError, LivehouseError
        from pipelines.live.steps import observe
        from pipelines.steps.context import make_client

        said, failed, waiting = [], False, 0
        self.looking_since = time.monotonic()
        self.client = client = make_client(self.settings)
        try:
            looks = observe(self.settings, client, is_stopped=self.stopped.is_set)
            failed = any(look.failed for look in looks)
            said = [f"{look.app_id}: {look.said}" for look in looks if look.said]
            waiting = sum(look.waiting for look in looks)
            seconds = sum(look.seconds for look in looks)
            if seconds > _SILENCE_SECONDS:
                said.append(f"the look took {seconds:.0f} s: the API, or the budget of requests, does not keep up")
        except AlreadyRunningError as busy:
            said = [f"not looked: {busy}"]
        except ApiUnreachableError as unreachable:  # the next look may go well
            said, failed = [str(unreachable)], True
        finally:
            client.close()
        try:
            self.recall()
            said += _lag(self.present, utc_now()) if self.present else []
        except LivehouseError as error:
            said.append(str(error))
        if waiting:
            said.append(f"{waiting} more listed as LIVE or INVOKED run no session: made, and not fed")
        self.said, self.failed, self.looking_since, self.looks = said, failed, None, self.looks + 1

    def show(self, *, as_json: bool) -> None:
        """Print what is known: the table (or JSON) to stdout, what was said to stderr."""
        if as_json:
            click.echo(json.dumps(_document(self), default=datetime.isoformat))
            return
        from pipelines.cli.console import OutputConsole
        from pipelines.cli.on_air_table import on_air_table
        from pipelines.text import printable

        console = OutputConsole()
        if not console.is_terminal:  # nothing is cut where nobody looks: a pipe has no width
            console = OutputConsole(width=400)
        streams = self.present.streams if self.present else []
        console.print(on_air_table(streams, len(streams), console.width) if streams else "Nothing is on air.")
        for line in self.said:
            click.echo(f"livehouse: {printable(line)}", err=True)
        known = [stream for stream in streams if not stream.is_pending]
        if known and all(stream.average_viewers is None for stream in known):
            click.echo("livehouse: an average takes two looks: look again, or --watch", err=True)
        if len(known) < len(streams):
            click.echo("livehouse: the API knows no figures in the first minute of a session", err=True)


def _watch(state: _State, every: int, *, as_json: bool) -> int:
    """Look every so many seconds beside the thread that draws, which stays able to answer ctrl-C."""

    def keep_looking() -> None:
        try:
            state.recall()
            while not state.stopped.is_set():
                begun = time.monotonic()
                state.look()
                state.next_look = begun + max(every, time.monotonic() - begun)
                state.stopped.wait(max(state.next_look - time.monotonic(), 0))
        except Exception as error:  # noqa: BLE001 - a thread's last place: the other raises it
            state.fault = error

    thread = threading.Thread(target=keep_looking, daemon=True, name="look")
    thread.start()
    try:
        if as_json or not sys.stdout.isatty():
            _print_each(state, thread, as_json=as_json)
        else:
            _draw(state, thread)
    except KeyboardInterrupt:
        pass  # how a watch is ended
    finally:
        state.stopped.set()
        thread.join(_GOODBYE_SECONDS)
    if thread.is_alive():
        # It waits for the API, minutes perhaps, and Python would wait with it. What it saw is committed or is not.
        sys.stdout.flush()
        os._exit(0)
    if state.fault:
        raise state.fault
    return 0


def _print_each(state: _State, thread: threading.Thread, *, as_json: bool) -> None:
    shown = 0
    while thread.is_alive() or state.looks > shown:
        if state.looks > shown:
            shown = state.looks
            state.show(as_json=as_json)
            sys.stdout.flush()
        time.sleep(0.05)


def _draw(state: _State, thread: threading.Thread) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(file=sys.stdout, highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as screen:
        while thread.is_alive():
            screen.update(_screen(state, console), refresh=True)
            time.sleep(_REDRAW_SECONDS)
        screen.update(_screen(state, console), refresh=True)


def _screen(state: _State, console: "Console") -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    from pipelines.cli.on_air_table import on_air_table
    from pipelines.text import printable

    parts: list[RenderableType] = [Text(_heading(state), style="bold", no_wrap=True, overflow="ellipsis")]
    streams = state.present.streams if state.present else []
    lines = state.said + _waiting(state)
    if streams:
        said = sum(1 + len(line) // console.width for line in lines)
        rows = max(console.height - _LINES_BESIDE_TABLE - said, 3)
        parts.append(on_air_table(streams, rows, console.width))
    elif state.present:
        parts.append("Nothing is on air.")
    parts += [Text(printable(line), style="yellow") for line in lines]
    parts.append(Text("ctrl-C ends", style="dim"))
    return Group(*parts)


def _heading(state: _State) -> str:
    now = time.monotonic()
    streams = state.present.streams if state.present else []
    looked = [app.looked_at for app in state.present.apps if app.looked_at] if state.present else []
    viewers = [stream.average_viewers for stream in streams if stream.average_viewers is not None]
    parts = [f"{len(streams)} on air"] if state.present else []
    parts += [f"{sum(viewers):,.0f} watch"] if viewers else []
    parts += [f"seen {max(looked):%H:%M:%S} UTC"] if looked else []
    if state.looking_since is not None:
        parts.append("looking …")
    elif state.next_look is not None:
        parts.append(f"next look in {max(state.next_look - now, 0):.0f} s")
    return " · ".join(parts)


def _waiting(state: _State) -> list[str]:
    """What tells that the look under way takes long."""
    begun = state.looking_since
    if begun is None or (seconds := time.monotonic() - begun) < _SILENCE_SECONDS:
        return []
    again = f", requests sent again: {state.client.retried}" if state.client and state.client.retried else ""
    return [f"looking for {seconds:.0f} s{again}: the API is slow, or holds us back"]


def _lag(present: "Present", now: datetime) -> list[str]:
    """What tells that the API, or looking, does not keep up."""
    said = []
    still = [stream for stream in present.streams if stream.stands_still]
    if still:
        which = still[0].name or still[0].livestream_id[:8]
        said.append(
            f"the API lags: since the look before, figures of {len(still)} live streams did not move, as of {which}"
        )
    old = [app for app in present.apps if app.looked_at and now - app.looked_at > timedelta(minutes=2)]
    said += [f"{app.app_id}: last seen {app.looked_at:%Y-%m-%d %H:%M:%S} UTC" for app in old]
    return said


def _document(state: _State) -> dict[str, Any]:
    present = state.present
    return {
        "apps": [asdict(app) for app in present.apps] if present else [],
        "streams": [asdict(stream) for stream in present.streams] if present else [],
        "said": state.said,
    }
