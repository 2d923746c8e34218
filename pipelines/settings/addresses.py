"""What is an address, and whether secrets may be sent to it."""

import ipaddress
import re
from urllib.parse import urlsplit

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)

_SCHEME_OR_HOST = re.compile(r"[^/]*:")
"""A colon in front of the first slash: `md:x`, `:memory:`, `user:password@host`. No file of ours is named so."""

_CONNINFO = re.compile(
    r"(^|\s)(host|hostaddr|port|dbname|user|(ssl)?password|passfile|service|sslmode)\s*=", re.IGNORECASE
)
"""How a PostgreSQL is described: `host=db password=…`, with any other keyword in front of these."""


def is_address(text: str) -> bool:
    """Whether a text looks like an address and not like a path: whatever opens it could go elsewhere."""
    return bool(_SCHEME_OR_HOST.match(text) or "://" in text or _CONNINFO.search(text))


def is_safe(address: str) -> bool:
    """Whether it is https to some host, or http to this machine. Raises `ValueError` for a port that is none.

    What is no host's name fails deep inside, in as many ways as there are libraries below: better told before.
    """
    parts = urlsplit(address)
    _ = parts.port  # urlsplit checks a port only when it is asked for
    host = parts.hostname or ""
    try:
        is_here = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        if "[" in parts.netloc or not _NAME.fullmatch(host):
            return False
        is_here = host == "localhost"
    return parts.scheme == "https" or (parts.scheme == "http" and is_here)
