"""`doctor --json`: findings and versions for a public issue, without anything that identifies the account, machine or user."""

import getpass
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

from pipelines.cli.diagnostics_api import Finding
from pipelines.settings.settings import Settings, read_sources

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
    return text


def _read_sources() -> dict[str, str]:
    """Return the raw values of the settings, as far as `.env` can be read."""
    try:
        given = read_sources()
    except (OSError, ValueError):  # doctor reports it
        given = EnvSettingsSource(Settings)()
    return {name: str(value) for name, value in given.items() if value}


def _find_replacements(sources: Mapping[str, str]) -> dict[str, str]:
    """Return what to replace, and by what: values of settings with their parts, the user, the machine, directories."""
    found: dict[str, str] = {}
    for field in Settings.model_fields.values():
        variable = str(field.validation_alias)
        if variable in sources and not _is_number(field):
            for part in _parts_of(sources[variable]):
                found[part] = f"<{variable}>"
    with suppress(OSError, KeyError):
        found[getpass.getuser()] = "<user>"
    found[socket.gethostname()] = "<host>"
    with suppress(RuntimeError):
        found[str(Path.home())] = "~"
    found[str(Path.cwd())] = "."
    found.update({quote(part, safe=""): name for part, name in list(found.items())})
    return {part: name for part, name in found.items() if part.lower() not in _PUBLIC_WORDS and len(part) > 1}


def _is_number(field: FieldInfo) -> bool:
    """Whether values of a setting are numbers or days, which identify nobody and occur in any message."""
    kinds: tuple[Any, ...] = getattr(field.annotation, "__args__", (field.annotation,))
    return any(kind in (int, float, date) for kind in kinds)


def _parts_of(value: str) -> set[str]:
    """Return a value and the parts of it that a message may quote: list items, host and user of an address, absolute paths."""
    parts = {value.strip(), *(item.strip() for item in value.split(","))}
    parts |= set(re.findall(r"\w+='?([^\s']+)", value))  # host=… user=… of a connection string
    with suppress(ValueError):
        address = urlsplit(value.removeprefix("ducklake:postgres:"))
        if address.netloc:
            parts |= {address.netloc, address.hostname or "", address.username or "", address.password or ""}
            parts |= set(filter(None, address.path.split("/")[:2]))
    if os.sep in value and "://" not in value:
        parts.add(str(Path(value).absolute()))
    return {part for part in parts if part}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
