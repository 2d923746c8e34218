"""`api`: run one of the eleven operations of the API."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import click

from pipelines.cli.param_types import day, identifier, livestream_name, text

_app = click.option("--app", "app_id", type=identifier, help="App to query; needed only if the settings name several.")
_per_page = click.option(
    "--per-page", type=click.IntRange(1), help="Rows per page; 100, or the largest page that the API accepts."
)
_page_no = click.option(
    "--page-no", type=click.IntRange(1), default=1, show_default=True, help="Page of the list, from 1."
)
_name = click.option("--name", type=livestream_name, help="Name of the livestream: letters, digits, - and _.")
_show_keys = click.option("--show-keys", is_flag=True, help="Show stream keys, which are secrets.")


@click.group("api")
def api_command() -> None:
    """Run one operation of the API and print its reply as JSON."""


def _perform(app_id: str | None, operation: str, *, show_keys: bool, **arguments: Any) -> None:  # noqa: ANN401 - the arguments of the operation
    from pipelines.errors import UsageError
    from pipelines.extract import operations
    from pipelines.settings.settings import load_settings
    from pipelines.steps.context import make_client

    settings = load_settings()
    settings.require_account()
    if app_id is None and len(settings.app_ids) > 1:
        raise UsageError(f"several apps are set: choose one with --app ({', '.join(settings.app_ids)})")
    client = make_client(settings, stream_keys="show" if show_keys else "mask")
    try:
        perform: Callable[..., dict[str, Any]] = getattr(operations, operation)
        reply = perform(client, app_id or settings.app_ids[0], **arguments)
    finally:
        client.close()
    # ASCII only: a name may hold terminal escapes.
    click.echo(json.dumps(reply, indent=2))


@api_command.command("list-livestreams")
@_page_no
@_per_page
@click.option("--status", type=text, help="LIVE, IDLE, ERRORED or INVOKED.")
@_app
@_show_keys
def _list(app_id: str | None, page_no: int, per_page: int | None, status: str | None, *, show_keys: bool) -> None:
    """Fetch a page of all livestreams."""
    _perform(app_id, "list_livestreams", show_keys=show_keys, page_no=page_no, per_page=per_page, status=status)


@api_command.command("get-livestream")
@click.argument("livestream_id", type=identifier)
@_page_no
@_per_page
@_app
@_show_keys
def _livestream(app_id: str | None, livestream_id: str, page_no: int, per_page: int | None, *, show_keys: bool) -> None:
    """Fetch a livestream with a page of its sessions."""
    _perform(
        app_id, "get_livestream", show_keys=show_keys, livestream_id=livestream_id, page_no=page_no, per_page=per_page
    )


@api_command.command("get-session")
@click.argument("session_id", type=identifier)
@_app
@_show_keys
def _session(app_id: str | None, session_id: str, *, show_keys: bool) -> None:
    """Fetch one session."""
    _perform(app_id, "get_session", show_keys=show_keys, session_id=session_id)


@api_command.command("get-active-session")
@click.argument("livestream_id", type=identifier)
@_app
@_show_keys
def _active(app_id: str | None, livestream_id: str, *, show_keys: bool) -> None:
    """Fetch the active session of a livestream."""
    _perform(app_id, "get_active_session", show_keys=show_keys, livestream_id=livestream_id)


@api_command.command("get-meeting-livestream")
@click.argument("meeting_id", type=identifier)
@_app
@_show_keys
def _meeting(app_id: str | None, meeting_id: str, *, show_keys: bool) -> None:
    """Fetch the active livestream of a meeting."""
    _perform(app_id, "get_meeting_livestream", show_keys=show_keys, meeting_id=meeting_id)


@api_command.command("get-overall-analytics")
@click.argument("first_day", type=day, metavar="FIRST_DAY")
@click.argument("last_day", type=day, metavar="LAST_DAY")
@_app
@_show_keys
def _overall(app_id: str | None, first_day: date, last_day: date, *, show_keys: bool) -> None:
    """Fetch totals over all livestreams, from FIRST_DAY to LAST_DAY."""
    _perform(app_id, "get_overall_analytics", show_keys=show_keys, first_day=first_day, last_day=last_day)


@api_command.command("get-livestream-daywise-analytics")
@click.argument("first_day", type=day, metavar="FIRST_DAY")
@click.argument("last_day", type=day, metavar="LAST_DAY")
@_app
@_show_keys
def _livestream_daywise(app_id: str | None, first_day: date, last_day: date, *, show_keys: bool) -> None:
    """Fetch totals over all livestreams day by day, with a count of sessions, from FIRST_DAY to LAST_DAY."""
    _perform(app_id, "get_livestream_daywise_analytics", show_keys=show_keys, first_day=first_day, last_day=last_day)


@api_command.command("get-daywise-analytics")
@click.argument("first_day", type=day, metavar="FIRST_DAY")
@click.argument("last_day", type=day, metavar="LAST_DAY")
@_app
@_show_keys
def _daywise(app_id: str | None, first_day: date, last_day: date, *, show_keys: bool) -> None:
    """Fetch meeting sessions and recordings day by day, from FIRST_DAY to LAST_DAY."""
    _perform(app_id, "get_daywise_analytics", show_keys=show_keys, first_day=first_day, last_day=last_day)


@api_command.command("create-livestream")
@_name
@_app
def _create(app_id: str | None, name: str | None) -> None:
    """Create an independent livestream; its stream key is in the reply."""
    _perform(app_id, "create_livestream", show_keys=True, name=name)


@api_command.command("start-livestream")
@click.argument("meeting_id", type=identifier)
@_name
@_app
def _start(app_id: str | None, meeting_id: str, name: str | None) -> None:
    """Start streaming a meeting; its stream key is in the reply."""
    _perform(app_id, "start_livestream", show_keys=True, meeting_id=meeting_id, name=name)


@api_command.command("stop-livestream")
@click.argument("meeting_id", type=identifier)
@_app
@_show_keys
def _stop(app_id: str | None, meeting_id: str, *, show_keys: bool) -> None:
    """Stop streaming a meeting."""
    _perform(app_id, "stop_livestream", show_keys=show_keys, meeting_id=meeting_id)
