"""Whether the requests that livehouse sends are described by the vendor's OpenAPI document (tests/payloads)."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from pipelines.simulator.incoming import IncomingRequest
from pipelines.simulator.operations import ROUTES

DOCUMENT = Path(__file__).parent / "payloads" / "openapi-livestreams.json"
ROOT = "https://api.cloudflare.com"
IN_ISO = re.compile(r"\d{4}-\d\d-\d\dT")
AN_ID = "b60ef3da-fbbb-441b-9168-8235b0035248"
"""Stands for each id of a path: those are the API's own words."""


class Sent(NamedTuple):
    """What of a request the document speaks of; numbers and days are all alike."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: bytes
    content_type: str
    has_token: bool

    @classmethod
    def of(cls, received: IncomingRequest) -> "Sent":
        query = parse_qsl(received.query_string, keep_blank_values=True)
        return cls(
            received.method,
            _path(received),
            tuple(sorted((name, _like(value)) for name, value in query if not _is_older(name, value, received))),
            received.body,
            received.headers.get("content-type", ""),
            received.headers.get("authorization", "").startswith("Bearer "),
        )


def _path(received: IncomingRequest) -> str:
    if received.operation not in ROUTES:
        return received.path
    return "/client/v4/accounts/x/realtime/kit/x" + re.sub(r"\{\w+\}", AN_ID, ROUTES[received.operation][1])


def _like(value: str) -> str:
    return "1" if value.isdecimal() else re.sub(r"\d", "1", value) if re.fullmatch(r"[\d-]+", value) else value


TOTALS = {"get-overall-analytics", "get-livestream-daywise-analytics"}


def _is_older(name: str, value: str, received: IncomingRequest) -> bool:
    """Whether it is a time in ISO form, to a service that takes those: the older dialect is described nowhere."""
    takes_iso = received.dialect.times != "unix" and received.operation in TOTALS
    return takes_iso and name in {"start_time", "end_time"} and bool(IN_ISO.match(value))


@cache
def _document() -> Any:
    return json.loads(DOCUMENT.read_text("utf-8"))


@cache
def _validator() -> Any:
    from openapi_core import OpenAPI

    return OpenAPI.from_dict(_document())


@cache
def complaint(sent: Sent) -> str | None:
    """What the document says against a request, if anything."""
    from openapi_core.exceptions import OpenAPIError
    from openapi_core.testing import MockRequest

    names = [name for name, _ in sent.query]
    headers = {"Authorization": "Bearer x"} if sent.has_token else {}
    request = MockRequest(
        ROOT,
        sent.method.lower(),
        sent.path,
        args=dict(sent.query),
        headers=headers,
        data=sent.body or None,
        content_type=sent.content_type,
    )
    try:
        _validator().validate_request(request)
    except OpenAPIError as error:
        return f"{sent.method} {sent.path} {sent.query}: {error} {error.__cause__ or ''}"
    operation = _operation(sent)
    declared = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
    if undeclared := [name for name in names if name not in declared]:
        return f"{sent.method} {sent.path}: {undeclared} are no parameters of it"
    if len(names) != len(set(names)):
        return f"{sent.method} {sent.path}: a parameter is given twice, {names}"
    if sent.body and "requestBody" not in operation:
        return f"{sent.method} {sent.path}: it takes no body, and got {sent.body[:60]!r}"
    return None


def _operation(sent: Sent) -> Any:
    for template, item in _document()["paths"].items():
        if re.fullmatch("/client/v4" + re.sub(r"\{[^}]+\}", "[^/]+", template), sent.path):
            return item[sent.method.lower()]
    raise AssertionError(f"no path of the document: {sent.path}")


class Ledger:
    """Requests since the last look, each once; noted in the threads that serve, looked at by the tests."""

    def __init__(self) -> None:
        self._sent: dict[Sent, None] = {}
        self._in_unix_seconds: set[str] = set()
        self.operations: set[str] = set()

    def note(self, received: IncomingRequest) -> None:
        self.operations.add(received.operation)
        if received.operation in TOTALS:
            if "start_time=2" not in received.query_string:  # a year: Unix seconds begin with 1
                self._in_unix_seconds.add(received.operation)
            elif received.operation in self._in_unix_seconds:
                return  # contract: where Unix seconds were refused, ISO is tried once
        self._sent[Sent.of(received)] = None

    def purge(self) -> None:
        self._sent.clear()
        self._in_unix_seconds.clear()

    def complaints(self) -> Iterator[str]:
        """Everything that the document says against them."""
        sent, self._sent = list(self._sent), {}
        self._in_unix_seconds.clear()
        yield from filter(None, map(complaint, sent))


LEDGER = Ledger()
