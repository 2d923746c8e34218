"""Keeps stream keys and the API token out of everything that is handed on: by name, by form, and wherever quoted.

By name: a field such as `stream_key` goes, and its value is remembered. By form: addresses that encoders publish to lose
what follows the application's name. Quoted: a remembered value is cut out of every later text. Nothing else belongs here.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

from pipelines.extract.known_fields import KNOWN_FIELDS
from pipelines.extract.known_secrets import MASK, SHORTEST_SECRET, KnownSecrets

Json = Any
"""A parsed JSON value: dict, list, str, int, float, bool or None."""

SecretTreatment = Literal["remove", "mask", "show"]
"""Of fields that hold a secret: left out; their value replaced, for a person who looks at a reply; or shown to one."""

PROCESS_SECRETS = KnownSecrets()
"""What any client of this process has seen: a key may be quoted to another one."""

_LONGEST_INNER_JSON = 2**16
_PUBLISHING = ("stream", "rtmp", "ingest", "publish", "broadcast", "encoder", "srt", "whip", "push")
_KEYS = frozenset({"key", "keys", "token"})
_IDENTIFIERS = frozenset({"id", "livestream_id", "session_id", "meeting_id"})

_ADDRESS = re.compile(r"""\b(rtmp[a-z]{0,3}|srt|rist|whips?|https?):(?:\\?/){2}([^\s"'<>`]{1,4096})""", re.IGNORECASE)
_PUBLISHES_BY_HTTP = re.compile(r"/whip\b|/webrtc/publish\b", re.IGNORECASE)
_APPLICATION = re.compile(r"[\w-]{1,15}")
"""The first part of an RTMP path, `live` in `rtmps://host/live/KEY`; what is longer is taken for the key."""

_APPLICATION_OF_WORDS = re.compile(r"[a-z]{1,15}(?:[_-][a-z]{1,15}){1,5}", re.IGNORECASE | re.ASCII)
"""A longer one, if a slash follows it: a key ends the path, and is no row of words."""

_STATES = frozenset(
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
"""What is written in the place of a key that is not there. Remembered as a key, the word would be cut out everywhere."""

_ULID = re.compile(r"01[0-9A-HJKMNP-TV-Z]{24}", re.ASCII)
"""An id by its form: it begins with a time, here from 2004 to 2039."""

_NAMED = re.compile(
    r"""((?:stream|rtmps?|ingest|publish|publishing|broadcast|srt|whip)[\s_.-]{0,3}key\w{0,20}|passphrase|password)
        (\\{0,8}["']?\s{0,5}[:=]\s{0,5}\\{0,8}["']?)
        ([^\s"'\\,;&}\])<>]{1,512})""",
    re.IGNORECASE | re.VERBOSE,
)
_KEYLIKE = re.compile(r"[\w+=-]{20,512}", re.ASCII)
_LIKE_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", re.IGNORECASE)
"""Removed from the text where it was taken for a key, and nowhere else: it may be the id of a livestream."""

_LEAST_BARE_SECRET = 16
"""Characters after `stream key: ` without quotes that are not taken for a word of a sentence."""


class Redactor:
    """Removes secrets from replies and messages. One client's token, and the keys that any client has seen."""

    def __init__(self, token: str, keys: KnownSecrets = PROCESS_SECRETS) -> None:
        """Know the token from the beginning."""
        self._keys = keys
        self._own = KnownSecrets()
        self._own.add(token)

    def remember_secrets(self, value: Json) -> None:
        """Remember every secret in a reply."""
        for secret in find_secrets(value):
            self._keys.add(secret)

    def redact_text(self, text: str) -> str:
        """Return a text without secrets."""
        if len(text) >= self._own.shortest:
            text = self._own.cut_out(text)
        if _may_hold_secret(text):
            text = _NAMED.sub(_mask_named, _ADDRESS.sub(_mask_address, text))
        return self._keys.cut_out(text) if len(text) >= self._keys.shortest else text

    def redact_message(self, text: str) -> str:
        """Return the text of an error without secrets, and without what merely looks like one: it may not be known yet."""
        return _KEYLIKE.sub(_mask_keylike, self.redact_text(text))

    def redact(self, value: Json, treatment: SecretTreatment = "remove") -> Json:
        """Return a reply without secrets; one to be shown loses the token only. `learn` it first."""
        if isinstance(value, str):
            return self._own.cut_out(value) if treatment == "show" else self.redact_text(value)
        if isinstance(value, list):
            return [self.redact(inner, treatment) for inner in value]
        if not isinstance(value, dict):
            return value
        if treatment == "show":
            return {self._own.cut_out(name): self.redact(inner, treatment) for name, inner in value.items()}
        cleaned = {}
        for name, inner in value.items():
            if not _holds_secret(name, value):
                cleaned[self.redact_text(name)] = self.redact(_named_as_secrets(name, inner), treatment)
            elif treatment == "mask":
                cleaned[self.redact_text(name)] = MASK
        return cleaned


def find_secrets(value: Json) -> set[str]:
    """Return every secret in a reply, at any depth, also in JSON that is inside a text.

    What is the id of a record is none, whatever else holds it: cut out, all records would become one. Nor is a
    word such as `unavailable`, or the name of a known field, such as the `disabled` of `"stream_keys": "disabled"`: cut out, that field would be missing everywhere.
    """
    secrets: set[str] = set()
    ids: set[str] = set()
    _gather(value, secrets, ids)
    return {secret for secret in secrets - ids - KNOWN_FIELDS if secret.lower().replace("-", "_") not in _STATES}


def _gather(value: Json, secrets: set[str], ids: set[str]) -> None:
    if isinstance(value, list):
        for inner in value:
            _gather(inner, secrets, ids)
    elif isinstance(value, str):
        _gather_from_text(value, secrets, ids)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name in _IDENTIFIERS and isinstance(inner, str):
                ids.add(inner)
            if _holds_secret(name, value):
                for leaf in _leaves(inner):
                    secrets.add(_without_host(leaf))
                    _gather_from_text(leaf, secrets, ids)
            else:
                _gather(_named_as_secrets(name, inner), secrets, ids)


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _holds_secret(name: str, record: dict[str, Json]) -> bool:
    """Whether a field's name says that its value is a secret: `stream_key`, `rtmpKeyBackup`, `srt.passphrase`."""
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
    """Whether an object says where to publish: an address of RTMP or SRT beside whatever is called `key` there."""
    return any(
        isinstance(inner, str) and inner[:8].lower().startswith(("rtmp", "srt:", "rist:", "whip"))
        for inner in value.values()
    )


def _named_as_secrets(name: str, value: Json) -> Json:
    """Name what is called `key` inside an object about publishing as what it is: `{"rtmps": {"url": …, "key": …}}`."""
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
    """Return the path of an address in the place of a key: remembered whole, it would begin as all addresses do."""
    _, is_address, place = secret.partition("://")
    host, _, path = place.partition("/")
    return path if is_address and len(path) >= SHORTEST_SECRET and "@" not in host else secret


def _may_hold_secret(text: str) -> bool:
    """Whether the form of a text needs a look. Asked of every text of every reply, hence no loop and no pattern."""
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


def _gather_from_text(text: str, secrets: set[str], ids: set[str]) -> None:
    if not _may_hold_secret(text):
        return
    found = [named[3] for named in _NAMED.finditer(text) if _is_secret_value(named)]
    found += [part for address in _ADDRESS.finditer(text) for part in _secret_parts(address)]
    secrets.update(secret for secret in found if not _LIKE_ID.fullmatch(secret))
    if len(text) <= _LONGEST_INNER_JSON and text.lstrip()[:1] in {"{", "["}:
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            return
        if isinstance(inner, dict | list):
            _gather(inner, secrets, ids)


def _is_secret_value(found: "re.Match[str]") -> bool:
    """Whether what follows a secret's name is one: `stream key: rejected` says what became of it."""
    value, separator = found[3], found[2]
    is_quoted = '"' in separator or "'" in separator or "=" in separator
    has_digit = len(value) >= SHORTEST_SECRET and any(map(str.isdigit, value))
    return is_quoted or has_digit or len(value) >= _LEAST_BARE_SECRET


def _mask_named(found: "re.Match[str]") -> str:
    return f"{found[1]}{found[2]}{MASK}" if _is_secret_value(found) else found[0]


def _mask_keylike(found: "re.Match[str]") -> str:
    """Mask a long word that mixes letters and digits, unless it looks like an id."""
    word = found[0]
    is_mixed = any(map(str.isdigit, word)) and any(map(str.isalpha, word))
    return MASK if is_mixed and not (_LIKE_ID.fullmatch(word) or _ULID.fullmatch(word)) else word


def _split_address(found: "re.Match[str]") -> tuple[str, str, str]:
    """Scheme, host and the rest of an address."""
    place = found[2].replace("\\/", "/")
    host, slash, rest = place.partition("/")
    if not slash:
        host, question, rest = place.partition("?")
        return found[1].lower(), host, f"{question}{rest}"
    return found[1].lower(), host, f"/{rest}"


def _secret_parts(found: "re.Match[str]") -> list[str]:
    """What an address loses, of its parts that are long enough to be a key."""
    kept = _mask_address(found)
    if kept == found[0]:
        return []
    parts = re.split(r"[/?&=#]", _split_address(found)[2])
    return [part for part in parts if len(part) >= _LEAST_BARE_SECRET and f"/{part}/" not in kept]


def _mask_address(found: "re.Match[str]") -> str:
    """Keep scheme, host and application of an address that encoders publish to."""
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
