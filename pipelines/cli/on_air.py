"""`on-air`: which streams are live now, and how many viewers they have."""

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
    from pipelines.live.view import LiveSnapshot
    from pipelines.settings.settings import Settings

_DEFAULT_INTERVAL_SECONDS = 15
_LINES_BESIDE_TABLE = 6
_REDRAW_SECONDS = 0.5
_SLOW_POLL_SECONDS = 10
"""A poll that takes longer is reported."""
_OUTDATED_AFTER = timedelta(minutes=2)
_EXIT_TIMEOUT_SECONDS = 2


@click.command("on-air")
@click.option("--watch", is_flag=True, help="Keep polling until Ctrl-C.")
@click.option(
    "--every",
    type=click.IntRange(5, 3600),
    default=_DEFAULT_INTERVAL_SECONDS,
    show_default=True,
    help="With --watch: seconds between the starts of two polls.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON; with --watch, one line for each poll.")
def on_air_command(every: int, *, watch: bool, as_json: bool) -> int:
    """Show which streams are live now, and their average viewers since the last poll.

    Each poll is kept, and the next run merges it into core.live_observations. While a run is active, polling is
    suspended, and the last poll is shown.
    """
    from pipelines.settings.settings import load_settings

    settings = load_settings()
    settings.require_account()
    state = _State(settings)
    if watch:
        return _watch(state, every, as_json=as_json)
    state.poll()
    state.show(as_json=as_json)
    return 1 if state.is_failed else 0


@dataclass
class _State:
    """State of the display. Each poll replaces whole values, so the thread that draws never sees half a poll."""

    settings: "Settings"
    snapshot: "LiveSnapshot | None" = None
    warnings: list[str] = field(default_factory=list)
    is_failed: bool = False
    thread_error: Exception | None = None
    client: "ApiClient | None" = None
    """Of the current poll."""
    poll_started: float | None = None
    next_poll: float | None = None
    polls: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def load_snapshot(self) -> None:
        """Load the last poll, so that there is something to show while the API takes its time."""
        from pipelines.live.view import read_snapshot

        self.snapshot = read_snapshot(self.settings)

    def poll(self) -> None:
        """Poll once. Errors become warnings and are not raised: the next poll may succeed."""
        from pipelines.clock import utc_now
        from pipelines.errors import AlreadyRunningError, ApiUnreachableError, LivehouseError
        from pipelines.live.steps import poll_apps
        from pipelines.steps.context import make_client

        warnings, is_failed, without_session = [], False, 0
        self.poll_started = time.monotonic()
        self.client = client = make_client(self.settings)
        try:
            polls = poll_apps(self.settings, client, is_stopped=self.stopped.is_set)
            is_failed = any(poll.is_failed for poll in polls)
            warnings = [f"{poll.app_id}: {poll.warnings}" for poll in polls if poll.warnings]
            without_session = sum(poll.without_session for poll in polls)
            seconds = sum(poll.seconds for poll in polls)
            if seconds > _SLOW_POLL_SECONDS:
                warnings.append(f"the poll took {seconds:.0f} s: the API is slow, or the request budget is too small")
        except AlreadyRunningError as busy:
            warnings = [f"not polled: {busy}"]
        except ApiUnreachableError as unreachable:
            warnings, is_failed = [str(unreachable)], True
        finally:
            client.close()
        try:
            self.load_snapshot()
            warnings += _outdated_warnings(self.snapshot, utc_now()) if self.snapshot else []
        except LivehouseError as error:
            warnings.append(str(error))
        if without_session:
            warnings.append(f"{without_session} more streams are LIVE or INVOKED without a session: not fed yet")
        self.warnings, self.is_failed, self.poll_started = warnings, is_failed, None
        self.polls += 1

    def show(self, *, as_json: bool) -> None:
        """Print the table (or JSON) to stdout and the warnings to stderr."""
        if as_json:
            click.echo(json.dumps(_document(self), default=datetime.isoformat))
            return
        from pipelines.cli.console import OutputConsole
        from pipelines.cli.on_air_table import on_air_table
        from pipelines.telemetry.logs import log

        console = OutputConsole()
        if not console.is_terminal:  # a pipe has no width: cut nothing
            console = OutputConsole(width=400)
        streams = self.snapshot.streams if self.snapshot else []
        console.print(on_air_table(streams, len(streams), console.width) if streams else "Nothing is on air.")
        for line in self.warnings:
            log(f"livehouse: {line}", "warning")
        known = [stream for stream in streams if not stream.is_pending]
        if known and all(stream.average_viewers is None for stream in known):
            log("livehouse: an average takes two polls: run this again, or use --watch")
        if len(known) < len(streams):
            log("livehouse: the API has no figures in the first minute of a session")


def _watch(state: _State, every: int, *, as_json: bool) -> int:
    """Poll in a second thread; this one draws, and stays able to react to Ctrl-C."""

    def keep_polling() -> None:
        try:
            state.load_snapshot()
            while not state.stopped.is_set():
                begun = time.monotonic()
                state.poll()
                state.next_poll = begun + max(every, time.monotonic() - begun)
                state.stopped.wait(max(state.next_poll - time.monotonic(), 0))
        except Exception as error:  # noqa: BLE001 - the main thread raises it
            state.thread_error = error

    thread = threading.Thread(target=keep_polling, daemon=True, name="poll")
    thread.start()
    try:
        if as_json or not sys.stdout.isatty():
            _print_polls(state, thread, as_json=as_json)
        else:
            _draw(state, thread)
    except KeyboardInterrupt:
        pass  # the way to end --watch
    finally:
        state.stopped.set()
        thread.join(_EXIT_TIMEOUT_SECONDS)
    if thread.is_alive():
        # It may wait for the API for minutes, and Python would wait for it. Each poll is committed whole or not at all.
        sys.stdout.flush()
        os._exit(0)
    if state.thread_error:
        raise state.thread_error
    return 0


def _print_polls(state: _State, thread: threading.Thread, *, as_json: bool) -> None:
    printed = 0
    while thread.is_alive() or state.polls > printed:
        if state.polls > printed:
            printed = state.polls
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
    streams = state.snapshot.streams if state.snapshot else []
    lines = state.warnings + _slow_poll_warnings(state)
    if streams:
        warning_lines = sum(1 + len(line) // console.width for line in lines)
        rows = max(console.height - _LINES_BESIDE_TABLE - warning_lines, 3)
        parts.append(on_air_table(streams, rows, console.width))
    elif state.snapshot:
        parts.append("Nothing is on air.")
    parts += [Text(printable(line), style="yellow") for line in lines]
    parts.append(Text("Ctrl-C to quit", style="dim"))
    return Group(*parts)


def _heading(state: _State) -> str:
    now = time.monotonic()
    streams = state.snapshot.streams if state.snapshot else []
    poll_times = [app.looked_at for app in state.snapshot.apps if app.looked_at] if state.snapshot else []
    viewers = [stream.average_viewers for stream in streams if stream.average_viewers is not None]
    parts = [f"{len(streams)} on air"] if state.snapshot else []
    parts += [f"{sum(viewers):,.0f} viewers"] if viewers else []
    parts += [f"as of {max(poll_times):%H:%M:%S} UTC"] if poll_times else []
    if state.poll_started is not None:
        parts.append("polling …")
    elif state.next_poll is not None:
        parts.append(f"next poll in {max(state.next_poll - now, 0):.0f} s")
    return " · ".join(parts)


def _slow_poll_warnings(state: _State) -> list[str]:
    begun = state.poll_started
    if begun is None or (seconds := time.monotonic() - begun) < _SLOW_POLL_SECONDS:
        return []
    retries = f", retried requests: {state.client.retried}" if state.client and state.client.retried else ""
    return [f"polling for {seconds:.0f} s{retries}: the API is slow, or limits our requests"]


def _outdated_warnings(snapshot: "LiveSnapshot", now: datetime) -> list[str]:
    """Return warnings about figures that did not move since the poll before, and about apps not polled for minutes."""
    warnings = []
    unchanged = [stream for stream in snapshot.streams if stream.stands_still]
    if unchanged:
        first = unchanged[0].name or unchanged[0].livestream_id[:8]
        warnings.append(
            f"the API lags: figures of {len(unchanged)} live streams did not change since the last poll, the first: {first}"
        )
    outdated = [app for app in snapshot.apps if app.looked_at and now - app.looked_at > _OUTDATED_AFTER]
    return warnings + [f"{app.app_id}: last polled {app.looked_at:%Y-%m-%d %H:%M:%S} UTC" for app in outdated]


def _document(state: _State) -> dict[str, Any]:
    """Return the document of `--json`. Its keys are public."""
    snapshot = state.snapshot
    return {
        "apps": [asdict(app) for app in snapshot.apps] if snapshot else [],
        "streams": [asdict(stream) for stream in snapshot.streams] if snapshot else [],
        "said": state.warnings,  # public name
    }
