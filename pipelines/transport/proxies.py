"""The proxies and trusted certificates of the environment. Sends nothing."""

import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.request import getproxies

import httpx

from pipelines.errors import SettingsError


@dataclass(frozen=True)
class Proxy:
    """A proxy from the environment. `variable` names it in messages, since its address may hold a password."""

    url: httpx.URL
    variable: str


def find_proxy(address: httpx.URL) -> Proxy | None:
    """Return the proxy for an address, or None for a direct connection.

    Plain http is allowed for loopback hosts only (`settings/addresses.py`), so it never uses a proxy. Raises `SettingsError`
    for an unusable proxy.
    """
    if address.scheme != "https":
        return None
    given = getproxies()
    scheme = next((scheme for scheme in ("https", "all") if given.get(scheme)), None)
    if scheme is None or _is_exempt(address.host, address.port or 443, given.get("no", "")):
        return None
    variable = f"{scheme}_proxy".upper()
    text = given[scheme].strip()
    try:
        url = httpx.URL(text if "://" in text else f"http://{text}")
        is_usable = url.scheme in {"http", "https"} and bool(url.host)
    except (httpx.InvalidURL, ValueError):
        is_usable = False
    if not is_usable:
        raise SettingsError(
            f"{variable} in the environment cannot be used: it takes http://[USER:PASSWORD@]HOST:PORT (no SOCKS)"
        )
    return Proxy(url, variable)


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Whether `NO_PROXY` names a host: by name, parent domain, address or network, each with or without a port."""
    host = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        address = None
    for entry in no_proxy.lower().split(","):
        pattern = entry.strip().rpartition("://")[2]
        if pattern == "*":
            return True
        for candidate in (pattern, *_without_port(pattern, port)):
            if _matches(candidate.strip("[]"), host, address):
                return True
    return False


def _without_port(pattern: str, port: int) -> list[str]:
    host, colon, suffix = pattern.rpartition(":")
    return [host] if colon and suffix == str(port) else []


def _matches(pattern: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if address is not None:
        try:
            return address in ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            return False
    domain = pattern.lstrip("*").strip(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def create_tls_context() -> ssl.SSLContext:
    """Return a context with the machine's trusted certificates, or those that the environment names.

    Raises `SettingsError` if the environment names an unusable file: OpenSSL ignores it silently and then trusts no server.
    """
    context = ssl.create_default_context()
    file, directories = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file:
        try:
            context.load_verify_locations(cafile=file)
        except (OSError, ValueError):
            raise SettingsError(
                "SSL_CERT_FILE in the environment cannot be used: it takes a readable file of certificates (PEM)"
            ) from None
    if directories and not any(Path(directory).is_dir() for directory in directories.split(os.pathsep)):
        raise SettingsError("SSL_CERT_DIR in the environment cannot be used: it takes a directory of certificates")
    return context
