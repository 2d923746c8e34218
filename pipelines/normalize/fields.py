"""Splits JSON records into columns: the text of each field and its JSON type. The rules for values are in `coerce.py`.

polars infers the type of a column from its first values (150 integers, then 1.5, becomes Int64 and 1), so every field is
read as text, with its JSON type in a second column.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

JSON_TYPES: dict[type, str] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
    list: "array",
    dict: "object",
}
"""Name of the JSON type of a parsed value, as in `ops.field_types`."""


def _as_text(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def split_fields(payloads: Iterable[str], fields: Sequence[str]) -> pl.DataFrame:
    """Return a frame with the columns `FIELD` (text) and `FIELD:type` for each field, and one row per payload.

    A field that is absent is null. `record:type` is the JSON type of the whole payload; a payload that is not an object
    has no fields.
    """
    records = [json.loads(payload) for payload in payloads]
    columns = {"record:type": pl.Series([JSON_TYPES[type(record)] for record in records], dtype=pl.String)}
    objects = [record if isinstance(record, dict) else {} for record in records]
    for field in fields:
        columns |= cells(field, [record.get(field) for record in objects])
    return pl.DataFrame(columns)


def cells(field: str, values: Sequence[Any]) -> dict[str, pl.Series]:
    """Return the columns `FIELD` (text) and `FIELD:type` of parsed values."""
    return {
        field: pl.Series([_as_text(value) for value in values], dtype=pl.String),
        f"{field}:type": pl.Series([JSON_TYPES[type(value)] for value in values], dtype=pl.String),
    }
