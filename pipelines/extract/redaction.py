"""Removes stream keys and the API token from everything that leaves this package: by name, by form, and wherever quoted.

By name: a field such as `stream_key` is removed, and its value is remembered. By form: publishing addresses lose everything
behind the application's name. Quoted: a remembered value is removed from every later text. Keep everything else out.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Literal

from pipelines.catalog.values import Json
from pipelines.extract.known_fields import KNOWN_FIELDS
from pipelines.extract.known_secrets import MASK, SHORTEST_SECRET, KnownSecrets
from pipelines.extract.plain_records import may_name_secret, texts_of_plain_record
from pipelines.extract.publishing_addresses import (
    MIN_BARE_SECRET_LENGTH,
    find_secret_parts,
    mask_addresses,
    may_hold_address,
)

SecretTreatment = Literal["remove", "mask", "show"]
"""Treatment of fields that hold a secret: drop the field, mask its value, or show it to a person who asked for it."""

PROCESS_SECRETS = KnownSecrets()
"""Secrets seen by any client of this process: a reply to one may quote the key of another."""

_MAX_INNER_JSON_LENGTH = 2**16
_PUBLISHING = ("stream", "rtmp", "ingest", "publish", "broadcast", "encoder", "srt", "whip", "push")
_KEYS = frozenset({"key", "keys", "token"})
_IDENTIFIERS = ("id", "livestream_id", "session_id", "meeting_id")

_STATE_WORDS = frozenset(
    [
        *("available", "configured", "disabled", "deprecated", "encrypted", "generated", "inactive", "not_available"),
        *("not_configured", "not_found", "not_set", "provisioned", "provisioning", "redacted", "rejected", "undefined"),
        *("unavailable", "unchanged", "unsupported"),
    ]
)
"""Words in the place of a missing key. Remembered as a secret, the word would be removed everywhere."""

_ULID = re.compile(r"01[0-9A-HJKMNP-TV-Z]{24}", re.ASCII)
"""An id by its form: it starts with a time, here from 2004 to 2039."""

_NAME = r"(?:(?:stream|rtmps?|ingest|publish|publishing|broadcast|srt|whip)[\s_.-]{0,3}key|pass[\s_-]?phrase|password)"
_NAMED = re.compile(
    rf"""({_NAME}\w{{0,20}})
        (\\{{0,8}}["']?\s{{0,5}}[:=]\s{{0,5}}\\{{0,8}}["']?)
        ([^\s"'\\,;&}}\])<>]{{1,512}})""",
    re.IGNORECASE | re.VERBOSE,
)
_MENTIONED = re.compile(
    rf"({_NAME})((?:%3D|&\#?\w{{1,6}};|\W|_|(?<=\W)(?:is|was|of|value)(?=\W)){{1,16}})([\w+/=-]{{16,512}})",
    re.IGNORECASE,
)
"""A long word of letters and digits soon after the name of a secret: `the stream key 'KEY' is in use`, `<streamKey>KEY<`."""

_BARE_KEY = re.compile(r"(?<![^\W_])(key)(\s{0,5}[:=]\s{0,5}[\"']?)([\w+/=-]{16,512})", re.IGNORECASE)
"""`invalid key: KEY`. Not remembered: in `duplicate key: ID` it is an id, which must not vanish elsewhere."""

_KEYLIKE = re.compile(r"[\w+=-]{20,512}", re.ASCII)
_ID_FORM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", re.IGNORECASE)
"""Removed only where it is written as a key, and not remembered: it may be the id of a livestream."""


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
        lower = text.lower()
        if may_hold_address(lower):
            text = mask_addresses(text)
        if _may_name_secret(lower):
            text = _MENTIONED.sub(_mask_mentioned, _NAMED.sub(_mask_named, text))
            text = _BARE_KEY.sub(_mask_mentioned, text)
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
        texts = texts_of_plain_record(value)
        if texts is not None and self._are_harmless(texts):
            return value
        redacted = {}
        for name, inner in value.items():
            if not _is_secret_field(name, value):
                kept = name if name in KNOWN_FIELDS else self.redact_text(name)
                redacted[kept] = (
                    self.redact_text(inner)
                    if isinstance(inner, str)
                    else self.redact(_mark_secret_fields(name, inner), treatment)
                )
            elif treatment == "mask":
                redacted[self.redact_text(name)] = MASK
        return redacted

    def _are_harmless(self, texts: list[str]) -> bool:
        """Return whether `redact_text` would change none of these texts."""
        if _may_hold_secret("\n".join(texts)):
            return False
        shortest = min(self._token.shortest, self._known.shortest)
        return all(self.redact_text(text) == text for text in texts if len(text) >= shortest)


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
    if isinstance(value, str):
        _collect_from_text(value, secrets, ids)
    elif isinstance(value, dict):
        _collect_from_object(value, secrets, ids)
    elif isinstance(value, list):
        for inner in value:
            _collect(inner, secrets, ids)


def _collect_from_object(record: dict[str, Json], secrets: set[str], ids: set[str]) -> None:
    ids.update(inner for name in _IDENTIFIERS if isinstance(inner := record.get(name), str))
    texts = texts_of_plain_record(record)
    if texts is not None and not _may_hold_secret("\n".join(texts)):
        return
    for name, inner in record.items():
        if not _is_secret_field(name, record):
            _collect(_mark_secret_fields(name, inner), secrets, ids)
            continue
        for leaf in _leaves(inner):
            secrets.add(_without_host(leaf))
            _collect_from_text(leaf, secrets, ids)


def _letters(name: str) -> str:
    return _letters_of_documented(name) if name in KNOWN_FIELDS else _keep_letters(name)


@cache
def _letters_of_documented(name: str) -> str:
    return _keep_letters(name)


def _keep_letters(name: str) -> str:
    """Return the letters and digits of a name in lower case, and full-width ones as usual ones."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", name).lower()))


def _is_secret_field(name: str, record: dict[str, Json]) -> bool:
    """Whether the name of a field means a secret: `stream_key`, `rtmpKeyBackup`, `srt.passphrase`."""
    if not may_name_secret(name):
        return False
    letters = _letters(name)
    if any(part in letters for part in ("passphrase", "password", "passwd", "pwd", "secret", "whip")):
        return True
    if "keyframe" in letters or "keyword" in letters:
        return False
    if "streamkey" in letters or (letters in _KEYS and _is_publishing_point(record)):
        return True
    if letters.endswith(("authtoken", "accesstoken", "accesskey", "apikey", "privatekey")):
        return True
    is_key = letters.startswith("key") or letters.endswith(("key", "keys", "token", "credential", "credentials"))
    return is_key and any(word in letters for word in _PUBLISHING)


def _is_publishing_point(value: dict[str, Json]) -> bool:
    """Whether an object holds a publishing address, so that a field `key` beside it is a stream key."""
    return any(
        isinstance(inner, str) and inner[:8].lower().startswith(("rtmp", "srt:", "rist:", "whip"))
        for inner in value.values()
    )


def _mark_secret_fields(name: str, value: Json) -> Json:
    """Rename fields `key` inside an object about publishing, `{"rtmps": {"url": …, "key": …}}`, so that they count as secret."""
    if not isinstance(value, dict | list):
        return value
    letters = _letters(name)
    if not any(word in letters for word in (*_PUBLISHING, "webrtc", "credential", "auth")):
        return value
    return _mark_nested(value, _KEYS | {"streamid"} if "srt" in letters else _KEYS)


def _mark_nested(value: Json, secret: frozenset[str]) -> Json:
    if isinstance(value, list):
        return [_mark_nested(inner, secret) for inner in value]
    if not isinstance(value, dict) or texts_of_plain_record(value) is not None:
        return value
    return {
        f"stream_key.{name}" if _letters(name) in secret else name: _mark_nested(inner, secret)
        for name, inner in value.items()
    }


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
    return _may_name_secret(lower) or may_hold_address(lower)


def _may_name_secret(lower: str) -> bool:
    return "key" in lower or "pass" in lower


def _collect_from_text(text: str, secrets: set[str], ids: set[str]) -> None:
    lower = text.lower()
    has_address, has_name = may_hold_address(lower), _may_name_secret(lower)
    if not has_address and not has_name:
        return
    found = list(find_secret_parts(text)) if has_address else []
    if has_name:
        found += [named[3] for named in _NAMED.finditer(text) if _is_secret_value(named)]
        found += [named[3] for named in _MENTIONED.finditer(text) if _is_keylike(named[3])]
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
    return is_quoted or has_digit or len(value) >= MIN_BARE_SECRET_LENGTH


def _mask_named(found: "re.Match[str]") -> str:
    return f"{found[1]}{found[2]}{MASK}" if _is_secret_value(found) else found[0]


def _mask_mentioned(found: "re.Match[str]") -> str:
    return f"{found[1]}{found[2]}{MASK}" if _is_keylike(found[3]) else found[0]


def _mask_keylike(found: "re.Match[str]") -> str:
    return MASK if _is_keylike(found[0]) else found[0]


def _is_keylike(word: str) -> bool:
    """Whether a long word has letters and digits, and not the form of an id."""
    is_mixed = any(map(str.isdigit, word)) and any(map(str.isalpha, word))
    return is_mixed and not (_ID_FORM.fullmatch(word) or _ULID.fullmatch(word))
