"""Recognize addresses, and decide whether secrets may be sent to them."""

import ipaddress
import re
from urllib.parse import urlsplit

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)

_BRACKETS = re.compile(r"([^@]*@)?\[[^\[\]]+\](:\d*)?")
"""How a host of IPv6 is written. urlsplit ignores text around the brackets, as in `127.0.0.1[::1]`."""

_SCHEME_OR_HOST = re.compile(r"[^/]*:")
"""A colon before the first slash: `md:x`, `:memory:`, `user:password@host`. No file of ours has such a name."""

_CONNINFO = re.compile(
    r"(^|\s)(host|hostaddr|port|dbname|user|(ssl)?password|passfile|service|sslmode)\s*=", re.IGNORECASE
)
"""A keyword of a PostgreSQL connection string, `host=db password=…`, possibly after other keywords."""


def is_address(text: str) -> bool:
    """Return whether a text looks like an address rather than a path: DuckDB would open it as one."""
    return bool(_SCHEME_OR_HOST.match(text) or "://" in text or _CONNINFO.search(text))


def is_safe(address: str) -> bool:
    """Return whether an address is https to a valid host name, or http to this machine.

    Raises `ValueError` for an invalid port. An invalid host name is rejected here, because each library below fails
    differently with it.
    """
    parts = urlsplit(address)
    _ = parts.port  # urlsplit checks a port only when it is read
    host = parts.hostname or ""
    if "[" in parts.netloc and not _BRACKETS.fullmatch(parts.netloc):
        return False
    try:
        is_here = ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        if "[" in parts.netloc or not _NAME.fullmatch(host):
            return False
        is_here = host == "localhost"
    return parts.scheme == "https" or (parts.scheme == "http" and is_here)
