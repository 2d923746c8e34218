"""Publishing addresses (RTMP, SRT, RIST, WHIP): finds them in a text, and removes what may be a key. Keep other secrets out."""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from pipelines.extract.known_secrets import MASK

_SCHEME = r"\b(rtmp[a-z]{0,3}|rtsp[a-z]?|(?:srt|rist)(?:\+[a-z]{1,8})?|whips?|zixi|moqt?|ndi|udp|tcp|wss?|https?)"
_ADDRESS = re.compile(rf"""{_SCHEME}:(?:\\?/){{2}}([^\s"'<>`]{{1,4096}})""", re.IGNORECASE)
_ENCODED_ADDRESS = re.compile(rf"""{_SCHEME}%3A%2F%2F[^\s"'<>`&]{{1,4096}}""", re.IGNORECASE)
"""An address in the query of another."""

_PUBLISHES_BY_HTTP = re.compile(r"/whip\b|/webrtc/publish\b", re.IGNORECASE)
_APPLICATION = re.compile(r"[\w-]{1,15}")
"""The first part of an RTMP path: `live` in `rtmps://host/live/KEY`. A longer part counts as the key."""

_APPLICATION_OF_WORDS = re.compile(r"[a-z]{1,15}(?:[_-][a-z]{1,15}){1,5}", re.IGNORECASE | re.ASCII)
"""A longer application, if a slash follows: a key ends the path, and is not several words."""

MIN_BARE_SECRET_LENGTH = 16
"""A shorter part of an address, or word of a sentence, is not taken for a key."""


def _split_address(found: "re.Match[str]") -> tuple[str, str, str]:
    """Return scheme, host, and path with query."""
    place = found[2].replace("\\/", "/")
    host, slash, rest = place.partition("/")
    if not slash:
        host, question, rest = place.partition("?")
        return found[1].lower(), host, f"{question}{rest}"
    return found[1].lower(), host, f"/{rest}"


def may_hold_address(lower: str) -> bool:
    """Whether a text in lower case may hold a publishing address. Called for every text, hence without pattern."""
    return (
        "rtmp" in lower
        or "srt:" in lower
        or "rist:" in lower
        or "whip" in lower
        or "webrtc" in lower
        or "%3a%2f%2f" in lower
        or (":/" in lower and lower.count("://") > lower.count("http://") + lower.count("https://"))
    )


def mask_addresses(text: str) -> str:
    """Return a text in which publishing addresses keep only scheme, host and application."""
    return _ADDRESS.sub(_mask_address, _ENCODED_ADDRESS.sub(_mask_encoded_address, text))


def find_secret_parts(text: str) -> Iterator[str]:
    """Yield what `mask_addresses` removes from a text, as far as it is long enough to be a key."""
    for encoded in _ENCODED_ADDRESS.finditer(text):
        yield from find_secret_parts(unquote(encoded[0]))
    for address in _ADDRESS.finditer(text):
        yield from _secret_parts(address)


def _mask_encoded_address(found: "re.Match[str]") -> str:
    decoded = unquote(found[0])
    masked = _ADDRESS.sub(_mask_address, decoded)
    return found[0] if masked == decoded else masked


def _secret_parts(found: "re.Match[str]") -> list[str]:
    kept = _mask_address(found)
    if kept == found[0]:
        return []
    parts = re.split(r"[/?&=#]", _split_address(found)[2])
    return [part for part in parts if len(part) >= MIN_BARE_SECRET_LENGTH and f"/{part}/" not in kept]


def _mask_address(found: "re.Match[str]") -> str:
    """Keep scheme, host and application of a publishing address."""
    scheme, host, rest = _split_address(found)
    is_http = scheme.startswith(("http", "ws"))
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
