"""Secrets seen by this process, and their removal from text. In memory only, bounded, and linear in the text."""

import re
import threading
from base64 import b64encode
from collections import deque
from html import escape
from urllib.parse import quote

MASK = "[removed]"

SHORTEST_SECRET = 8
"""Characters. A shorter secret would also match innocent text; it is removed only as the value of its own field."""

_MAX_SECRET_LENGTH = 512
_MAX_SECRETS = 2**18
_PREFIX_LENGTH = SHORTEST_SECRET
"""Secrets are found by their first characters: one dictionary lookup per position, however many secrets there are."""

_FEW_PREFIXES = 8
"""Up to this number, prefixes are searched for one by one."""

_MAX_LENGTHS = 16
"""Up to this number, lengths of secrets with the same prefix are compared; beyond it, the longest is assumed."""

_ESCAPE = re.compile("%..")


def _encode(secret: str) -> set[str]:
    """Return a secret as texts quote it: as is, in a URL, in JSON, in HTML, in base64, in one case of letters."""
    encoded, encoded_path = quote(secret, safe=""), quote(secret)
    return {
        *(secret, secret.upper(), secret.lower(), secret.replace("/", "\\/"), secret.replace("+", " "), escape(secret)),
        *(encoded, encoded_path, quote(encoded), encoded.replace("%20", "+"), _ESCAPE.sub(_lower, encoded)),
        _ESCAPE.sub(_lower, encoded_path),
        b64encode(secret.encode(errors="replace")).decode().rstrip("="),
    }


def _lower(found: "re.Match[str]") -> str:
    return found[0].lower()


class KnownSecrets:
    """Secrets to be removed from all later text. Threads share it."""

    def __init__(self) -> None:
        """Start without secrets. `shortest`: no shorter text can hold one of them."""
        self._by_prefix: dict[str, dict[int, set[str]]] = {}
        self._in_order: deque[str] = deque()
        self.shortest = _MAX_SECRET_LENGTH
        self._lock = threading.Lock()

    def add(self, secret: str) -> None:
        """Add a secret, also in its usual encodings. The oldest is dropped if there are too many."""
        if self._is_known(secret):
            return
        for form in _encode(secret):
            kept = form[:_MAX_SECRET_LENGTH]
            if len(kept) < SHORTEST_SECRET:
                continue
            with self._lock:
                of_length = self._by_prefix.setdefault(kept[:_PREFIX_LENGTH], {}).setdefault(len(kept), set())
                if kept in of_length:
                    continue
                of_length.add(kept)
                self._in_order.append(kept)
                self.shortest = min(self.shortest, len(kept))
                if len(self._in_order) > _MAX_SECRETS:
                    self._drop(self._in_order.popleft())

    def _is_known(self, secret: str) -> bool:
        kept = secret[:_MAX_SECRET_LENGTH]
        return kept in self._by_prefix.get(kept[:_PREFIX_LENGTH], {}).get(len(kept), ())

    def _drop(self, secret: str) -> None:
        lengths = self._by_prefix[secret[:_PREFIX_LENGTH]]
        lengths[len(secret)].discard(secret)
        if not lengths[len(secret)]:
            del lengths[len(secret)]
        if not lengths:
            del self._by_prefix[secret[:_PREFIX_LENGTH]]

    def mask(self, text: str) -> str:
        """Return the text with each secret replaced by `MASK`."""
        positions = range(len(text) - self.shortest + 1)
        prefixes = self._by_prefix
        if not positions or (len(prefixes) <= _FEW_PREFIXES and not any(prefix in text for prefix in tuple(prefixes))):
            return text
        starts = [start for start in positions if text[start : start + _PREFIX_LENGTH] in prefixes]
        if not starts:
            return text
        parts, done = [], 0
        for start in starts:
            end = self._find_end(text, start) if start >= done else start
            if end > start:
                parts += [text[done:start], MASK]
                done = end
        return "".join([*parts, text[done:]])

    def _find_end(self, text: str, start: int) -> int:
        """Return the end of the longest secret that starts here; `start` if there is none."""
        by_length = self._by_prefix.get(text[start : start + _PREFIX_LENGTH], {})
        lengths = sorted(by_length, reverse=True)
        if len(lengths) > _MAX_LENGTHS:
            return start + lengths[0]
        for length in lengths:
            if text[start : start + length] in by_length.get(length, ()):
                return start + length
        return start
