"""The reference of the settings: accepted forms and defaults from `Settings`, meanings from `.env.example`."""

import re
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from docs.generator.markdown import code, heading, page, plain, table
from pipelines.settings.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def read_meanings() -> dict[str, str]:
    """Return the comment above each variable in `.env.example`; variables below one another share it."""
    meanings: dict[str, str] = {}
    comment: list[str] = []
    is_commenting = False
    for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines():
        if variable := re.match(r"#?([A-Z_]+)=", line):
            meanings.setdefault(variable[1], " ".join(comment))
            is_commenting = False
        elif line.startswith("# "):
            comment = [*comment, line[2:]] if is_commenting else [line[2:]]
            is_commenting = True
        else:
            comment, is_commenting = [], False
    return meanings


def _default(field: FieldInfo) -> str:
    if field.default in (None, ()):
        return "-"
    return code(field.default)


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in getattr(field.annotation, "__args__", (field.annotation,))


def settings_page() -> str:
    """Return the page of all settings. A variable without a comment in `.env.example` raises `KeyError`."""
    meanings = read_meanings()
    fields = {str(field.validation_alias): field for field in Settings.model_fields.values()}
    fields = dict(sorted(fields.items(), key=lambda item: [*meanings, item[0]].index(item[0])))
    rows = []
    for variable, field in fields.items():
        secret = " **Secret.**" if _is_secret(field) and "Secret" not in meanings[variable] else ""
        rows.append(
            (
                code(variable),
                _default(field),
                plain(str(field.description)),
                plain(meanings[variable]).replace("Secret", "**Secret**") + secret,
            )
        )
    return page(
        heading(1, "Settings"),
        "Environment variables, or lines of a `.env` file in the working directory; the environment wins. An empty value is the "
        "same as none. A missing or malformed setting ends a command with one line that names the variable and the accepted form, "
        "and exit status 2, before any request. `livehouse doctor` checks them all.",
        table(("variable", "default", "accepted form", "meaning"), rows),
    )
