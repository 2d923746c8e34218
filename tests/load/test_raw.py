"""Records landed raw: every distinct version once, and what extraction knows committed with them."""

import json
import re
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from pipelines.catalog.core import MEETING_SESSIONS_DAILY
from pipelines.catalog.ops import LIVESTREAM_SYNC
from pipelines.catalog.raw import RAW_APP_ANALYTICS, RAW_LIVESTREAM_SESSIONS, RAW_LIVESTREAMS
from pipelines.catalog.streams import stream_of
from pipelines.catalog.types import Table
from pipelines.load import livestream_sync, raw_changes, raw_tables
from pipelines.load import raw_versions as versions
from pipelines.load.loaded_days import to_frame
from pipelines.normalize.raw_frames import (
    field_types,
    raw_day_entries,
    raw_livestreams,
    raw_sessions,
)
from pipelines.normalize.record import read_record
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.warehouse import Warehouse

NOW = datetime(2025, 3, 14, 15, 9, 26)
HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)
DAY = date(2025, 3, 10)


def session(id_: Any, day: date | None = DAY, **fields: Any) -> dict[str, Any]:
    return {"id": id_, "created_at": f"{day}T10:00:00Z" if day else None, **fields}


def frame_of(records: list[Any], at: datetime = NOW, run_id: str = "run", app_id: str = "app") -> pl.DataFrame:
    count = len(records)
    return raw_sessions(
        [read_record(record) for record in records],
        app_id=app_id,
        livestream_ids=["l"] * count,
        fetched_at=[at] * count,
        run_id=run_id,
    )


def sync_row(at: datetime = NOW, *, complete: bool = True, livestream_id: str = "l") -> pl.DataFrame:
    row = {"app_id": "app", "livestream_id": livestream_id, "synced_at": at, "complete": complete}
    return pl.DataFrame([row | {"upstream_updated_at": NOW - A_DAY}], schema=dict(LIVESTREAM_SYNC.polars_schema))


def land(
    store: Warehouse,
    frame: pl.DataFrame,
    *,
    table: Table = RAW_LIVESTREAM_SESSIONS,
    synced: pl.DataFrame | None = None,
) -> tuple[int, int]:
    types = field_types(table, [read_record(json.loads(payload)) for payload in frame["payload"]], NOW)
    with store.open_raw() as connection:
        landed = versions.land(connection, table, frame, types, synced)
        new = sum(landed.new_by_app.values())
        return new, frame.height - new


def held(store: Warehouse, columns: str = "payload, first_fetched_at, fetched_at, run_id") -> list[tuple[Any, ...]]:
    with store.open_raw() as connection:
        return connection.execute(f"SELECT {columns} FROM raw.livestream_sessions").fetchall()


def test_landed_twice_is_landed_once(store: Warehouse) -> None:
    records = [session("a"), session("b"), {"no": "id"}, None, 5]
    assert land(store, frame_of(records)) == (5, 0)
    assert land(store, frame_of(records, NOW + HOUR, "run2")) == (0, 5)
    rows = held(store)
    assert len(rows) == 5
    assert {(first, last, run_id) for _, first, last, run_id in rows} == {(NOW, NOW + HOUR, "run2")}
    assert [json.loads(payload) for payload, *_ in rows] == records


def test_received_is_new_and_repeated(store: Warehouse) -> None:
    a, b = session("a"), session("b")
    assert land(store, frame_of([a, b, a, a])) == (2, 2)
    assert land(store, frame_of([a, a, session("c")])) == (1, 2)
    assert land(store, frame_of([])) == (0, 0)


def test_a_then_b_then_a(store: Warehouse) -> None:
    a, b = session("s", viewer_seconds=1), session("s", viewer_seconds=2)
    for hours, record in enumerate([a, b, a]):
        land(store, frame_of([record], NOW + hours * HOUR))
    by_payload = {json.loads(payload)["viewer_seconds"]: (first, last) for payload, first, last, _ in held(store)}
    assert by_payload == {1: (NOW, NOW + 2 * HOUR), 2: (NOW + HOUR, NOW + HOUR)}


def test_the_same_id_in_two_apps_is_two_records(store: Warehouse) -> None:
    land(store, frame_of([session("a")]))
    assert land(store, frame_of([session("a")], app_id="other")) == (1, 0)


def test_what_was_landed_before_its_key_was_noted_is_found(store: Warehouse) -> None:
    records = [session("a"), session("b"), {"no": "id"}]
    land(store, frame_of(records))
    with store.open_raw() as connection:
        connection.execute("UPDATE raw.livestream_sessions SET key_digest = NULL")
    assert land(store, frame_of([*records, session("c")], NOW + HOUR)) == (1, 3)
    assert {row for (row,) in held(store, "key_digest IS NULL")} == {False}


def test_keys_that_read_alike_are_two_records(store: Warehouse) -> None:
    land(store, frame_of([{"viewer_seconds": 1}], app_id="app"))
    same_text = [({"viewer_seconds": 1}, "app|a"), (session("b|c"), "a"), (session("c"), "a|b")]
    assert [land(store, frame_of([record], app_id=app_id)) for record, app_id in same_text] == [(1, 0)] * 3


UGLY_TEXT = [
    "ü😀",
    "a\x00b",
    "\u202e",
    "'; DROP TABLE raw.livestream_sessions; --",
    '"\\',
    "x" * 100_000,
    "\x1b[31m",
    "",
]


@pytest.mark.parametrize("text", UGLY_TEXT, ids=lambda text: repr(text)[:30])
def test_what_landed_reads_back_as_sent(text: str, store: Warehouse) -> None:
    record = session("s", name=text, nested={text: [text, 2**63 - 1, 0.1, None, True]})
    land(store, frame_of([record]))
    ((payload,),) = held(store, "payload")
    assert json.loads(payload) == record
    with store.open_raw() as connection:
        (read,) = raw_tables.read_versions_of_days(
            connection, RAW_LIVESTREAM_SESSIONS, "app", [DAY], stats=None
        ).to_dicts()
    assert json.loads(read["payload"]) == record


def test_a_landing_that_fails_changes_nothing(store: Warehouse) -> None:
    land(store, frame_of([session("a")]), synced=sync_row())
    torn = sync_row(NOW + HOUR).with_columns(pl.lit("not a time").alias("synced_at"))
    with pytest.raises(duckdb.Error):
        land(store, frame_of([session("a"), session("b")], NOW + HOUR), synced=torn)
    assert held(store, "session_id, fetched_at") == [("a", NOW)]
    with store.open_raw() as connection:
        assert livestream_sync.read_sync(connection, "app")["synced_at"].to_list() == [NOW]
        counted = connection.execute("SELECT sum(records) FROM ops.field_types WHERE field = 'id'").fetchall()
        assert counted == [(1,)]


def test_types_seen_add_up(store: Warehouse) -> None:
    land(store, frame_of([session("a"), session(5)]))
    land(store, frame_of([session("b")]))
    with store.open_raw() as connection:
        query = "SELECT json_type, records FROM ops.field_types WHERE field = 'id' ORDER BY ALL"
        assert connection.execute(query).fetchall() == [("number", 1), ("string", 2)]


def test_versions_of_days_bring_every_version_of_the_record(store: Warehouse) -> None:
    land(store, frame_of([session("moved"), session("still"), session("other", DAY + A_DAY), session("none", None)]))
    land(store, frame_of([session("moved", DAY + A_DAY)], NOW + HOUR))
    land(store, frame_of([session("moved")], app_id="other"))

    def ids(*days: date | None) -> list[str]:
        with store.open_raw() as connection:
            read = raw_tables.read_versions_of_days(connection, RAW_LIVESTREAM_SESSIONS, "app", days, stats=None)
        return sorted(read["session_id"].to_list())

    assert ids(DAY) == ["moved", "moved", "still"]
    assert ids(DAY + A_DAY) == ["moved", "moved", "other"]
    assert ids(None) == ["none"]
    assert ids(None, DAY, DAY + A_DAY) == ["moved", "moved", "none", "other", "still"]
    assert ids() == []


def test_the_versions_of_a_day_are_read_without_the_history(warehouse: FileWarehouse, tmp_path: Path) -> None:
    seen = tmp_path / "profile.json"
    with warehouse.open_raw() as connection:
        connection.execute(
            """INSERT INTO raw.livestream_sessions BY NAME
            SELECT 'app' AS app_id, i::VARCHAR AS session_id, DATE '2024-01-01' + (i // 1000)::INT AS day, '{}' AS payload,
                false AS days_differ
            FROM range(400_000) AS series (i)"""
        )
        connection.execute(f"SET enable_profiling = 'json'; SET profiling_output = '{seen}'")
        days = [date(2024, 3, 1), None]
        read = raw_tables.read_versions_of_days(connection, RAW_LIVESTREAM_SESSIONS, "app", days, stats=None)
        connection.execute("RESET enable_profiling")
    assert read.height == 1000
    scanned = [int(rows) for rows in re.findall(r'"(?:operator_)?rows_scanned": (\d+)', seen.read_text())]
    assert 0 < sum(scanned) < 250_000, "a row group or two, of 122,880 rows each"


def test_parts_of_daywise_are_distinguished(store: Warehouse) -> None:
    for stats, total in (("session_stats", 1), ("recording_stats", 2)):
        entry = {"day": f"{DAY}", "total": total}
        frame = raw_day_entries(
            stream_of(MEETING_SESSIONS_DAILY),
            [read_record(entry)],
            [DAY],
            omitted_is_zero=True,
            stats=stats,
            app_id="app",
            fetched_at=NOW,
            run_id="run",
        )
        land(store, frame, table=RAW_APP_ANALYTICS)
    with store.open_raw() as connection:
        read = raw_tables.read_versions_of_days(connection, RAW_APP_ANALYTICS, "app", [DAY], stats="recording_stats")
        assert [json.loads(payload)["total"] for payload in read["payload"]] == [2]
        assert raw_tables.rows_by_day(connection, RAW_APP_ANALYTICS, "app", [DAY, None], stats=None) == {
            DAY: 2,
            None: 0,
        }


def test_livestreams_are_read_some_at_a_time_and_as_last_listed(store: Warehouse) -> None:
    for hours in range(3):
        records = [{"id": "a", "name": hours}, {"id": "b"}, {"name": hours}]
        frame = raw_livestreams(
            [read_record(record) for record in records], app_id="app", fetched_at=NOW + hours * HOUR, run_id="run"
        )
        land(store, frame, table=RAW_LIVESTREAMS)
    land(
        store,
        raw_livestreams([read_record(record) for record in records], app_id="other", fetched_at=NOW, run_id="run"),
        table=RAW_LIVESTREAMS,
    )
    with store.open_raw() as connection:
        assert raw_tables.count_livestreams(connection, "app") == [("a", 3), ("b", 1), (None, 3)]
        assert raw_tables.read_livestreams(connection, "app", ["b", None]).height == 4
        listed = raw_tables.read_listed(connection, "app")
        middle = pl.DataFrame({"livestream_id": ["a"], "payload": ['{"id":"a","name":1}']})
        raw_tables.purge_livestream_versions(connection, "app", middle)
        assert raw_tables.count_livestreams(connection, "app") == [("a", 2), ("b", 1), (None, 3)]
        assert raw_tables.count_livestreams(connection, "other") == [("a", 1), ("b", 1), (None, 1)]
    assert sorted(listed["payload"]) == ['{"id":"a","name":2}', '{"id":"b"}']


@pytest.mark.parametrize(
    ("synced", "vanished"),
    [
        (sync_row(NOW + HOUR), ["gone"]),
        (sync_row(NOW + HOUR, complete=False), []),
        (sync_row(NOW - A_DAY), ["gone"]),  # by a clock that is behind
        (sync_row(NOW + HOUR, livestream_id="another"), []),
    ],
)
def test_sessions_no_longer_returned(synced: pl.DataFrame, vanished: list[str], store: Warehouse) -> None:
    land(store, frame_of([session("gone"), session("here"), {"created_at": f"{DAY}T10:00:00Z"}]), synced=sync_row())
    land(store, frame_of([session("here")], NOW + HOUR), synced=synced)
    with store.open_raw() as connection:
        shrinks = raw_changes.sessions_missing_upstream(connection, to_frame([("app", DAY)]), "run")
        assert shrinks["record_id"].to_list() == vanished
        others = to_frame([("app", DAY + A_DAY), ("other", DAY)])
        assert raw_changes.sessions_missing_upstream(connection, others, "run").is_empty()


def test_forgetting_is_of_these_days_of_this_app_and_of_what_came_before(store: Warehouse) -> None:
    land(store, frame_of([session("old"), session("later", DAY + A_DAY), session("again"), session("dayless", None)]))
    land(store, frame_of([session("old")], app_id="other"))
    land(store, frame_of([session("again")], NOW + HOUR))
    with store.open_raw() as connection:
        raw_tables.purge_before(connection, RAW_LIVESTREAM_SESSIONS, "app", [DAY], 2)
    assert sorted(held(store, "app_id, session_id")) == [
        ("app", "again"),
        ("app", "dayless"),
        ("app", "later"),
        ("other", "old"),
    ]


def test_a_backfill_goes_on_until_it_has_ended(store: Warehouse) -> None:
    with store.open_raw() as connection:

        def begin(now: datetime, *, is_full: bool = False, last: date = DAY, apps: str = "a") -> int | None:
            return raw_tables.begin_backfill(connection, apps, DAY, last, is_full=is_full, now=now)

        assert begin(NOW) is None
        assert begin(NOW + HOUR) == 0
        assert begin(NOW + HOUR, is_full=True) is None
        assert begin(NOW + HOUR, last=DAY + A_DAY) is None
    land(store, frame_of([session("a")]))
    with store.open_raw() as connection:
        assert begin(NOW + HOUR, apps="b") is None
        assert begin(NOW + HOUR, apps="b") == 1
        raw_tables.end_backfill(connection, "b", DAY, DAY, is_full=False)
        assert begin(NOW + HOUR) == 0, "the same days of another app are another backfill"
        assert begin(NOW + 3 * A_DAY + HOUR) is None, "left for too long"
        raw_tables.end_backfill(connection, "a", DAY, DAY, is_full=False)
        assert begin(NOW + 4 * A_DAY) is None
