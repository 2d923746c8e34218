"""Recognizes records that hold no secret by name, so that `redaction.py` walks only the others. Keep other rules out.

Nearly every record of a reply has documented fields only, with single values. Such a record is checked as a whole.
"""

from functools import lru_cache

from pipelines.catalog.values import Json
from pipelines.extract.known_fields import KNOWN_FIELDS

_MAX_FIELDS = 64
"""A larger object is not recognized: its names would fill the cache."""

_NESTED = frozenset({dict, list})


def may_name_secret(name: str) -> bool:
    """Whether the name of a field may mean a secret. A quick check: `redaction.py` has the rules."""
    if not name.isascii():  # full-width letters, or invisible ones between them
        return True
    lower = name.lower()
    return (
        "key" in lower
        or "pass" in lower
        or "secret" in lower
        or "whip" in lower
        or "token" in lower
        or "pwd" in lower
        or "credential" in lower
    )


def texts_of_plain_record(record: dict[str, Json]) -> list[str] | None:
    """Return the texts of a record with documented fields and single values only; None for any other object.

    Neither the names of its fields nor numbers can hold a secret, so nothing else needs a check.
    """
    if len(record) > _MAX_FIELDS or not _are_plain(tuple(record)):
        return None
    values = record.values()
    if _NESTED.isdisjoint(map(type, values)):
        return [value for value in values if isinstance(value, str)]
    return None


@lru_cache(maxsize=256)
def _are_plain(names: tuple[str, ...]) -> bool:
    return KNOWN_FIELDS.issuperset(names) and not any(map(may_name_secret, names))
