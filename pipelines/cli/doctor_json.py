"""`doctor --json`: findings and versions for a public issue, without anything that identifies the account, machine or user."""

import getpass
import ipaddress
import json
import os
import platform
import re
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic.fields import FieldInfo
from pydantic_settings import EnvSettingsSource

from pipelines.alerts.evaluation import QUERY_COLUMNS
from pipelines.alerts.metrics import METRICS
from pipelines.alerts.rules import Rule, load_rules
from pipelines.cli.diagnostics_api import Finding
from pipelines.settings.billing_terms import Allowance, AppAllowances
from pipelines.settings.settings import Settings, read_sources, variable_of
from pipelines.settings.values import LAKEHOUSE

_LIBRARIES = (
    "dagster",
    "duckdb",
    "duckdb-extension-ducklake",
    "httpx",
    "polars",
    "psycopg",
    "pydantic-settings",
    "sqlglot",
)

_PATTERNS = (
    (re.compile(r"\b((?:livestreams|sessions|meetings)/)(?!sessions\b|overall\b|daywise\b)[^/\s,:;?]+"), r"\1<id>"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "<email>"),
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}\b"), "<id>"),
    (re.compile(r"\b(?!127\.0\.0\.1\b)\d{1,3}(?:\.\d{1,3}){3}\b"), "<address>"),
    (re.compile(r"(?<![\w<])/(?:home|Users)/[^/\s]+"), "~"),
)
"""Identifiers by their form, which no setting names: of livestreams and sessions, people, accounts and machines."""

_MAYBE_IPV6 = re.compile(r"(?<![\w:])[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:.]*[0-9a-fA-F:]")

_OTHERS_SETTINGS = re.compile(
    r"(?i)PG(HOST|HOSTADDR|USER|DATABASE|PASSWORD|SERVICE|PASSFILE)|\w+_PROXY|SSL_CERT_(FILE|DIR)"
    r"|AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|PROFILE|ENDPOINT_URL\w*)"
)
"""Variables of the libraries, whose messages may quote their values."""

_MAX_READ = 2**20
"""Characters of a file with rules or allowances."""

_PUBLIC_WORDS = {
    "livehouse",
    "postgres",
    "postgresql",
    "ducklake",
    "localhost",
    "127.0.0.1",
    "data",
    "s3",
    "https",
    "http",
    "root",
}
"""Parts of addresses, and a user, that identify nobody."""


def render_json(findings: Iterable[Finding]) -> str:
    """Return the findings, the versions and the names of the settings in use, as redacted JSON."""
    sources = _read_sources()
    replacements = _find_replacements(sources)
    report = {
        "livehouse": _version("livehouse"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
        "settings": sorted(sources),
        "findings": [
            {
                "state": finding.state,
                "subject": redact(finding.subject, replacements),
                "message": redact(finding.message, replacements),
                "remedy": redact(finding.remedy, replacements),
            }
            for finding in findings
        ],
    }
    return json.dumps(report, indent=2)  # ASCII only: a message may hold terminal escapes


def redact(text: str, replacements: Mapping[str, str]) -> str:
    """Return text without the given values, whole words only and the longest first, and without identifiers of known forms."""
    for value in sorted(replacements, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", replacements[value], text)
    for pattern, name in _PATTERNS:
        text = pattern.sub(name, text)
    return _MAYBE_IPV6.sub(lambda found: "<address>" if _is_remote(found[0]) else found[0], text)


def _is_remote(text: str) -> bool:
    with suppress(ValueError):
        return not ipaddress.ip_address(text).is_loopback
    return False


def _read_sources() -> dict[str, str]:
    """Return the raw values of the settings, as far as `.env` can be read."""
    try:
        given = read_sources()
    except (OSError, ValueError):  # doctor reports it
        given = EnvSettingsSource(Settings)()
    return {name: str(value) for name, value in given.items() if value}


def _find_replacements(sources: Mapping[str, str]) -> dict[str, str]:
    """Return what to replace, and by what: settings, names in the files they name, the user, the machine, directories."""
    found: dict[str, str] = {}
    for variable, value in os.environ.items():
        if _OTHERS_SETTINGS.fullmatch(variable):
            found.update(dict.fromkeys(_parts_of(value), f"<{variable}>"))
    for field in Settings.model_fields.values():
        variable = str(field.validation_alias)
        if variable in sources and not _is_number(field):
            found.update(dict.fromkeys(_parts_of(sources[variable]), f"<{variable}>"))
    for variable in (variable_of("allowances_path"), variable_of("alert_rules")):
        if variable in sources:
            found.update(dict.fromkeys(_names_in(Path(sources[variable])), f"<name in {variable}>"))
    with suppress(OSError, KeyError):
        found[getpass.getuser()] = "<user>"
    found[socket.gethostname()] = "<host>"
    with suppress(RuntimeError):
        found[str(Path.home())] = "~"
    found[str(Path.cwd())] = "."
    found.update({quote(part, safe=""): name for part, name in list(found.items())})
    return {part: name for part, name in found.items() if part.lower() not in _PUBLIC_WORDS and len(part) > 1}


def _names_in(file: Path) -> set[str]:
    """Return the keys and the quoted texts of a TOML file, also of a malformed one: messages about it quote them."""
    try:
        file = file.expanduser()
        if not file.is_file():
            return set()
        with file.open(encoding="utf-8-sig", errors="replace") as opened:
            text = opened.read(_MAX_READ)
    except (OSError, RuntimeError):
        return set()
    public = {"apps", "customers", "rules", "recent_days", *METRICS, *load_rules(None).names, *Rule.model_fields}
    public |= {*QUERY_COLUMNS, *AppAllowances.model_fields, *Allowance.model_fields}
    keys = re.findall(r"^\s*\[+(.*?)\]|(?:^|[{,])\s*([\w.-]+)\s*=", text, re.MULTILINE)
    names = {name for pair in keys for key in pair for name in re.findall(r"[\w-]+", key)}
    names |= {name for pair in re.findall(r"\"([^\"\n]+)\"|'([^'\n]+)'", text) for name in pair}
    return names - public


def _is_number(field: FieldInfo) -> bool:
    """Whether values of a setting are numbers or days, which identify nobody and occur in any message."""
    kinds: tuple[Any, ...] = getattr(field.annotation, "__args__", (field.annotation,))
    return any(kind in (int, float, date) for kind in kinds)


def _parts_of(value: str) -> set[str]:
    """Return a value and the parts of it that a message may quote: list items, parts of an address, forms of a path."""
    parts = {value.strip(), *(item.strip() for item in value.split(","))}
    connection = value.strip().removeprefix(LAKEHOUSE)
    parts |= {item for part in _read_conninfo(connection) for item in (part, *part.split(","))}
    with suppress(ValueError):
        address = urlsplit(connection)
        if address.netloc:
            parts |= {address.netloc, address.hostname or "", address.username or "", address.password or ""}
            parts |= set(filter(None, address.path.split("/")[:2]))
    if connection == value.strip() and "://" not in value:
        with suppress(RuntimeError, ValueError):
            path = Path(value.strip()).expanduser()
            parts |= {str(form) for form in (Path(value.strip()), path, path.absolute(), os.path.realpath(path))}
    return {part for part in parts if part}


def _read_conninfo(text: str) -> list[str]:
    """Return the values in a connection string of PostgreSQL; none for other text, or if nothing here connects to it."""
    try:
        from psycopg.conninfo import conninfo_to_dict
        from psycopg.errors import ProgrammingError
    except ImportError:
        return []
    with suppress(ProgrammingError):
        return [str(value) for value in conninfo_to_dict(text).values()]
    return []


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
