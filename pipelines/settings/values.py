"""What the text of a setting must look like. Nothing here performs a request or writes a file.

A `ValueError` says that it does not; its text is never shown, since it may quote a secret.
"""

import re
from pathlib import Path

from pydantic import SecretStr

from pipelines.settings.addresses import is_address, is_safe

ID_PATTERN = re.compile("[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,256}")
"""What the API uses as identifiers: text of at most 256 characters without control characters."""

LAKEHOUSE = "ducklake:postgres:"

_IN_NO_PATH = {*map(chr, range(0x20)), "\x7f", "?", *map(chr, range(0xD800, 0xE000))}
"""NUL, which ends a path; control characters, of which a terminal or a log makes something else; `?`, in front of which
DuckDB puts the suffix of its log; and halves of characters, which DuckDB cannot open: a byte of the environment that is
no UTF-8 arrives as one."""

_LONGEST_NAME_BYTES = 200
"""Of a file or directory, which may have 255: what is made beside the warehouse has longer names."""

_LONGEST_PATH_BYTES = 3_500
"""Linux takes 4,095, the files within the home included."""


def parse_token(token: SecretStr | None) -> SecretStr | None:
    """Return a token that fits into a header."""
    if token is None:
        return None
    text = token.get_secret_value().strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("not one line of printable ASCII")
    return SecretStr(text) if text else None


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
    # urlsplit passes over a tab in the middle, an empty query and an empty user: what it read was not this text.
    if not url.strip().isascii() or not url.strip().isprintable() or set(url.strip()) & set(" ?#@\\"):
        raise ValueError("not a plain address")
    if not is_safe(url.strip()):
        raise ValueError("the token would travel unencrypted, or nowhere")
    return url.strip().rstrip("/")


def parse_webhook(address: SecretStr | None) -> SecretStr | None:
    """Return an address to which figures may be sent."""
    if address is None:
        return None
    text = address.get_secret_value().strip()
    if not text.isascii() or not text.isprintable() or " " in text or not is_safe(text):
        raise ValueError("not an address, or it would travel unencrypted")
    return SecretStr(text)


def parse_file_path(given: object) -> object:
    """Return the path of the warehouse; None where it is a lakehouse."""
    return None if isinstance(given, str) and _is_lakehouse(given) else given


def parse_lakehouse(given: object) -> object:
    """Return how to reach PostgreSQL, which may hold a password; None where the warehouse is a file."""
    if not isinstance(given, str) or not _is_lakehouse(given):
        return None
    reached_by = given.strip().removeprefix(LAKEHOUSE).strip()
    if not reached_by or "\0" in given:
        raise ValueError("no catalog")
    return reached_by


def parse_readers_lakehouse(given: object) -> object:
    """Return how readers reach PostgreSQL. Raises `ValueError` where it is no lakehouse."""
    if isinstance(given, str) and not (given := parse_lakehouse(given)):
        raise ValueError("no lakehouse")
    return given


def _is_lakehouse(given: str) -> bool:
    return given.strip().startswith(LAKEHOUSE)


def parse_data_path(given: str | None) -> str | None:
    """Return a directory, or an address of S3."""
    if given is None:
        return None
    if set(given) & _IN_NO_PATH:
        raise ValueError("not a place of files")
    if not re.match(r"s3://[^/]+", given):
        parse_path(Path(given))
    return given


def parse_path(path: Path | None) -> Path | None:
    """Return a path that files can have, with its `~` expanded, as no shell does in `.env`.

    Raises `ValueError` for what looks like an address: DuckDB would open it as one, or a file of that name is made,
    and a password that it holds is shown wherever the path is.
    """
    if path is None:
        return None
    text = str(path)
    if not text.strip() or set(text) & _IN_NO_PATH or is_address(text):
        raise ValueError("not a path")
    try:
        path = path.expanduser()
    except RuntimeError:
        raise ValueError("there is no such home directory") from None
    longest = max((len(part.encode()) for part in path.parts), default=0)
    if longest > _LONGEST_NAME_BYTES or len(str(path).encode()) > _LONGEST_PATH_BYTES:
        raise ValueError("longer than a path can be")
    return path
