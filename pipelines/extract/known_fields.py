"""Which fields of a record are landed with their values: those the API documents. Others may hold what nobody expects.

Of an unknown field the name and the type are kept, so that drift is seen (`ops.field_types`), and its value only if it is
a number, a boolean or a time: a key under a new name must not be stored before somebody notices it.
"""

import re
from typing import Any

from pipelines.catalog.streams import CORE_TABLES, STREAMS
from pipelines.extract.known_secrets import MASK

KNOWN_FIELDS = frozenset(
    [
        *(column.source_field for table in CORE_TABLES for column in table.columns if column.source_field),
        *(stream.day_field for stream in STREAMS),
    ]
)
"""Fields of records as the API documents them, of any kind of record: no name means two things."""

_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?", re.IGNORECASE)
_LONGEST_NAME = 100


def keep_known_fields(record: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a record with the values of its known fields, and of others what cannot hold a secret."""
    if not isinstance(record, dict):
        return record
    return {
        name[:_LONGEST_NAME]: _typed(value, is_known=name in KNOWN_FIELDS)
        if isinstance(value, str | dict | list)
        else value
        for name, value in record.items()
    }


def _typed(value: Any, *, is_known: bool) -> Any:  # noqa: ANN401 - any JSON value
    """Keep a text of a known field, or a time; of the rest, and of what is nested, only what it is."""
    if isinstance(value, str):
        return value if is_known or _TIME.fullmatch(value) else MASK
    if not is_known:
        return type(value)()
    if isinstance(value, list):
        return [_nested(inner) for inner in value]
    return {name[:_LONGEST_NAME]: _nested(inner) for name, inner in value.items()}


def _nested(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    return _typed(value, is_known=False) if isinstance(value, str | dict | list) else value
