"""A change to a table or to a rule of value raises the version by which older programs and older homes are told."""

from hashlib import sha256
from pathlib import Path

from pipelines.catalog.core import WAREHOUSE_FILE
from pipelines.catalog.raw import RAW_FILE
from pipelines.normalize import coerce as values
from pipelines.normalize import derived, fields, shrinks
from pipelines.normalize import resolve as rows
from pipelines.normalize.fingerprint import RULES_VERSION
from pipelines.storage.migrations import SCHEMA_VERSION


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]


def test_the_schema_version_is_raised_with_the_tables() -> None:
    tables = [
        (table.full_name, table.key, table.unique, [(column.name, column.kind) for column in table.columns])
        for table in (*RAW_FILE, *WAREHOUSE_FILE)
    ]
    # Another digest: raise SCHEMA_VERSION, once for each release, then note the digest here.
    assert (SCHEMA_VERSION, digest(repr(tables))) == (2, "8dde84389f33")


def test_the_rules_version_is_raised_with_the_rules() -> None:
    code = "\n".join(
        Path(str(module.__file__)).read_text("utf-8") for module in (derived, fields, rows, shrinks, values)
    )
    # Another digest: raise RULES_VERSION if rows can differ (a comment changes none), then note the digest here.
    assert (RULES_VERSION, digest(code)) == (4, "7cbbab84ed6f")
