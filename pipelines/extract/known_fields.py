"""Decides which fields of a record are landed with their values: those that the API documents.

Of an unknown field the name and the JSON type are kept, so that drift is visible (`ops.field_types`), and the value only if
it is a number, a boolean or a time: a stream key under a new name must not be stored before a maintainer has seen it.
"""

import re

from pipelines.catalog.streams import CORE_TABLES, STREAMS
from pipelines.catalog.values import Json
from pipelines.extract.known_secrets import MASK

KNOWN_FIELDS = frozenset(
    [
        *(column.source_field for table in CORE_TABLES for column in table.columns if column.source_field),
        *(stream.day_field for stream in STREAMS),
    ]
)
"""Documented fields of all kinds of records. No name has two meanings."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.IGNORECASE)
_MAX_NAME_LENGTH = 100
_NESTED = frozenset({dict, list})


def keep_known_fields(record: Json) -> Json:
    """Return a record with the values of its known fields; of other fields only what cannot hold a secret."""
    if not isinstance(record, dict):
        return record
    if KNOWN_FIELDS.issuperset(record) and _NESTED.isdisjoint(map(type, record.values())):
        return record
    return {
        name[:_MAX_NAME_LENGTH]: _keep_value(value, is_known=name in KNOWN_FIELDS)
        if isinstance(value, str | dict | list)
        else value
        for name, value in record.items()
    }


def _keep_value(value: Json, *, is_known: bool) -> Json:
    """Keep a text of a known field, or a time. Replace other texts and all nested values by their type."""
    if isinstance(value, str):
        return value if is_known or _TIME.fullmatch(value) else MASK
    if not is_known:
        return type(value)()
    if isinstance(value, list):
        return [_keep_nested(inner) for inner in value]
    return {name[:_MAX_NAME_LENGTH]: _keep_nested(inner) for name, inner in value.items()}


def _keep_nested(value: Json) -> Json:
    return _keep_value(value, is_known=False) if isinstance(value, str | dict | list) else value
