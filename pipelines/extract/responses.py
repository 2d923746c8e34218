"""Reads one HTTP reply: a JSON object that says it succeeded, or the error that it is, with the remedy that fits.

The API answers errors in several shapes (its own two, RFC 9457), and as HTML; a 200 can be any of them too. What stands
in front of it (a bot check, a proxy, a captive portal) answers in its place. Nothing about operations belongs here.
"""

import json
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from pipelines.errors import ApiRefusedError, LivehouseError, NotFoundError, TransientApiError
from pipelines.extract.json_values import parse_json
from pipelines.extract.redaction import Redactor

_LONGEST_MESSAGE = 300
_LONGEST_PART = 120
_MOST_PARTS = 3
_READ_OF_TEXT = 8_000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{0,1000})</title>", re.IGNORECASE)
_CHALLENGE = re.compile(r"just a moment|attention required|challenge-platform|cf-chl", re.IGNORECASE)
_ABOUT_TOKEN = re.compile(r"authorization header|\bapi token\b|access token|bearer", re.IGNORECASE)
_WRONG_TOKEN = re.compile(
    r"(?:invalid|expired|revoked|unknown) (?:api |access )?token|token (?:is |was |has )?(?:been )?(?:invalid|expired|revoked)",
    re.IGNORECASE,
)
"""Said in a 403 of a token that is none, and not of one that lacks a permission."""
_HOST = re.compile(r"https?://([\w.:-]{1,100})", re.IGNORECASE | re.ASCII)

TOKEN_REMEDY, PERMISSION_REMEDY = (
    "check CLOUDFLARE_API_TOKEN",
    "the token needs the Realtime permission for this account",
)
_OTHER_ADDRESS = "check CLOUDFLARE_BASE_URL"
_NOT_THE_API = (
    "a firewall or proxy on the way answered in place of the API: ask whoever runs it, or try another network"
)
_CHALLENGED = (
    "a bot check answered in place of the API: exempt this machine's address or proxy from it, or try another network"
)
_REMEDIES: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: TOKEN_REMEDY,
    HTTPStatus.FORBIDDEN: PERMISSION_REMEDY,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: "the proxy wants another user or password: check HTTPS_PROXY",
    HTTPStatus.MISDIRECTED_REQUEST: f"{_OTHER_ADDRESS}, or a proxy that mixes up hosts",
    HTTPStatus.UPGRADE_REQUIRED: f"{_OTHER_ADDRESS}: the server there speaks another protocol",
    HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED: "this network wants a login before it lets anything through",
}
_RETRIED = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


def parse_response(
    what: str, status: int, body: bytes, headers: Mapping[str, str] | None = None, redactor: Redactor | None = None
) -> dict[str, Any]:
    """Return the JSON object of a successful reply, secrets included; otherwise raise the error that the reply is.

    `redactor` learns the secrets of the reply, and cleans what an error quotes of it before anything is cut off.
    """
    redactor, headers = redactor or Redactor(""), headers or {}
    value, fault = None, ""
    try:
        value = parse_json(body)
    except ValueError as error:
        fault = str(error) if "more values" in str(error) else "not JSON"
    redactor.remember_secrets(value)
    is_success = HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES
    if is_success and isinstance(value, dict) and value.get("success", True) in (True, "true", 1):
        return value
    said = _one_line(redactor.redact_message(_message_of_text(body) if fault else _message_of_value(value)))
    if is_success and "cf-mitigated" not in headers:
        raise TransientApiError(f"{what}: {status}, but {fault or 'not a success'}: {said}", status=status)
    raise _error(f"{what}: {status}", status, said, body if fault else b"", headers)


def _error(where: str, status: int, said: str, text: bytes, headers: Mapping[str, str]) -> LivehouseError:
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(f"{where}: {said}", status=status)
    if status == HTTPStatus.BAD_REQUEST and _ABOUT_TOKEN.search(said):
        return ApiRefusedError(f"{where}: {TOKEN_REMEDY}: {said}", status=status, remedy=TOKEN_REMEDY)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        to = _HOST.match(headers.get("location", "")[:_LONGEST_MESSAGE])
        said = f"a redirect{f' to {to[1]}' if to else ''} is not followed"
    if status == HTTPStatus.FORBIDDEN and _WRONG_TOKEN.search(said):
        return ApiRefusedError(f"{where}: {said} ({TOKEN_REMEDY})", status=status, remedy=TOKEN_REMEDY)
    remedy = _remedy(status, text[:_READ_OF_TEXT].decode("utf-8", "replace").lower(), headers)
    if remedy:
        return ApiRefusedError(f"{where}: {said} ({remedy})", status=status, remedy=remedy)
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _RETRIED:
        return ApiRefusedError(f"{where}: {said}", status=status)
    return TransientApiError(f"{where}: {said}", status=status)


def _remedy(status: int, text: str, headers: Mapping[str, str]) -> str | None:
    """What to do about a refusal that the status, or what answered in place of the API, explains."""
    is_html = "<html" in text or "<!doctype" in text
    is_gate = is_html and status in {HTTPStatus.FORBIDDEN, HTTPStatus.SERVICE_UNAVAILABLE}
    if "cf-mitigated" in headers or (is_gate and _CHALLENGE.search(text)):
        return _CHALLENGED
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return _OTHER_ADDRESS
    return _NOT_THE_API if is_html and status == HTTPStatus.FORBIDDEN else _REMEDIES.get(status)


def _message_of_value(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if not isinstance(value, dict):
        return ""
    for name in ("errors", "error"):
        found = value.get(name)
        items = (found if isinstance(found, list) else [found])[:_MOST_PARTS]
        parts = [part for item in items if (part := _message_of_item(item))]
        if parts:
            is_name = isinstance(found, str) and (more := _described(value)) not in {"", found}
            return f"{parts[0][:_LONGEST_PART]}: {more}" if is_name else "; ".join(parts)
    return _described(value)


def _described(value: dict[str, Any]) -> str:
    """Return what a reply says beside its list of errors, or beside the mere name of one (`"error": "Bad Request"`)."""
    names = ("detail", "error_description", "title", "message", "messages", "reason")  # the first two: RFC 9457, OAuth
    return next((said for name in names if (said := _text(value.get(name)))), "")


def _message_of_item(item: Any) -> str:  # noqa: ANN401 - any JSON value
    """Read one of the errors: what it says, and the innermost of its causes, which says why."""
    *_, innermost = _chain(item)
    said, cause = _own_message(item), _own_message(innermost)
    return said if cause in {said, ""} else f"{said[:_LONGEST_PART]}: {cause}" if said else cause


def _chain(item: Any) -> Iterator[Any]:  # noqa: ANN401 - any JSON value
    yield item
    while isinstance(item, dict) and isinstance(item.get("error_chain"), list) and item["error_chain"]:
        item = item["error_chain"][-1]
        yield item


def _own_message(item: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(item, dict):
        for name in ("message", "detail", "title", "error_description", "reason", "code"):
            if said := _text(item.get(name)):
                return said
        return json.dumps({name: inner for name, inner in item.items() if name != "error_chain"}) if item else ""
    return _text(item)


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return _text(value[0]) if value else ""
    if isinstance(value, dict):
        return _own_message(value)
    return "" if value in (None, False) else str(value)


def _message_of_text(body: bytes) -> str:
    text = body[:_READ_OF_TEXT].decode("utf-8", "replace")
    title = _TITLE.search(text)
    if title or "<html" in text.lower():
        return title[1] if title else "an HTML page"
    # A list of livestreams that was cut short begins with the first one's stream key.
    return "JSON cut short or broken" if set(text) & set('{["') else text[: 4 * _LONGEST_MESSAGE]


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()[:_LONGEST_MESSAGE] or "no message"
