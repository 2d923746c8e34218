"""A change to a table or to a normalization rule must raise the version that older programs and older homes compare."""

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any

import polars as pl

from pipelines.catalog.files import RAW_FILE, WAREHOUSE_FILE
from pipelines.catalog.raw import RAW_LIVESTREAM_DAYWISE, SESSION_COUNTS
from pipelines.catalog.streams import CORE_TABLES, stream_of
from pipelines.catalog.types import LogicalType, Table
from pipelines.normalize.fingerprint import RULES_VERSION
from pipelines.normalize.resolve import normalize
from pipelines.normalize.shrinks import Sums
from pipelines.storage.migrations import SCHEMA_VERSION

NOW = datetime(2025, 3, 12, 4, 30)
DAY = date(2025, 3, 10)
RETENTION_DAYS = 180

USUAL: dict[LogicalType, Any] = {
    "seconds": 100.25,
    "minutes": 60.5,
    "count": 7,
    "flag": False,
    "timestamp": "2025-03-10T10:00:00Z",
    "day": f"{DAY}",
    "id": "key",
    "text": "text",
}
VALUES: tuple[Any, ...] = (
    *(
        None,
        "",
        " ",
        "null",
        "NULL",
        0,
        1,
        -1,
        1.5,
        4.0,
        "4",
        "4.0",
        "531",
        " 531.0 ",
        "1e3",
        "1e999",
        "NaN",
        "inf",
        "-0",
    ),
    *(True, False, "true", "No", "YES", "disabled", "Enabled", "2", 2**53 + 1, 2**63 - 1, 2**63, "9223372036854775808"),
    *([], {}, [1], {"a": 1}, "x" * 256, "x" * 257, "a\x07b", "\u200b", " padded ", "é", "n/a"),
    *("2025-03-10", "2025-03-10T23:59:59.9Z", "2025-03-10T23:59:59.999999999+05:30", "2025-03-10T01:00:00+0530"),
    *(
        "2025-03-10 10:00:00",
        "2025-02-30T00:00:00Z",
        "2014-12-31T23:59:59Z",
        "2015-01-01T00:00:00Z",
        "2025-03-14T00:00:00Z",
    ),
    *(1741600000, 1741600000000, "1741600000", 1741600000.5, -1741600000),
)
"""Values of a field: accepted, null and rejected ones of every logical type."""

CHANGES: tuple[dict[str, Any], ...] = (
    *(
        {"measures": 0},
        {"measures": None},
        {"measures": 50},
        {"measures": 99.9},
        {"measures": 200},
        {"measures": "n/a"},
    ),
    *({"timestamps": None}, {"timestamps": "2025-03-09T08:00:00Z"}, {"timestamps": 1741696400}, {"stopped_time": None}),
    *({"err_message": "failed"}, {"err_message": ""}, {"err_message": "failed", "stopped_time": None, "measures": 0}),
    *({"started_time": None, "stopped_time": None}, {"stopped_time": None, "measures": 0}, {"livestream_id": None}),
)
"""Newer versions of a record, by field, or of all its measures or timestamps."""


RULES_DIGESTS = {
    "core.livestreams": "fbac745ea678",
    "core.livestream_analytics_daily": "7f4a1a9e5fc3",
    "core.meeting_sessions_daily": "7a518da471db",
    "core.recordings_daily": "8d02ff73dfef",
    "core.livestream_sessions": "43b3896fb8c1",
    "session_count": "873736baa687",
}
"""Digests of the rows, rejects and shrinks that the rules give for the records below."""


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]


def test_the_schema_version_is_raised_with_the_tables() -> None:
    tables = {
        table.full_name: (table.key, table.unique, [(column.name, column.logical_type) for column in table.columns])
        for table in (*RAW_FILE, *WAREHOUSE_FILE)
    }
    # Another digest: raise SCHEMA_VERSION, once for each release, then note the digest here.
    assert (SCHEMA_VERSION, digest(repr(sorted(tables.items())))) == (4, "6283a718216d")


def usual_record(table: Table) -> dict[str, Any]:
    return {column.source_field: USUAL[column.logical_type] for column in table.columns if column.source_field}


def changed(table: Table, record: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    record = dict(record)
    for column in table.columns:
        if column.source_field in change:
            record[column.source_field] = change[column.source_field]
        elif column.source_field and column.is_measure and "measures" in change:
            record[column.source_field] = change["measures"]
        elif column.source_field and column.logical_type == "timestamp" and "timestamps" in change:
            record[column.source_field] = change["timestamps"]
    return record


def histories(table: Table) -> Iterator[list[Any]]:
    """Payloads of one record each, oldest first."""
    usual = usual_record(table)
    no_records: tuple[Any, ...] = (None, [], 5, "text", {}, usual | {"unknown": "field"})
    yield from ([value] for value in no_records)
    for field in usual:
        yield [{name: value for name, value in usual.items() if name != field}]
        yield from ([usual | {field: value}] for value in VALUES)
    for change in CHANGES:
        newer = changed(table, usual, change)
        yield from ([usual, newer], [newer, usual], [usual, newer, None], [usual, None, newer], [usual, newer, usual])


def raw_rows(table: Table, raw_table: Table) -> pl.DataFrame:
    rows = []
    id_field = next((column.source_field for column in table.columns if column.name == table.key[-1]), None)
    for number, payloads in enumerate(histories(table)):
        day = DAY - timedelta(days=number % 400) if table.is_daily else DAY
        for version, payload in enumerate(payloads):
            named = payload
            if isinstance(payload, dict) and id_field and payload.get(id_field) == USUAL["id"]:
                named = payload | {id_field: f"key {number}"}
            at = NOW - timedelta(hours=len(payloads) - version)
            rows.append(
                {
                    "app_id": f"app {number // 400}",
                    "day": day if version != 1 or table.is_daily else day - timedelta(days=1),
                    "livestream_id": f"requested {number}" if number % 3 else None,
                    "payload": json.dumps(named, sort_keys=True),
                    "first_fetched_at": at,
                    "fetched_at": at,
                    "run_id": f"run {version}",
                    "arrival": version if number % 5 else None,
                }
            )
    schema = {name: kind for name, kind in raw_table.polars_schema.items() if name in rows[0]}
    return pl.DataFrame(rows, schema_overrides=schema).select(list(schema))


def normalized(table: Table, raw_table: Table) -> list[Any]:
    raw = raw_rows(table, raw_table)
    session_sums = {
        (DAY - timedelta(days=n), name): Sums(50.0, 50.0, 51.0) for n in range(0, 400, 2) for name in table.measures
    }
    found: list[Any] = []
    for of_app in raw.partition_by("app_id", maintain_order=True):
        made = normalize(table, of_app, now=NOW, retention_days=RETENTION_DAYS, session_sums=session_sums)
        # Without the reasons: they are prose.
        frames = (made.rows, made.rejects.drop("reason"), made.shrinks.drop("reason"), made.superseded)
        found += [[sorted(map(repr, frame.rows())) for frame in frames], made.received, made.duplicates]
    return found


def test_the_rules_version_is_raised_with_the_rules() -> None:
    tables = {table.full_name: (table, stream_of(table).raw) for table in CORE_TABLES}
    tables["session_count"] = (SESSION_COUNTS, RAW_LIVESTREAM_DAYWISE)
    found = {name: digest(repr(normalized(*pair))) for name, pair in tables.items()}
    # Another digest: rows of this table can differ, so raise RULES_VERSION, then note the digest here.
    assert (RULES_VERSION, found) == (4, RULES_DIGESTS)
