"""Takes JSON records apart into columns: each field's text and its JSON type. No rule of value is here.

polars guesses a column's type from what it sees first (150 integers, then 1.5: Int64, and 1), so every
field is read as text, with its JSON type beside it.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

_TYPES: dict[type, str] = {
    str: "string",
    int: "number",
    float: "number",
    bool: "boolean",
    type(None): "null",
    list: "array",
    dict: "object",
}


def json_type(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Name the JSON type of a parsed value, as `ops.field_types` names it."""
    return _TYPES[type(value)]


def _as_text(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def split_fields(payloads: Iterable[str], fields: Sequence[str]) -> pl.DataFrame:
    """Make a frame with the columns `FIELD` (text) and `FIELD:type` for each field, a row a payload.

    A field that is absent is null. `record:type` is the JSON type of the whole payload; one that is not an
    object has no fields.
    """
    records = [json.loads(payload) for payload in payloads]
    columns: dict[str, pl.Series] = {
        "record:type": pl.Series([json_type(record) for record in records], dtype=pl.String)
    }
    objects = [record if isinstance(record, dict) else {} for record in records]
    for field in fields:
        values = [record.get(field) for record in objects]
        columns[field] = pl.Series([_as_text(value) for value in values], dtype=pl.String)
        columns[f"{field}:type"] = pl.Series([_TYPES[type(value)] for value in values], dtype=pl.String)
    return pl.DataFrame(columns)
