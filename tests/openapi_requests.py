"""Validates the requests that livehouse sends by the vendor's OpenAPI document (tests/payloads)."""

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
ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT")
AN_ID = "b60ef3da-fbbb-441b-9168-8235b0035248"
"""Replaces each id of a path: ids come from the API."""


class SentRequest(NamedTuple):
    """The parts of a request that the document specifies, with numbers and days replaced, so that equal ones count once."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: bytes
    content_type: str
    has_token: bool

    @classmethod
    def of(cls, received: IncomingRequest) -> "SentRequest":
        query = parse_qsl(received.query_string, keep_blank_values=True)
        return cls(
            received.method,
            _path(received),
            tuple(
                sorted(
                    (name, _generalize(value)) for name, value in query if not _is_older_dialect(name, value, received)
                )
            ),
            received.body,
            received.headers.get("content-type", ""),
            received.headers.get("authorization", "").startswith("Bearer "),
        )


def _path(received: IncomingRequest) -> str:
    if received.operation not in ROUTES:
        return received.path
    return "/client/v4/accounts/x/realtime/kit/x" + re.sub(r"\{\w+\}", AN_ID, ROUTES[received.operation][1])


def _generalize(value: str) -> str:
    return "1" if value.isdecimal() else re.sub(r"\d", "1", value) if re.fullmatch(r"[\d-]+", value) else value


TOTALS = {"get-overall-analytics", "get-livestream-daywise-analytics"}


def _is_older_dialect(name: str, value: str, received: IncomingRequest) -> bool:
    """Whether it is an ISO time sent to a service that takes those: no document describes the older dialect."""
    takes_iso = received.dialect.times != "unix" and received.operation in TOTALS
    return takes_iso and name in {"start_time", "end_time"} and bool(ISO_TIME.match(value))


@cache
def _document() -> Any:
    return json.loads(DOCUMENT.read_text("utf-8"))


@cache
def _validator() -> Any:
    from openapi_core import OpenAPI

    return OpenAPI.from_dict(_document())


@cache
def find_violation(sent: SentRequest) -> str | None:
    """Return how a request violates the document; None if it is valid."""
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
        return f"{sent.method} {sent.path}: {undeclared} are not parameters of the operation"
    if len(names) != len(set(names)):
        return f"{sent.method} {sent.path}: a parameter is given twice, {names}"
    if sent.body and "requestBody" not in operation:
        return f"{sent.method} {sent.path}: the operation takes no body, but got {sent.body[:60]!r}"
    return None


def _operation(sent: SentRequest) -> Any:
    for template, item in _document()["paths"].items():
        if re.fullmatch("/client/v4" + re.sub(r"\{[^}]+\}", "[^/]+", template), sent.path):
            return item[sent.method.lower()]
    raise AssertionError(f"no path of the document: {sent.path}")


class RequestLog:
    """Distinct requests since the last check; recorded by the server threads, checked by the tests."""

    def __init__(self) -> None:
        self._sent: dict[SentRequest, None] = {}
        self._in_unix_seconds: set[str] = set()
        self.operations: set[str] = set()

    def record(self, received: IncomingRequest) -> None:
        self.operations.add(received.operation)
        if received.operation in TOTALS:
            if "start_time=2" not in received.query_string:  # a year: Unix seconds begin with 1
                self._in_unix_seconds.add(received.operation)
            elif received.operation in self._in_unix_seconds:
                return  # where Unix seconds were refused, ISO is tried once
        self._sent[SentRequest.of(received)] = None

    def purge(self) -> None:
        self._sent.clear()
        self._in_unix_seconds.clear()

    def violations(self) -> Iterator[str]:
        """Yield the violations of the requests since the last check."""
        sent, self._sent = list(self._sent), {}
        self._in_unix_seconds.clear()
        yield from filter(None, map(find_violation, sent))


REQUEST_LOG = RequestLog()
