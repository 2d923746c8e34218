"""Removes stream keys and the API token from everything that leaves this package: by name, by form, and wherever quoted.

By name: a field such as `stream_key` is removed, and its value is remembered. By form: publishing addresses lose everything
behind the application's name. Quoted: a remembered value is removed from every later text. Keep everything else out.
"""

import json
import re
from collections.abc import Iterator
from typing import Literal

from pipelines.catalog.values import Json
from pipelines.extract.known_fields import KNOWN_FIELDS
from pipelines.extract.known_secrets import MASK, SHORTEST_SECRET, KnownSecrets

SecretTreatment = Literal["remove", "mask", "show"]
"""Treatment of fields that hold a secret: drop the field, mask its value, or show it to a person who asked for it."""

PROCESS_SECRETS = KnownSecrets()
"""Secrets seen by any client of this process: a reply to one may quote the key of another."""

_MAX_INNER_JSON_LENGTH = 2**16
_PUBLISHING = ("stream", "rtmp", "ingest", "publish", "broadcast", "encoder", "srt", "whip", "push")
_KEYS = frozenset({"key", "keys", "token"})
_IDENTIFIERS = frozenset({"id", "livestream_id", "session_id", "meeting_id"})

_ADDRESS = re.compile(r"""\b(rtmp[a-z]{0,3}|srt|rist|whips?|https?):(?:\\?/){2}([^\s"'<>`]{1,4096})""", re.IGNORECASE)
_PUBLISHES_BY_HTTP = re.compile(r"/whip\b|/webrtc/publish\b", re.IGNORECASE)
_APPLICATION = re.compile(r"[\w-]{1,15}")
"""The first part of an RTMP path: `live` in `rtmps://host/live/KEY`. A longer part counts as the key."""

_APPLICATION_OF_WORDS = re.compile(r"[a-z]{1,15}(?:[_-][a-z]{1,15}){1,5}", re.IGNORECASE | re.ASCII)
"""A longer application, if a slash follows: a key ends the path, and is not several words."""

_STATE_WORDS = frozenset(
    [
        "available",
        "configured",
        "disabled",
        "deprecated",
        "encrypted",
        "generated",
        "inactive",
        "not_available",
        "not_configured",
        "not_found",
        "not_set",
        "provisioned",
        "provisioning",
        "redacted",
        "rejected",
        "undefined",
        "unavailable",
        "unchanged",
        "unsupported",
    ]
)
"""Words in the place of a missing key. Remembered as a secret, the word would be removed everywhere."""

_ULID = re.compile(r"01[0-9A-HJKMNP-TV-Z]{24}", re.ASCII)
"""An id by its form: it starts with a time, here from 2004 to 2039."""

_NAMED = re.compile(
    r"""((?:stream|rtmps?|ingest|publish|publishing|broadcast|srt|whip)[\s_.-]{0,3}key\w{0,20}|passphrase|password)
        (\\{0,8}["']?\s{0,5}[:=]\s{0,5}\\{0,8}["']?)
        ([^\s"'\\,;&}\])<>]{1,512})""",
    re.IGNORECASE | re.VERBOSE,
)
_KEYLIKE = re.compile(r"[\w+=-]{20,512}", re.ASCII)
_ID_FORM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", re.IGNORECASE)
"""Removed only where it is written as a key, and not remembered: it may be the id of a livestream."""

_MIN_BARE_SECRET_LENGTH = 16
"""Unquoted text after `stream key: ` counts as a word of a sentence if it is shorter."""


class Redactor:
    """Removes the token of one client, and the keys that any client has seen, from replies and messages."""

    def __init__(self, token: str, keys: KnownSecrets = PROCESS_SECRETS) -> None:
        """Start with the token as a secret."""
        self._known = keys
        self._token = KnownSecrets()
        self._token.add(token)

    def remember_secrets(self, value: Json) -> None:
        """Remember every secret of a reply."""
        for secret in find_secrets(value):
            self._known.add(secret)

    def redact_text(self, text: str) -> str:
        """Return a text without secrets."""
        if len(text) >= self._token.shortest:
            text = self._token.mask(text)
        if _may_hold_secret(text):
            text = _NAMED.sub(_mask_named, _ADDRESS.sub(_mask_address, text))
        return self._known.mask(text) if len(text) >= self._known.shortest else text

    def redact_message(self, text: str) -> str:
        """Return the text of an error without secrets, and without words that have the form of one: it may not be known yet."""
        return _KEYLIKE.sub(_mask_keylike, self.redact_text(text))

    def redact(self, value: Json, treatment: SecretTreatment = "remove") -> Json:
        """Return a value without secrets; with "show" only the token is removed. Call `remember_secrets` first."""
        if isinstance(value, str):
            return self._token.mask(value) if treatment == "show" else self.redact_text(value)
        if isinstance(value, list):
            return [self.redact(inner, treatment) for inner in value]
        if not isinstance(value, dict):
            return value
        if treatment == "show":
            return {self._token.mask(name): self.redact(inner, treatment) for name, inner in value.items()}
        redacted = {}
        for name, inner in value.items():
            if not _is_secret_field(name, value):
                redacted[self.redact_text(name)] = self.redact(_mark_secret_fields(name, inner), treatment)
            elif treatment == "mask":
                redacted[self.redact_text(name)] = MASK
        return redacted


def find_secrets(value: Json) -> set[str]:
    """Return every secret of a reply, at any depth, also in JSON inside a text.

    The id of a record is not a secret, whatever other field holds it: removed, all records would become one. Nor is a word
    such as `unavailable`, or the name of a known field, as in `"stream_keys": "disabled"`: removed, that field would be
    missing everywhere.
    """
    secrets: set[str] = set()
    ids: set[str] = set()
    _collect(value, secrets, ids)
    return {secret for secret in secrets - ids - KNOWN_FIELDS if secret.lower().replace("-", "_") not in _STATE_WORDS}


def _collect(value: Json, secrets: set[str], ids: set[str]) -> None:
    if isinstance(value, list):
        for inner in value:
            _collect(inner, secrets, ids)
    elif isinstance(value, str):
        _collect_from_text(value, secrets, ids)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in _IDENTIFIERS and isinstance(inner, str):
                ids.add(inner)
            if _is_secret_field(name, value):
                for leaf in _leaves(inner):
                    secrets.add(_without_host(leaf))
                    _collect_from_text(leaf, secrets, ids)
            else:
                _collect(_mark_secret_fields(name, inner), secrets, ids)


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _is_secret_field(name: str, record: dict[str, Json]) -> bool:
    """Whether the name of a field means a secret: `stream_key`, `rtmpKeyBackup`, `srt.passphrase`."""
    lower = name.lower()
    if not ("key" in lower or "pass" in lower or "secret" in lower or "whip" in lower or "token" in lower):
        return False
    letters = _letters(name)
    if any(part in letters for part in ("passphrase", "password", "secret", "whip")):
        return True
    if "keyframe" in letters:
        return False
    if "streamkey" in letters or (letters in _KEYS and _is_publishing_point(record)):
        return True
    return letters.endswith(("key", "keys", "token")) and any(word in letters for word in _PUBLISHING)


def _is_publishing_point(value: dict[str, Json]) -> bool:
    """Whether an object holds a publishing address, so that a field `key` beside it is a stream key."""
    return any(
        isinstance(inner, str) and inner[:8].lower().startswith(("rtmp", "srt:", "rist:", "whip"))
        for inner in value.values()
    )


def _mark_secret_fields(name: str, value: Json) -> Json:
    """Rename a field `key` inside an object about publishing, `{"rtmps": {"url": …, "key": …}}`, so that it counts as secret."""
    if not isinstance(value, dict):
        return value
    letters = _letters(name)
    if not any(word in letters for word in (*_PUBLISHING, "webrtc")):
        return value
    secret = _KEYS | {"streamid"} if "srt" in letters else _KEYS
    return {f"stream_key.{name}" if _letters(name) in secret else name: inner for name, inner in value.items()}


def _leaves(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        yield str(value)


def _without_host(secret: str) -> str:
    """Return only the path of an address: remembered whole, its beginning would match every address."""
    _, is_address, place = secret.partition("://")
    host, _, path = place.partition("/")
    return path if is_address and len(path) >= SHORTEST_SECRET and "@" not in host else secret


def _may_hold_secret(text: str) -> bool:
    """Whether a text may hold a secret. Called for every text of every reply, hence without loop and pattern."""
    lower = text.lower()
    return (
        "key" in lower
        or "rtmp" in lower
        or "pass" in lower
        or "srt:" in lower
        or "rist:" in lower
        or "whip" in lower
        or "webrtc" in lower
    )


def _collect_from_text(text: str, secrets: set[str], ids: set[str]) -> None:
    if not _may_hold_secret(text):
        return
    found = [named[3] for named in _NAMED.finditer(text) if _is_secret_value(named)]
    found += [part for address in _ADDRESS.finditer(text) for part in _secret_parts(address)]
    secrets.update(secret for secret in found if not _ID_FORM.fullmatch(secret))
    if len(text) <= _MAX_INNER_JSON_LENGTH and text.lstrip()[:1] in {"{", "["}:
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            return
        if isinstance(inner, dict | list):
            _collect(inner, secrets, ids)


def _is_secret_value(found: "re.Match[str]") -> bool:
    """Whether the text after a secret's name is one: `stream key: rejected` holds none."""
    value, separator = found[3], found[2]
    is_quoted = '"' in separator or "'" in separator or "=" in separator
    has_digit = len(value) >= SHORTEST_SECRET and any(map(str.isdigit, value))
    return is_quoted or has_digit or len(value) >= _MIN_BARE_SECRET_LENGTH


def _mask_named(found: "re.Match[str]") -> str:
    return f"{found[1]}{found[2]}{MASK}" if _is_secret_value(found) else found[0]


def _mask_keylike(found: "re.Match[str]") -> str:
    """Mask a long word of letters and digits, unless it has the form of an id."""
    word = found[0]
    is_mixed = any(map(str.isdigit, word)) and any(map(str.isalpha, word))
    return MASK if is_mixed and not (_ID_FORM.fullmatch(word) or _ULID.fullmatch(word)) else word


def _split_address(found: "re.Match[str]") -> tuple[str, str, str]:
    """Return scheme, host, and path with query."""
    place = found[2].replace("\\/", "/")
    host, slash, rest = place.partition("/")
    if not slash:
        host, question, rest = place.partition("?")
        return found[1].lower(), host, f"{question}{rest}"
    return found[1].lower(), host, f"/{rest}"


def _secret_parts(found: "re.Match[str]") -> list[str]:
    """Return the removed parts of an address that are long enough to be a key."""
    kept = _mask_address(found)
    if kept == found[0]:
        return []
    parts = re.split(r"[/?&=#]", _split_address(found)[2])
    return [part for part in parts if len(part) >= _MIN_BARE_SECRET_LENGTH and f"/{part}/" not in kept]


def _mask_address(found: "re.Match[str]") -> str:
    """Keep scheme, host and application of a publishing address."""
    scheme, host, rest = _split_address(found)
    is_http = scheme.startswith("http")
    if is_http and not _PUBLISHES_BY_HTTP.search(rest):
        return found[0]
    host = host.rpartition("@")[2]
    path, mark, _ = re.split("([?#])", rest, maxsplit=1) if re.search("[?#]", rest) else (rest, "", "")
    parts = [part for part in path.split("/") if part]
    kept = f"{found[1]}://{host}"
    is_followed = len(parts) > 1 or path.endswith("/")
    if (
        scheme.startswith("rtmp")
        and parts
        and (_APPLICATION.fullmatch(parts[0]) or (is_followed and _APPLICATION_OF_WORDS.fullmatch(parts[0])))
    ):
        kept += f"/{parts.pop(0)}"
        if not parts and not mark and path.endswith("/"):
            kept += "/"
    if parts:
        kept += f"/{MASK}"
    return f"{kept}{mark}{MASK}" if mark else kept
