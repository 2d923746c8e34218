"""The reference of the API's operations, from the functions that send them."""

from datetime import date
from typing import Any

import click

from docs.generator.markdown import code, codes, fenced, heading, page, plain, table
from pipelines.catalog.streams import STREAMS
from pipelines.cli.api import api_command
from pipelines.extract import operations
from pipelines.extract.client import ApiClient

_VALUES: dict[str, Any] = {
    "livestream_id": "LIVESTREAM_ID",
    "session_id": "SESSION_ID",
    "meeting_id": "MEETING_ID",
    "first_day": date(2026, 11, 1),
    "last_day": date(2026, 11, 2),
    "name": "NAME",
}
"""An argument for each parameter of an operation that has no default."""


class _RequestRecorder:
    """Takes the place of the client: keeps what an operation would send, and sends nothing."""

    account_id = "ACCOUNT_ID"

    def __init__(self) -> None:
        self.method = self.path = ""
        self.fields: tuple[str, ...] = ()
        self.dialect = self

    def get(self, path: str, params: dict[str, Any], **_: object) -> dict[str, Any]:
        """Keep a GET request."""
        self.method, self.path, self.fields = "GET", path, tuple(params)
        return {}

    def post(self, path: str, body: dict[str, Any] | None = None, **_: object) -> dict[str, Any]:
        """Keep a POST request."""
        self.method, self.path, self.fields = "POST", path, tuple(body or ())
        return {}

    def send_with_fallback(self, key: object, value: str, send: Any, others: object) -> Any:  # noqa: ANN401, ARG002 - as in the client's dialect
        """Send with the first form only."""
        return send(value)


def record_request(operation: str) -> tuple[str, str, tuple[str, ...]]:
    """Return the method and path of an operation, and the names of the fields in its query or body."""
    perform = getattr(operations, operation.replace("-", "_"))
    needed = perform.__code__.co_varnames[2 : perform.__code__.co_argcount]
    recorder = _RequestRecorder()
    client: ApiClient = recorder  # type: ignore[assignment]  # has the methods that operations call
    perform(client, "APP_ID", *(_VALUES[name] for name in needed))
    return recorder.method, recorder.path, recorder.fields


def operations_page() -> str:
    """Return the page of the API's operations."""
    context = click.Context(api_command)
    used = {stream.operation: stream for stream in STREAMS}
    blocks = [
        heading(1, "API operations"),
        "`livehouse api OPERATION` runs one by hand. Paths begin at `CLOUDFLARE_BASE_URL`.",
        table(
            ("operation", "used by nightly runs"),
            (
                (code(name), f"fills {code(used[name].raw.full_name)}" if name in used else "no")
                for name in api_command.list_commands(context)
            ),
        ),
    ]
    for name in api_command.list_commands(context):
        command = api_command.get_command(context, name)
        method, path, fields = record_request(name)
        blocks += [
            heading(2, code(name)),
            plain(command.help or "") if command else "",
            fenced("text", f"{method} {path}"),
            f"Fields of the {'query' if method == 'GET' else 'body'}: {codes(fields)}." if fields else "",
        ]
        if stream := used.get(name):
            filled = codes(part.table.full_name for part in stream.parts)
            blocks.append(
                f"A run fetches it by {stream.fetched_by}, into {code(stream.raw.full_name)}"
                + (f" and {filled}." if filled else ".")
            )
    return page(*blocks)
