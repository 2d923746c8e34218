"""Whether an address is one that secrets may be sent to."""

import ipaddress
import re
from urllib.parse import urlsplit

_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)


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
