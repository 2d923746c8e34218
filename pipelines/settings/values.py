"""Parse the text of a setting. Nothing here sends a request or writes a file.

A parser raises `ValueError` for malformed text. Its message is never shown, because it may quote a secret.
"""

import re
from pathlib import Path
from urllib.parse import unquote

from pydantic import SecretStr

from pipelines.settings.addresses import is_address, is_safe

ID_PATTERN = re.compile("[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,256}")
"""An identifier of the API: at most 256 characters, no control characters."""

_HEADER = re.compile(r"[\w-]{1,100}=[!-~]{1,4000}", re.ASCII)

LAKEHOUSE = "ducklake:postgres:"

_FORBIDDEN_IN_PATHS = {*map(chr, range(0x20)), "\x7f", "?", *map(chr, range(0xD800, 0xE000))}
"""NUL ends a path; terminals and logs interpret control characters; DuckDB inserts the suffix of its log before a `?`;
DuckDB cannot open lone surrogates, as which Python reads bytes of the environment that are not UTF-8."""

_LONGEST_NAME_BYTES = 200
"""Of a file or directory. Linux allows 255, but temporary files beside the warehouse have longer names."""

_LONGEST_PATH_BYTES = 3_500
"""Linux allows 4,095, including the files within the home."""


def parse_token(token: SecretStr | None) -> SecretStr | None:
    """Return a token that a header can carry."""
    if token is None:
        return None
    text = token.get_secret_value().strip()
    if not _is_one_word(text):
        raise ValueError("not one word of printable ASCII")
    return SecretStr(text) if text else None


def _is_one_word(text: str) -> bool:
    """Whether a text is printable ASCII without spaces."""
    return text.isascii() and text.isprintable() and " " not in text


def parse_account_id(account_id: str | None) -> str | None:
    """Return an identifier."""
    if account_id is not None and not ID_PATTERN.fullmatch(account_id := account_id.strip()):
        raise ValueError("not an identifier")
    return account_id


def parse_app_ids(given: object) -> object:
    """Return the identifiers of a list that is separated by commas, each once."""
    if not isinstance(given, str):
        return given
    apps = tuple(dict.fromkeys(part.strip() for part in given.split(",") if part.strip()))
    if not all(ID_PATTERN.fullmatch(app) for app in apps):
        raise ValueError("not identifiers")
    return apps


def parse_base_url(url: str) -> str:
    """Return an address to which the token may be sent."""
    url = url.strip()
    # urlsplit ignores a tab in the middle, an empty query and an empty user: it would check another address.
    if not _is_one_word(url) or set(url) & set("?#@\\"):
        raise ValueError("not a plain address")
    if not is_safe(url):
        raise ValueError("the token would travel unencrypted, or nowhere")
    return url.rstrip("/")


def parse_webhook(address: SecretStr | None) -> SecretStr | None:
    """Return an address to which alerts may be sent."""
    if address is None:
        return None
    text = address.get_secret_value().strip()
    if not _is_one_word(text) or not is_safe(text):
        raise ValueError("not an address, or it would travel unencrypted")
    return SecretStr(text)


def parse_collector(address: str | None) -> str | None:
    """Return the address of a collector. It receives no secret unless headers are set, so http is enough for it."""
    if address is None:
        return None
    address = address.strip().rstrip("/")
    scheme, _, place = address.partition("://")
    if scheme not in {"http", "https"} or not _is_one_word(address) or set(place) & set("?#@\\"):
        raise ValueError("not a plain address")
    if not is_safe(f"https://{place}"):
        raise ValueError("no host")
    return address


def parse_collector_headers(given: SecretStr | None) -> SecretStr | None:
    """Return headers as a collector's libraries write them: `NAME=VALUE,NAME=VALUE`."""
    if given is None:
        return None
    text = given.get_secret_value().strip()
    for pair in text.split(","):
        value = unquote(pair.partition("=")[2])
        # a library that refuses a header quotes its value
        if not _HEADER.fullmatch(pair.strip()) or not value.isascii() or not value.isprintable():
            raise ValueError("not NAME=VALUE")
    return SecretStr(text)


def parse_file_path(given: object) -> object:
    """Return the path of the warehouse; None if it is a lakehouse."""
    return None if isinstance(given, str) and _is_lakehouse(given) else given


def parse_lakehouse(given: object) -> object:
    """Return the connection string of PostgreSQL, which may contain a password; None if the warehouse is a file."""
    if not isinstance(given, str) or not _is_lakehouse(given):
        return None
    connection_string = given.strip().removeprefix(LAKEHOUSE).strip()
    if not connection_string or "\0" in given:
        raise ValueError("no catalog")
    return connection_string


def parse_readers_lakehouse(given: object) -> object:
    """Return the connection string for readers. Raises `ValueError` if the setting does not name a lakehouse."""
    if isinstance(given, str) and not (given := parse_lakehouse(given)):
        raise ValueError("not a lakehouse")
    return given


def _is_lakehouse(given: str) -> bool:
    return given.strip().startswith(LAKEHOUSE)


def parse_data_path(given: str | None) -> str | None:
    """Return a directory, or an address of S3."""
    if given is None:
        return None
    if set(given) & _FORBIDDEN_IN_PATHS:
        raise ValueError("not a directory")
    if not re.match(r"s3://[^/]+", given):
        parse_path(Path(given))
    return given


def parse_path(path: Path | None) -> Path | None:
    """Return a valid path with its `~` expanded, which no shell does in `.env`.

    Raises `ValueError` for text that looks like an address: DuckDB would open it as one, or create a file of that name,
    and a password in it would be shown wherever the path is.
    """
    if path is None:
        return None
    text = str(path)
    if not text.strip() or set(text) & _FORBIDDEN_IN_PATHS or is_address(text):
        raise ValueError("not a path")
    try:
        path = path.expanduser()
    except RuntimeError:
        raise ValueError("there is no such home directory") from None
    longest = max((len(part.encode()) for part in path.parts), default=0)
    if longest > _LONGEST_NAME_BYTES or len(str(path).encode()) > _LONGEST_PATH_BYTES:
        raise ValueError("longer than a path can be")
    return path
