"""Secrets this process has seen, and their removal from text. In memory only; bounded; linear in the text."""

import threading
from collections import deque
from urllib.parse import quote

MASK = "[removed]"

SHORTEST_SECRET = 8
"""Characters. A shorter "key" would also be found inside innocent text; it is removed where it stands alone."""

_LONGEST_KEPT = 512
_MOST_KEYS = 2**18
_ANCHOR = SHORTEST_SECRET
"""Every secret is found by its first characters: one dictionary lookup per position, however many secrets there are."""

_FEW = 8
"""Beginnings that are looked for one by one."""

_MOST_LENGTHS = 16
"""Different lengths of secrets with the same first characters that are told apart; of more, the longest is assumed."""


class KnownSecrets:
    """Secrets to be cut out of all later text. Threads share it."""

    def __init__(self) -> None:
        """Begin with none. `shortest`: no shorter text can hold one of them."""
        self._by_anchor: dict[str, dict[int, set[str]]] = {}
        self._in_order: deque[str] = deque()
        self.shortest = _LONGEST_KEPT
        self._lock = threading.Lock()

    def add(self, secret: str) -> None:
        """Remember a secret, also as it looks inside an address or JSON; the oldest is dropped where there are too many."""
        for form in {secret, quote(secret, safe=""), secret.replace("/", "\\/")}:
            kept = form[:_LONGEST_KEPT]
            if len(kept) < SHORTEST_SECRET:
                continue
            with self._lock:
                of_length = self._by_anchor.setdefault(kept[:_ANCHOR], {}).setdefault(len(kept), set())
                if kept in of_length:
                    continue
                of_length.add(kept)
                self._in_order.append(kept)
                self.shortest = min(self.shortest, len(kept))
                if len(self._in_order) > _MOST_KEYS:
                    self._drop(self._in_order.popleft())

    def _drop(self, secret: str) -> None:
        lengths = self._by_anchor[secret[:_ANCHOR]]
        lengths[len(secret)].discard(secret)
        if not lengths[len(secret)]:
            del lengths[len(secret)]
        if not lengths:
            del self._by_anchor[secret[:_ANCHOR]]

    def cut_out(self, text: str) -> str:
        """Return the text with each secret in it replaced."""
        positions = range(len(text) - self.shortest + 1)
        anchors = self._by_anchor
        if not positions or (len(anchors) <= _FEW and not any(anchor in text for anchor in tuple(anchors))):
            return text
        begins = [begin for begin in positions if text[begin : begin + _ANCHOR] in anchors]
        if not begins:
            return text
        parts, done = [], 0
        for begin in begins:
            end = self._end(text, begin) if begin >= done else begin
            if end > begin:
                parts += [text[done:begin], MASK]
                done = end
        return "".join([*parts, text[done:]])

    def _end(self, text: str, begin: int) -> int:
        """Where the longest secret that begins here ends; `begin` if none does."""
        by_length = self._by_anchor.get(text[begin : begin + _ANCHOR], {})
        lengths = sorted(by_length, reverse=True)
        if len(lengths) > _MOST_LENGTHS:
            return begin + lengths[0]
        for length in lengths:
            if text[begin : begin + length] in by_length.get(length, ()):
                return begin + length
        return begin
