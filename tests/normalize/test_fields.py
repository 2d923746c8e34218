"""Records taken apart into text and JSON type: nothing is guessed, nothing is lost."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.normalize.fields import JSON_TYPES, split_fields


@pytest.mark.parametrize(
    ("value", "text", "name"),
    [
        ("a", "a", "string"),
        ("", "", "string"),
        ("5", "5", "string"),
        (5, "5", "number"),
        (5.0, "5.0", "number"),
        (1e300, "1e+300", "number"),
        (2**63 - 1, "9223372036854775807", "number"),
        (True, "true", "boolean"),
        (False, "false", "boolean"),
        (None, None, "null"),
        ([1, "ü"], '[1, "ü"]', "array"),
        ({"a": None}, '{"a": null}', "object"),
    ],
)
def test_text_and_type(value: Any, text: str | None, name: str) -> None:
    fields = split_fields([json.dumps({"x": value})], ["x"])
    assert fields["x"].to_list() == [text]
    assert fields["x:type"].to_list() == [name]
    assert JSON_TYPES[type(value)] == name


def test_a_record_that_is_no_object_has_no_fields() -> None:
    fields = split_fields(["[1]", "null", '"x"', "5", '{"x": 1}'], ["x"])
    assert fields["record:type"].to_list() == ["array", "null", "string", "number", "object"]
    assert fields["x"].to_list() == [None, None, None, None, "1"]


def test_an_absent_field_is_null() -> None:
    assert split_fields(["{}", '{"x": 1}'], ["x", "y"]).rows() == [
        ("object", None, "null", None, "null"),
        ("object", "1", "number", None, "null"),
    ]


def test_all_columns_are_text_even_of_nothing() -> None:
    assert set(split_fields([], ["x"]).dtypes) == {pl.String}
    assert set(split_fields(["{}"] * 3, ["x"]).dtypes) == {pl.String}


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)))
def test_numbers_survive(numbers: list[float]) -> None:
    fields = split_fields([json.dumps({"x": number}) for number in numbers], ["x"])
    assert [json.loads(text) for text in fields["x"]] == numbers
