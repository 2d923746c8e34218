"""A record between its reply and the raw tables: encoded once, and read once for its key, its day and its JSON types."""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import polars as pl

from pipelines.catalog.core import LIVESTREAM_SESSIONS
from pipelines.catalog.streams import STREAMS
from pipelines.normalize.fields import JSON_TYPES, cells

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
        return Record(encode(value), (None,) * len(_KEY_FIELDS), (("record", JSON_TYPES[type(value)]),))
    status = value.get("status")
    types = _field_types(
        tuple(value), tuple(map(type, value.values())), status[:_LONGEST_STATUS] if isinstance(status, str) else None
    )
    return Record(encode(value), tuple(map(value.get, _KEY_FIELDS)), types)


@lru_cache(maxsize=1024)
def _field_types(fields: tuple[str, ...], types: tuple[type, ...], status: str | None) -> tuple[tuple[str, str], ...]:
    """Return the JSON type of each field, of a `status` with its value: `string:LIVE`.

    One object for all records with the same fields and types: nearly all records of a stream have the same.
    """
    named = {field: JSON_TYPES[kind] for field, kind in zip(fields, types, strict=True)}
    if status is not None:
        named["status"] += f":{status}"
    return tuple(named.items())


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
    # The quotation mark distinguishes an id from the text of a record.
    return f'"{found}' if found and isinstance(found, str) else encode(value)
