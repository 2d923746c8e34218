"""Contract, section 4, value by value: read, null, or quarantined. Comments name where unusual values were seen."""

import json
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any, get_args

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.catalog.types import LogicalType
from pipelines.extract.json_values import parse_json
from pipelines.normalize.coerce import reason_not_taken, value_of
from pipelines.normalize.fields import split_fields

READ_KINDS = [kind for kind in get_args(LogicalType) if kind != "number"]
"""No field of the API is a `number`: prices and thresholds come from settings."""

NOW = datetime(2025, 3, 14, 15, 9, 26)


class Outcome(Enum):
    """Results of reading a value other than a value; an enum, so that every worker gives a test the same name."""

    QUARANTINED = "quarantined"


QUARANTINED = Outcome.QUARANTINED


def read_all(kind: LogicalType, values: list[Any]) -> list[tuple[Any, str | None]]:
    """(value, reason) of each, by the way a record goes: JSON text, field, rule."""
    fields = split_fields([json.dumps({"x": value}) for value in values], ["x"])
    taken = value_of(kind, "x", NOW.date())
    read = fields.select(taken.alias("value"), reason_not_taken(kind, "x", taken).alias("reason"))
    return list(read.iter_rows())


def read(kind: LogicalType, value: Any) -> Any:
    ((taken, reason),) = read_all(kind, [value])
    if reason is not None:
        assert taken is None
        assert len(reason) < 200
        return QUARANTINED
    return taken


NUMBERS: list[tuple[Any, Any]] = [
    (531, 531.0),
    (0, 0.0),
    (116.11599994199997, 116.11599994199997),  # captured viewer_seconds
    ("531", 531.0),
    (" 531.0 ", 531.0),
    ("1e3", 1000.0),
    ("1E+3", 1000.0),
    ("+5", 5.0),
    ("\t5\n", 5.0),
    (".5", 0.5),
    ("5.", 5.0),
    ("0005", 5.0),
    (-0.0, 0.0),
    ("-0", 0.0),
    ("1e-400", 0.0),
    (1e300, 1e300),
    (None, None),
    ("", None),
    ("  ", None),
    ("null", None),
    (-1, QUARANTINED),
    ("-0.5", QUARANTINED),
    ("NaN", QUARANTINED),
    ("nan", QUARANTINED),
    ("Infinity", QUARANTINED),
    ("inf", QUARANTINED),
    ("1e999", QUARANTINED),
    (True, QUARANTINED),
    (False, QUARANTINED),
    ("true", QUARANTINED),
    ("12:30", QUARANTINED),
    ("1,5", QUARANTINED),
    ("1 000", QUARANTINED),
    ("1_000", QUARANTINED),
    ("0x10", QUARANTINED),
    ("١٢", QUARANTINED),  # Arabic digits: int() would take them
    ("５", QUARANTINED),
    ("--5", QUARANTINED),
    (".", QUARANTINED),
    ("e5", QUARANTINED),
    ("5 s", QUARANTINED),
    ("5\n6", QUARANTINED),
    ("None", QUARANTINED),
    ([], QUARANTINED),
    ([5], QUARANTINED),
    ({}, QUARANTINED),
    ({"value": 5}, QUARANTINED),
]


@pytest.mark.parametrize("kind", ["seconds", "minutes"])
@pytest.mark.parametrize(("value", "expected"), NUMBERS, ids=repr)
def test_seconds_and_minutes(kind: LogicalType, value: Any, expected: Any) -> None:
    assert read(kind, value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (4, 4),
        ("4", 4),
        (4.0, 4),
        ("4.0", 4),
        (" 4 ", 4),
        ("+4", 4),
        ("4.", 4),
        ("1e3", 1000),
        (0, 0),
        ("-0", 0),
        # above 2**53 a DOUBLE would change it
        (2**53 - 1, 2**53 - 1),
        (2**53 + 1, 2**53 + 1),
        (str(2**53 + 1), 2**53 + 1),
        (f"{2**53 + 1}.0", 2**53 + 1),  # read through a DOUBLE it was one less
        (f"{2**53 + 1}.000", 2**53 + 1),
        (2**63 - 1, 2**63 - 1),
        (str(2**63 - 1), 2**63 - 1),
        (f"{2**63 - 1}.0", 2**63 - 1),
        (f"{2**53 + 1}e0", 2**53 + 1),
        ("900719925474099.3e1", 2**53 + 1),
        ("922337203685477580.7e1", 2**63 - 1),
        ("922337203685477580.8e1", QUARANTINED),
        ("9007199254740993.5", QUARANTINED),
        ("1e-3", QUARANTINED),
        (f"1e-{'9' * 20}", QUARANTINED),
        (f"0e{'9' * 20}", QUARANTINED),
        (str(2**63), QUARANTINED),
        (f"{2**63}.0", QUARANTINED),
        (float(2**63), QUARANTINED),
        (1e19, QUARANTINED),
        ("9" * 5000, QUARANTINED),
        (None, None),
        ("", None),
        ("null", None),
        (4.5, QUARANTINED),
        ("4.5", QUARANTINED),
        (-1, QUARANTINED),
        ("-1", QUARANTINED),
        (-1.0, QUARANTINED),
        (True, QUARANTINED),
        ("four", QUARANTINED),
        ("NaN", QUARANTINED),
        ([4], QUARANTINED),
        ({}, QUARANTINED),
    ],
    ids=repr,
)
def test_counts(value: Any, expected: Any) -> None:
    assert read("count", value) == expected


INVALID_FLAGS: list[Any] = [2, -1, "2", 0.5, "on", "off", "y", "t", "NaN", "10", "01", [], [True], {}, "disable"]
FLAGS: list[tuple[Any, Any]] = [
    *[(yes, True) for yes in (True, "true", "TRUE", " True ", 1, "1", 1.0, "yes", "Yes", "disabled", "Disabled")],
    *[(no, False) for no in (False, "false", "False", 0, "0", 0.0, "no", "NO", "enabled", "ENABLED")],
    *[(null, None) for null in (None, "", " ", "null")],
    *[(invalid, QUARANTINED) for invalid in INVALID_FLAGS],
]


@pytest.mark.parametrize(("value", "expected"), FLAGS, ids=repr)
def test_flags(value: Any, expected: Any) -> None:
    assert read("flag", value) is expected


NOON = datetime(2025, 3, 14, 12, 0, 0)
TIMESTAMPS: list[tuple[Any, Any]] = [
    ("2025-03-14T12:00:00Z", NOON),
    ("2025-03-14T12:00:00.000Z", NOON),
    ("2025-03-14t12:00:00z", NOON),
    ("2025-03-14 12:00:00", NOON),
    ("2025-03-14T12:00", NOON),
    ("2025-03-14T12:00:00", NOON),
    ("2025-03-14T17:30:00+05:30", NOON),
    ("2025-03-14T17:30:00+0530", NOON),
    ("2025-03-14T14:00:00+02", NOON),
    ("2025-03-13T22:15:00-13:45", NOON),
    ("2025-03-14T12:00:00-00:00", NOON),
    (" 2025-03-14T12:00:00Z ", NOON),
    ("2025-03-14T12:00:00.016Z", NOON + timedelta(milliseconds=16)),
    ("2025-03-14T12:00:00,5Z", NOON + timedelta(milliseconds=500)),
    ("2025-03-14T12:00:00.123456Z", NOON + timedelta(microseconds=123456)),
    ("2025-03-14T12:00:00.123456789123Z", NOON + timedelta(microseconds=123456)),
    (1741953600, NOON),
    ("1741953600", NOON),
    (1741953600.5, NOON + timedelta(milliseconds=500)),
    (1741953600123, NOON + timedelta(milliseconds=123)),
    ("1741953600123", NOON + timedelta(milliseconds=123)),
    ("1.7419536e9", NOON),
    (None, None),
    ("", None),
    ("null", None),
    # bounds: 2015 until the end of tomorrow
    ("2015-01-01T00:00:00Z", datetime(2015, 1, 1)),
    ("2014-12-31T23:59:59.999999Z", QUARANTINED),
    ("2015-01-01T00:00:00+00:01", QUARANTINED),
    ("2025-03-15T23:59:59Z", datetime(2025, 3, 15, 23, 59, 59)),
    ("2025-03-16T00:00:00Z", QUARANTINED),
    ("2025-03-15T23:59:59-01:00", QUARANTINED),
    ("0001-01-01T00:00:00Z", QUARANTINED),  # Go's zero time
    ("0000-00-00T00:00:00Z", QUARANTINED),
    ("1970-01-01T00:00:00Z", QUARANTINED),
    (0, QUARANTINED),
    (-1, QUARANTINED),
    (1741953600123456, QUARANTINED),  # microseconds
    (20250314, QUARANTINED),
    (1e300, QUARANTINED),
    (2**63 - 1, QUARANTINED),
    # no such time
    ("2025-02-29T12:00:00Z", QUARANTINED),
    ("2025-13-01T12:00:00Z", QUARANTINED),
    ("2025-03-14T24:00:00Z", QUARANTINED),
    ("2025-03-14T12:60:00Z", QUARANTINED),
    ("2025-03-14T10:00:60Z", QUARANTINED),  # was taken for 10:01:00
    ("2025-03-14T10:00:60.5+01:00", QUARANTINED),
    ("2025-03-14 10:00:60", QUARANTINED),
    ("2025-03-14T10:00:99Z", QUARANTINED),
    ("2025-03-14T12:00:00+24:00", QUARANTINED),
    ("2025-03-14T12:00:00+05:60", QUARANTINED),
    # other text
    ("2025-03-14", QUARANTINED),
    ("14/03/2025", QUARANTINED),
    ("March 14, 2025", QUARANTINED),
    ("2025-3-14T12:00:00Z", QUARANTINED),
    ("2025-03-14T12:00:00 UTC", QUARANTINED),
    ("2025-03-14T12:00:00Z[UTC]", QUARANTINED),
    ("2025-03-14T12:00:00ZZ", QUARANTINED),
    ("2025-03-14T12:00:00.Z", QUARANTINED),
    ("２０２５-03-14T12:00:00Z", QUARANTINED),
    ("NaN", QUARANTINED),
    ("now", QUARANTINED),
    (True, QUARANTINED),
    ([], QUARANTINED),
    ({"seconds": 1741953600}, QUARANTINED),
]


@pytest.mark.parametrize(("value", "expected"), TIMESTAMPS, ids=repr)
def test_timestamps(value: Any, expected: Any) -> None:
    assert read("timestamp", value) == expected


@pytest.mark.parametrize(
    ("written", "kind", "expected"),
    [
        ("9007199254740993.0", "id", "9007199254740993"),
        ("9007199254740993.0", "count", 2**53 + 1),
        ("9.007199254740993e15", "id", "9007199254740993"),
        ("9223372036854775807.0", "count", 2**63 - 1),
        ("9223372036854775808.0", "count", QUARANTINED),
        ("9007199254740993.5", "count", QUARANTINED),
        ("9007199254740993.5", "seconds", 9007199254740994.0),
        ("1e300", "seconds", 1e300),
        ("1e999", "seconds", QUARANTINED),
        (f"1e{'9' * 20}", "seconds", QUARANTINED),
        ("1e22", "id", "1" + "0" * 22),
        ("5.0", "id", "5"),
    ],
)
def test_a_number_in_json_is_read_to_its_last_digit(written: str, kind: LogicalType, expected: Any) -> None:
    assert read(kind, parse_json(written.encode())) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025-03-14", date(2025, 3, 14)),
        (" 2025-03-14 ", date(2025, 3, 14)),
        ("2025-03-14T00:00:00.000Z", date(2025, 3, 14)),  # captured
        ("2025-03-14T05:30:00+05:30", date(2025, 3, 14)),
        ("2025-03-14T02:00:00+05:30", date(2025, 3, 13)),
        ("2025-03-14T23:30:00-05:00", date(2025, 3, 15)),
        (1741953600, date(2025, 3, 14)),
        ("2015-01-01", date(2015, 1, 1)),
        ("2025-03-15", date(2025, 3, 15)),
        ("2025-03-16", QUARANTINED),
        ("2014-12-31", QUARANTINED),
        ("2025-02-30", QUARANTINED),
        ("20250314", QUARANTINED),
        ("2025-3-14", QUARANTINED),
        ("14.03.2025", QUARANTINED),
        ("", QUARANTINED),
        ("null", QUARANTINED),
        (None, QUARANTINED),
        (14, QUARANTINED),
        (True, QUARANTINED),
        ([], QUARANTINED),
        ({}, QUARANTINED),
    ],
    ids=repr,
)
def test_days(value: Any, expected: Any) -> None:
    assert read("day", value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("97440c6b-140b-40a9-9499-b23fd7a3868a", "97440c6b-140b-40a9-9499-b23fd7a3868a"),
        ("a", "a"),
        (" a ", " a "),
        ("null", "null"),
        ("x" * 256, "x" * 256),
        ("😀" * 256, "😀" * 256),
        ("..", ".."),
        ("'; DROP TABLE core.livestreams; --", "'; DROP TABLE core.livestreams; --"),
        (5, "5"),
        (5.0, "5"),
        (-5, "-5"),
        (2**63 - 1, str(2**63 - 1)),
        ("x" * 257, QUARANTINED),
        ("", QUARANTINED),
        (None, QUARANTINED),
        ("a\nb", QUARANTINED),
        ("a\x00b", QUARANTINED),
        ("\x7f", QUARANTINED),
        ("\x9b31m", QUARANTINED),
        (5.5, QUARANTINED),
        (1e22, QUARANTINED),
        (True, QUARANTINED),
        ([], QUARANTINED),
        ({"id": "a"}, QUARANTINED),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_ids(value: Any, expected: Any) -> None:
    assert read("id", value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Matinée 😀", "Matinée 😀"),
        ("", ""),
        (" ", " "),
        ("null", "null"),
        ("a\x00b\n\x1b[31m", "a\x00b\n\x1b[31m"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("x" * 100_000, "x" * 100_000),
        (2024, "2024"),
        (1.5, "1.5"),
        (None, None),
        (True, QUARANTINED),
        ([], QUARANTINED),
        ({"en": "x"}, QUARANTINED),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_texts(value: Any, expected: Any) -> None:
    assert read("text", value) == expected


def test_a_missing_field_is_null_or_rejected() -> None:
    fields = split_fields(["{}"], ["x"])
    for kind in READ_KINDS:
        taken = value_of(kind, "x", NOW.date())
        ((value, reason),) = fields.select(taken.alias("v"), reason_not_taken(kind, "x", taken).alias("r")).iter_rows()
        assert value is None
        assert (reason is not None) == (kind in {"id", "day"})


UGLY: list[Any] = [value for value, _ in NUMBERS + FLAGS + TIMESTAMPS] + [
    "a\x00b",
    "\u202e",
    "x" * 300,
    [[]],
    2**53 + 1,
]
json_values = st.sampled_from(UGLY) | st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.from_regex(r"\A[-+ 0-9.eETZ:]{0,30}\Z"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("kind", READ_KINDS)
@settings(deadline=None, max_examples=8)
@given(values=st.lists(json_values, min_size=1, max_size=40))  # a frame costs more than the values in it
@example(values=UGLY)
def test_taken_null_or_reason_exactly_one(kind: LogicalType, values: list[Any]) -> None:
    values = [parse_json(json.dumps(value).encode()) for value in values]  # as the client hands them on
    for value, (taken, reason) in zip(values, read_all(kind, values), strict=True):
        is_null_text = value is None or (isinstance(value, str) and kind != "text" and value.strip() in {"", "null"})
        may_be_null = is_null_text and kind not in {"id", "day"}
        assert (taken is not None) + (reason is not None) + may_be_null == 1, (kind, value, taken, reason)
        if isinstance(value, dict | list):
            assert reason is not None
        if kind in {"seconds", "minutes"} and taken is not None:
            assert taken == abs(float(value))
        if kind == "count" and isinstance(value, int) and taken is not None:
            assert taken == value


@pytest.mark.parametrize("kind", READ_KINDS)
def test_a_value_is_read_alike_alone_and_among_others(kind: LogicalType) -> None:
    # polars guesses a type from what it sees first: 150 integers, then 1.5, was Int64 and 1.
    together = read_all(kind, UGLY)
    for number in range(0, len(UGLY), 5):
        assert read_all(kind, [UGLY[number]]) == [together[number]]
    assert read_all(kind, UGLY[::-1]) == together[::-1]


def test_150_integers_then_a_fraction() -> None:
    assert [value for value, _ in read_all("seconds", [1] * 150 + [1.5])][-1] == 1.5


def test_no_values_at_all() -> None:
    for kind in READ_KINDS:
        assert read_all(kind, []) == []
    assert split_fields([], ["a"]).schema["a"] == pl.String
