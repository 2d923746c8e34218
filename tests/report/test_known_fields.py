"""The check known_fields: new fields and types, and those that stopped coming, but no harmless changes."""

import pytest

from tests.report.conftest import FileWarehouse
from tests.report.test_checks import RAW, at, loads, offenders, seen


@pytest.mark.parametrize("table", RAW)
def test_a_new_field_is_reported_once_and_not_on_the_first_load(warehouse: FileWarehouse, table: str) -> None:
    check = f"{table}__known_fields"
    loads(warehouse, table, 100)
    seen(warehouse, table, "id", "string", 100, 0, 0)
    assert offenders(warehouse, check) == []
    loads(warehouse, table, 100, 100)
    seen(warehouse, table, "status", "string:OFFLINE", 1, 1, 1)
    assert [row["json_type"] for row in offenders(warehouse, check)] == ["string:OFFLINE"]
    loads(warehouse, table, 100, 100, 100)
    warehouse.connection.execute("UPDATE ops.field_types SET last_seen_at = ? WHERE field = 'id'", [at(2)])
    assert offenders(warehouse, check) == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("json_type", "records", "received", "last", "is_missed"),
    [
        ("number", 500, 10, 4, True),  # every record had it, ten do not
        ("number", 250, 10, 4, False),  # one in two had it: ten without it are no surprise
        ("number", 250, 40, 4, True),  # forty are
        ("number", 500, 10, 0, True),
        ("null", 5, 400, 4, False),
        ("string:IDLE", 400, 40, 4, True),  # and no other status either
        ("string:OFFLINE", 400, 40, 4, True),
        ("string:LIVE", 40, 400, 4, False),  # at night nobody may be on air
    ],
)
def test_a_missing_type_is_reported_only_where_its_absence_is_significant(
    warehouse: FileWarehouse, json_type: str, records: int, received: int, last: int, *, is_missed: bool
) -> None:
    loads(warehouse, "raw.livestreams", 100, 100, 100, 100, 100, received)
    seen(warehouse, "raw.livestreams", "id", "string", 500 + received, 0, 5)
    seen(warehouse, "raw.livestreams", "status", json_type, records, 0, last)
    rows = offenders(warehouse, "raw.livestreams__known_fields")
    assert [row["what"] for row in rows] == (["stopped coming"] if is_missed else [])


@pytest.mark.long
@pytest.mark.parametrize(
    ("known", "now", "reported"),
    [
        # a field without a value gets one, or loses it; a stream goes on air or off
        ("null", "string", []),
        ("null", "number", []),
        ("null", "boolean", []),
        ("string:LIVE", "string:IDLE", []),
        ("string:IDLE", "string:INVOKED", []),
        # drift
        ("null", "object", [("new", "object")]),
        ("null", "array", [("new", "array")]),
        ("number", "string", [("new", "string"), ("stopped coming", "number")]),
        ("string", "null", [("stopped coming", "string")]),
        ("string:LIVE", "string:OFFLINE", [("new", "string:OFFLINE")]),
        ("string:OFFLINE", "string:IDLE", [("stopped coming", "string:OFFLINE")]),
        ("string:LIVE", "null", [("stopped coming", "string:LIVE")]),
    ],
)
def test_harmless_changes_of_a_value_are_no_drift(
    warehouse: FileWarehouse, known: str, now: str, reported: list[tuple[str, str]]
) -> None:
    loads(warehouse, "raw.livestreams", 100, 100, 100)
    seen(warehouse, "raw.livestreams", "id", "string", 300, 0, 2)
    seen(warehouse, "raw.livestreams", "status", known, 200, 0, 1)
    seen(warehouse, "raw.livestreams", "status", now, 100, 2, 2)
    found = offenders(warehouse, "raw.livestreams__known_fields")
    assert [(row["what"], row["json_type"]) for row in found] == reported


def test_a_null_beside_a_known_type_is_no_drift_and_a_new_field_is(warehouse: FileWarehouse) -> None:
    loads(warehouse, "raw.livestreams", 100, 100)
    seen(warehouse, "raw.livestreams", "name", "string", 150, 0, 1)
    seen(warehouse, "raw.livestreams", "name", "null", 50, 1, 1)
    assert offenders(warehouse, "raw.livestreams__known_fields") == []
    seen(warehouse, "raw.livestreams", "surprise", "null", 100, 1, 1)
    assert [row["field"] for row in offenders(warehouse, "raw.livestreams__known_fields")] == ["surprise"]


def test_what_stopped_coming_is_normal_after_seven_loads(warehouse: FileWarehouse) -> None:
    seen(warehouse, "raw.livestreams", "id", "string", 1000, 0, 9)
    seen(warehouse, "raw.livestreams", "name", "string", 200, 0, 1)
    counts = []
    for runs in range(3, 11):
        warehouse.connection.execute("DELETE FROM ops.loads")
        loads(warehouse, "raw.livestreams", *[100] * runs)
        warehouse.connection.execute(
            "UPDATE ops.field_types SET records = ?, last_seen_at = ? WHERE field = 'id'",
            [100 * runs, at(runs)],
        )
        counts.append(len(offenders(warehouse, "raw.livestreams__known_fields")))
    assert counts == [1] * 7 + [0]
