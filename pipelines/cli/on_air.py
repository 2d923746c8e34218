"""`on-air`: who is live now, and how many watch."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from pipelines.settings import Settings
    from pipelines.steps.on_air import OnAir, Present

_EVERY_SECONDS = 15
_TREND = 16
_BARS = "▁▂▃▄▅▆▇█"
_LINES_BESIDE_TABLE = 9
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
    from pipelines.settings import load_settings  # noqa: PLC0415 - kept out of --help

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
    looking_since: float | None = None
    next_look: float | None = None
    looks: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Look once. What goes wrong is said, not raised: the next look may go well."""
        from pipelines.clock import utc_now  # noqa: PLC0415 - kept out of --help
        from pipelines.errors import HouseBusyError, LivehouseError  # noqa: PLC0415 - kept out of --help
        from pipelines.steps.house import make_client  # noqa: PLC0415 - kept out of --help
        from pipelines.steps.observe import observe  # noqa: PLC0415 - kept out of --help
        from pipelines.steps.on_air import read_present  # noqa: PLC0415 - kept out of --help

        said, failed, waiting = [], False, 0
        self.looking_since = time.monotonic()
        client = make_client(self.settings)
        try:
            looks = observe(self.settings, client, is_stopped=self.stopped.is_set)
            failed = any(look.failed for look in looks)
            said = [f"{look.app_id}: {look.said}" for look in looks if look.said]
            waiting = sum(look.waiting for look in looks)
            seconds = sum(look.seconds for look in looks)
            if seconds > _SILENCE_SECONDS:
                said.append(f"the look took {seconds:.0f} s: the API, or the budget of requests, does not keep up")
        except HouseBusyError as busy:
            said = [f"not looked: {busy}"]
        finally:
            client.close()
        try:
            self.present = read_present(self.settings)
            said += _lag(self.present, utc_now())
        except LivehouseError as error:
            said.append(str(error))
        if waiting:
            said.append(f"{waiting} more listed as LIVE or INVOKED run no session: made, and not fed")
        self.said, self.failed, self.looking_since, self.looks = said, failed, None, self.looks + 1

    def show(self, *, as_json: bool) -> None:
        """Print what is known: the table (or JSON) to stdout, what was said to stderr."""
        if as_json:
            click.echo(json.dumps(_document(self), ensure_ascii=False, default=datetime.isoformat))
            return
        from rich.console import Console  # noqa: PLC0415 - kept out of --help

        console = Console(file=sys.stdout, highlight=False)
        if not console.is_terminal:  # nothing is cut where nobody looks: a pipe has no width
            console = Console(file=sys.stdout, highlight=False, width=400)
        streams = self.present.streams if self.present else []
        console.print(_table(streams, len(streams)) if streams else "Nothing is on air.")
        from pipelines.cli.text import printable  # noqa: PLC0415 - kept out of --help

        for line in self.said:
            click.echo(f"livehouse: {printable(line)}", err=True)
        if streams and all(stream.average_viewers is None for stream in streams):
            click.echo("livehouse: an average takes two looks: look again, or --watch", err=True)


def _watch(state: _State, every: int, *, as_json: bool) -> int:
    """Look every so many seconds beside the thread that draws, which stays able to answer ctrl-C."""

    def keep_looking() -> None:
        while not state.stopped.is_set():
            begun = time.monotonic()
            state.look()
            state.next_look = begun + max(every, time.monotonic() - begun)
            state.stopped.wait(max(state.next_look - time.monotonic(), 0))

    thread = threading.Thread(target=_guarded(keep_looking, state), daemon=True, name="look")
    thread.start()
    try:
        if as_json or not sys.stdout.isatty():
            _print_each(state, thread, as_json=as_json)
        else:
            _draw(state, thread)
    except KeyboardInterrupt:
        pass
    finally:
        state.stopped.set()
        thread.join(_GOODBYE_SECONDS)
    if thread.is_alive():
        # It waits for the API, minutes perhaps, and Python would wait with it. What it saw is committed or is not.
        sys.stdout.flush()
        os._exit(0)
    return 1 if state.failed and not state.looks else 0


def _guarded(body: Callable[[], None], state: _State) -> Callable[[], None]:
    """A fault of the looking thread is said on the screen, and ends the watch."""

    def run() -> None:
        try:
            body()
        except Exception as error:  # noqa: BLE001 - a thread's last place
            state.said, state.failed = [f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"], True

    return run


def _print_each(state: _State, thread: threading.Thread, *, as_json: bool) -> None:
    shown = 0
    while thread.is_alive() or state.looks > shown:
        if state.looks > shown:
            shown = state.looks
            state.show(as_json=as_json)
            sys.stdout.flush()
        time.sleep(0.05)


def _draw(state: _State, thread: threading.Thread) -> None:
    from rich.console import Console  # noqa: PLC0415 - kept out of --help
    from rich.live import Live  # noqa: PLC0415 - kept out of --help

    console = Console(file=sys.stdout, highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as screen:
        while thread.is_alive():
            screen.update(_screen(state, console), refresh=True)
            time.sleep(_REDRAW_SECONDS)
        screen.update(_screen(state, console), refresh=True)


def _screen(state: _State, console: "Console") -> "RenderableType":
    from rich.console import Group  # noqa: PLC0415 - kept out of --help
    from rich.text import Text  # noqa: PLC0415 - kept out of --help

    from pipelines.cli.text import printable  # noqa: PLC0415 - kept out of --help

    parts: list[RenderableType] = [Text(_heading(state), style="bold", no_wrap=True, overflow="ellipsis")]
    streams = state.present.streams if state.present else []
    if streams:
        parts.append(_table(streams, max(console.height - _LINES_BESIDE_TABLE - len(state.said), 3)))
    elif state.present:
        parts.append("Nothing is on air.")
    parts += [Text(printable(line), style="yellow") for line in state.said]
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
        seconds = now - state.looking_since
        slow = f"looking for {seconds:.0f} s: the API is slow, or holds us back"
        parts.append("looking …" if seconds < _SILENCE_SECONDS else slow)
    elif state.next_look is not None:
        parts.append(f"next look in {max(state.next_look - now, 0):.0f} s")
    return " · ".join(parts)


def _table(streams: "list[OnAir]", rows: int) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - kept out of --help
    from rich.text import Text  # noqa: PLC0415 - kept out of --help

    from pipelines.cli.text import printable  # noqa: PLC0415 - kept out of --help
    from pipelines.clock import utc_now  # noqa: PLC0415 - kept out of --help

    now = utc_now()
    left = len(streams) - rows
    table = Table(box=None, pad_edge=False, header_style="bold", caption=f"and {left} more" if left > 0 else None)
    table.caption_justify = "left"
    table.add_column("name", no_wrap=True, overflow="ellipsis", max_width=40)
    table.add_column("app", no_wrap=True, overflow="ellipsis", max_width=20)
    table.add_column("since", no_wrap=True, justify="right")
    table.add_column("viewer seconds", no_wrap=True, justify="right")
    table.add_column("viewers", no_wrap=True, justify="right")
    table.add_column("trend", no_wrap=True, min_width=_TREND)
    for stream in streams[:rows]:
        name = (stream.name or "").strip()
        table.add_row(
            Text(printable(name)) if name else Text(printable(stream.livestream_id[:8]), style="dim"),
            Text(printable(stream.app_id)),
            Text(_since(stream, now)),
            Text("-" if stream.viewer_seconds is None else f"{stream.viewer_seconds:,.0f}"),
            Text(_viewers(stream.average_viewers), style="bold"),
            Text(sparkline(stream.trend[-_TREND:]), style="cyan"),
        )
    return table


def _viewers(average: float | None) -> str:
    """One decimal where a fraction of a viewer is to be seen, none in a crowd."""
    if average is None:
        return "-"
    return f"{average:,.1f}" if average < 100 else f"{average:,.0f}"  # noqa: PLR2004 - said above


def _since(stream: "OnAir", now: datetime) -> str:
    if stream.started_at is None:
        return "starting"
    if now - stream.started_at > timedelta(hours=20):
        return f"{stream.started_at:%m-%d %H:%M}"
    return f"{stream.started_at:%H:%M:%S}"


def sparkline(trend: "list[float | None]") -> str:
    """A bar for each average, from zero to the highest of them; a dot where it is unknown."""
    highest = max((average for average in trend if average is not None), default=0.0)
    top = len(_BARS) - 1
    return "".join(
        "·" if average is None else _BARS[round(top * average / highest) if highest else 0] for average in trend
    )


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
