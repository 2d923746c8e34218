"""Keeps stream keys out of everything that is handed on. Nothing else belongs here."""

from collections.abc import Iterator
from typing import Any

Json = Any
"""A parsed JSON value: dict, list, str, int, float, bool or None."""

MASK = "[removed]"
SHORTEST_SECRET = 8
"""Characters. A shorter "key" would also be found inside innocent text."""


def _is_stream_key(name: str) -> bool:
    return name.replace("_", "").replace("-", "").lower() == "streamkey"


def stream_keys(value: Json) -> Iterator[str]:
    """Every stream key in a reply, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if _is_stream_key(name) and isinstance(inner, str):
                yield inner
            else:
                yield from stream_keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from stream_keys(inner)


def without_stream_keys(value: Json, *, show: bool = False) -> Json:
    """Remove the `stream_key` fields of a value, and cut the keys themselves out of every other text.

    `show` keeps the field and masks its value instead: for a person who looks at a reply.
    """
    keys = sorted({key for key in stream_keys(value) if len(key) >= SHORTEST_SECRET}, key=len, reverse=True)
    return _strip(value, keys, show=show)


def _strip(value: Json, keys: list[str], *, show: bool) -> Json:
    if isinstance(value, dict):
        return {
            mask(name, keys): MASK if _is_stream_key(name) else _strip(inner, keys, show=show)
            for name, inner in value.items()
            if show or not _is_stream_key(name)
        }
    if isinstance(value, list):
        return [_strip(inner, keys, show=show) for inner in value]
    return mask(value, keys) if isinstance(value, str) else value


def mask(text: str, secrets: list[str]) -> str:
    """Cut every one of the secrets out of a text."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, MASK)
    return text
