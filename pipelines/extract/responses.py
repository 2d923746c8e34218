"""Parses one HTTP reply: returns the JSON object of a successful one, or raises an error with the remedy that fits.

The API sends errors in several formats (two of its own, RFC 9457) and as HTML; a 200 can be any of them too. A bot check, a
proxy or a captive portal in front of it may answer in its place. Keep operations out of this module.
"""

import json
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from pipelines.catalog.values import Json
from pipelines.errors import ApiRefusedError, LivehouseError, NotFoundError, TransientApiError
from pipelines.extract.json_values import parse_json
from pipelines.extract.redaction import Redactor

_MAX_MESSAGE_LENGTH = 300
_MAX_PART_LENGTH = 120
_MAX_PARTS = 3
_MAX_TEXT_BYTES = 8_000

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{0,1000})</title>", re.IGNORECASE)
_CHALLENGE = re.compile(r"just a moment|attention required|challenge-platform|cf-chl", re.IGNORECASE)
_ABOUT_TOKEN = re.compile(r"authorization header|\bapi token\b|access token|bearer", re.IGNORECASE)
_WRONG_TOKEN = re.compile(
    r"(?:invalid|expired|revoked|unknown) (?:api |access )?token|token (?:is |was |has )?(?:been )?(?:invalid|expired|revoked)",
    re.IGNORECASE,
)
"""In a 403: the token itself is invalid, and does not merely lack a permission."""
_HOST = re.compile(r"https?://([\w.:-]{1,100})", re.IGNORECASE | re.ASCII)

TOKEN_REMEDY, PERMISSION_REMEDY = (
    "check CLOUDFLARE_API_TOKEN",
    "the token needs the Realtime permission for this account",
)
_OTHER_ADDRESS = "check CLOUDFLARE_BASE_URL"
_NOT_THE_API = (
    "a firewall or proxy on the way answered in place of the API: ask its administrator, or try another network"
)
_CHALLENGED = (
    "a bot check answered in place of the API: exempt this machine's address or proxy from it, or try another network"
)
_REMEDIES: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: TOKEN_REMEDY,
    HTTPStatus.FORBIDDEN: PERMISSION_REMEDY,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: "the proxy requires another user or password: check HTTPS_PROXY",
    HTTPStatus.MISDIRECTED_REQUEST: f"{_OTHER_ADDRESS}, or a proxy that mixes up hosts",
    HTTPStatus.UPGRADE_REQUIRED: f"{_OTHER_ADDRESS}: the server there speaks another protocol",
    HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED: "this network requires a login first",
}
_RETRIED = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)

MALFORMED_STATUSES = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
"""Statuses of a request that the API refuses as malformed."""


def parse_response(
    request: str, status: int, body: bytes, headers: Mapping[str, str] | None = None, redactor: Redactor | None = None
) -> dict[str, Any]:
    """Return the JSON object of a successful reply, secrets included.

    `request` names the request in errors. `redactor` remembers the secrets of the reply, and redacts quoted messages before
    they are shortened. Raises `NotFoundError`, `ApiRefusedError` with its remedy, or `TransientApiError`.
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
    message = _one_line(redactor.redact_message(_message_of_text(body) if fault else _message_of_value(value)))
    if is_success and "cf-mitigated" not in headers:
        raise TransientApiError(f"{request}: {status}, but {fault or 'not a success'}: {message}", status=status)
    raise _error(f"{request}: {status}", status, message, body if fault else b"", headers)


def refusal_reason(error: ApiRefusedError) -> str:
    """Return the API's message of a refusal, without the request: its path holds ids."""
    return str(error).partition(f": {error.status}: ")[2]


def _error(where: str, status: int, message: str, text: bytes, headers: Mapping[str, str]) -> LivehouseError:
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(f"{where}: {message}", status=status)
    if status == HTTPStatus.BAD_REQUEST and _ABOUT_TOKEN.search(message):
        return ApiRefusedError(f"{where}: {TOKEN_REMEDY}: {message}", status=status, remedy=TOKEN_REMEDY)
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        to = _HOST.match(headers.get("location", "")[:_MAX_MESSAGE_LENGTH])
        message = f"a redirect{f' to {to[1]}' if to else ''} is not followed"
    if status == HTTPStatus.FORBIDDEN and _WRONG_TOKEN.search(message):
        return ApiRefusedError(f"{where}: {message} ({TOKEN_REMEDY})", status=status, remedy=TOKEN_REMEDY)
    remedy = _remedy(status, text[:_MAX_TEXT_BYTES].decode("utf-8", "replace").lower(), headers)
    if remedy:
        return ApiRefusedError(f"{where}: {message} ({remedy})", status=status, remedy=remedy)
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _RETRIED:
        return ApiRefusedError(f"{where}: {message}", status=status)
    return TransientApiError(f"{where}: {message}", status=status)


def _remedy(status: int, text: str, headers: Mapping[str, str]) -> str | None:
    """Return the remedy of a refusal that the status, or a page sent in place of the API's reply, explains."""
    is_html = "<html" in text or "<!doctype" in text
    may_be_bot_check = is_html and status in {HTTPStatus.FORBIDDEN, HTTPStatus.SERVICE_UNAVAILABLE}
    if "cf-mitigated" in headers or (may_be_bot_check and _CHALLENGE.search(text)):
        return _CHALLENGED
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return _OTHER_ADDRESS
    return _NOT_THE_API if is_html and status == HTTPStatus.FORBIDDEN else _REMEDIES.get(status)


def _message_of_value(value: Json) -> str:
    if not isinstance(value, dict):
        return ""
    for name in ("errors", "error"):
        found = value.get(name)
        items = (found if isinstance(found, list) else [found])[:_MAX_PARTS]
        parts = [part for item in items if (part := _message_of_item(item))]
        if parts:
            is_name = isinstance(found, str) and (more := _describe(value)) not in {"", found}
            return f"{parts[0][:_MAX_PART_LENGTH]}: {more}" if is_name else "; ".join(parts)
    return _describe(value)


def _describe(value: dict[str, Any]) -> str:
    """Return the message beside a list of errors, or beside the mere name of one (`"error": "Bad Request"`)."""
    names = ("detail", "error_description", "title", "message", "messages", "reason")  # the first two: RFC 9457, OAuth
    return next((message for name in names if (message := _text(value.get(name)))), "")


def _message_of_item(item: Json) -> str:
    """Return the message of an error and of its innermost cause, which has the reason."""
    *_, innermost = _chain(item)
    message, cause = _own_message(item), _own_message(innermost)
    return message if cause in {message, ""} else f"{message[:_MAX_PART_LENGTH]}: {cause}" if message else cause


def _chain(item: Json) -> Iterator[Json]:
    yield item
    while isinstance(item, dict) and isinstance(item.get("error_chain"), list) and item["error_chain"]:
        item = item["error_chain"][-1]
        yield item


def _own_message(item: Json) -> str:
    if isinstance(item, dict):
        for name in ("message", "detail", "title", "error_description", "reason", "code"):
            if message := _text(item.get(name)):
                return message
        return json.dumps({name: inner for name, inner in item.items() if name != "error_chain"}) if item else ""
    return _text(item)


def _text(value: Json) -> str:
    if isinstance(value, list):
        return _text(value[0]) if value else ""
    if isinstance(value, dict):
        return _own_message(value)
    return "" if value in (None, False) else str(value)


def _message_of_text(body: bytes) -> str:
    text = body[:_MAX_TEXT_BYTES].decode("utf-8", "replace")
    title = _TITLE.search(text)
    if title or "<html" in text.lower():
        return title[1] if title else "an HTML page"
    # A truncated list of livestreams starts with the stream key of the first one.
    return "truncated or malformed JSON" if set(text) & set('{["') else text[: 4 * _MAX_MESSAGE_LENGTH]


def _one_line(text: str) -> str:
    return _CONTROL.sub(" ", text).strip()[:_MAX_MESSAGE_LENGTH] or "no message"
