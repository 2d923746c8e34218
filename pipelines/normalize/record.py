"""A record between its reply and the raw tables: encoded once, and read once for its key, its day and its JSON types."""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import polars as pl

from pipelines.catalog.core import LIVESTREAM_SESSIONS
from pipelines.catalog.streams import STREAMS
from pipelines.normalize.fields import cells, json_type

_KEY_FIELDS = tuple(dict.fromkeys(["id", *LIVESTREAM_SESSIONS.day_fields, *(stream.day_field for stream in STREAMS)]))
"""Fields from which the key and the day of a raw row are read."""

_LONGEST_STATUS = 40

_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


class Record(NamedTuple):
    """A record as received. The parsed value is not kept: 100,000 sessions of one livestream take five times the memory."""

    text: str
    """JSON with sorted keys: equal records have equal text."""
    key_values: tuple[Any, ...]
    """Values of `_KEY_FIELDS`, in that order; None where a field is absent."""
    types: tuple[tuple[str, str], ...]
    """Field and JSON type of each value, as ops.field_types counts them."""


def encode(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return the JSON text of a value, with sorted keys."""
    return _ENCODER.encode(value)


def read_record(value: Any) -> Record:  # noqa: ANN401 - any JSON value
    """Read what landing needs from a parsed JSON value, which may be of any type."""
    if not isinstance(value, dict):
        return Record(encode(value), (None,) * len(_KEY_FIELDS), _shared((("record", json_type(value)),)))
    types = tuple((field, _type_with_status(field, inner)) for field, inner in value.items())
    return Record(encode(value), tuple(value.get(field) for field in _KEY_FIELDS), _shared(types))


def _type_with_status(field: str, value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return the JSON type, for a `status` with its value: `string:LIVE`."""
    is_status = field == "status" and isinstance(value, str)
    return f"{json_type(value)}:{value[:_LONGEST_STATUS]}" if is_status else json_type(value)


@lru_cache(maxsize=1024)
def _shared(types: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return one object for all equal tuples: nearly all records of a stream have the same types."""
    return types


def key_cells(records: Iterable[Record], *fields: str) -> pl.DataFrame:
    """Return the columns `FIELD` and `FIELD:type` of key fields, as `split_fields` does, without parsing the text again."""
    values = [record.key_values for record in records]
    columns: dict[str, pl.Series] = {}
    for field in fields:
        at = _KEY_FIELDS.index(field)
        columns |= cells(field, [row[at] for row in values])
    return pl.DataFrame(columns)


def identity(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return the text that identifies a record in a list: its id, whole numbers as text; without an id the whole record."""
    found = value.get("id") if isinstance(value, dict) else None
    if type(found) is int:
        found = str(found)
    return encode(found if found and isinstance(found, str) else value)
