"""Whole days swapped, or nothing."""

import json
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.catalog.core import LIVESTREAM_SESSIONS, LIVESTREAMS
from pipelines.catalog.ops import LOADS, SHRINKS
from pipelines.load.days import note_loads, replace_days, replace_livestreams, unfinished_sessions
from pipelines.load.loaded_days import read_loaded_days
from pipelines.normalize.raw_frames import raw_livestreams, raw_sessions
from pipelines.normalize.record import read_record
from pipelines.normalize.resolve import Normalized, normalize
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.warehouse import Warehouse

NOW = datetime(2025, 3, 14, 15, 9, 26)
A_DAY = timedelta(days=1)
DAY = date(2025, 3, 10)


Days = list[date | None]


def session(name: str, day: date = DAY, **fields: Any) -> dict[str, Any]:
    times = {"created_at": f"{day}T10:00:00Z", "started_time": f"{day}T10:00:00Z", "stopped_time": f"{day}T11:00:00Z"}
    return {"id": name, "livestream_id": "l", "ingest_seconds": 60, "viewer_seconds": 90.5, **times, **fields}


def made_of(records: list[Any], days: Days, app_id: str = "app") -> Normalized:
    count = len(records)
    raw = raw_sessions(
        [read_record(record) for record in records],
        app_id=app_id,
        livestream_ids=["l"] * count,
        fetched_at=[NOW] * count,
        run_id="run",
    )
    return normalize(LIVESTREAM_SESSIONS, raw, now=NOW, retention_days=180, days=days)


def swap(
    store: Warehouse,
    records: list[Any],
    days: Days,
    *,
    app_id: str = "app",
    run_id: str = "run",
    shrinks: pl.DataFrame | None = None,
    now: datetime = NOW,
) -> Normalized:
    made = made_of(records, days, app_id)
    with store.open_working() as connection:
        replace_days(
            connection,
            LIVESTREAM_SESSIONS,
            app_id,
            days,
            rows=made.rows,
            rejects=made.rejects,
            shrinks=made.shrinks if shrinks is None else shrinks,
            run_id=run_id,
            now=now,
            retention_days=180,
            arrival=1,
        )
    return made


def query(store: Warehouse, sql: str) -> list[tuple[Any, ...]]:
    with store.open_working() as connection:
        return connection.execute(sql).fetchall()


SESSIONS = "SELECT app_id, session_id, day FROM core.livestream_sessions ORDER BY ALL"
BROKEN = session("broken", viewer_seconds="many")


def test_a_day_holds_what_was_given_however_often(store: Warehouse) -> None:
    for _ in range(3):
        swap(store, [session("a"), session("b"), BROKEN], [DAY])
    assert query(store, SESSIONS) == [("app", "a", DAY), ("app", "b", DAY)]
    assert query(store, "SELECT record_id, field FROM ops.quarantine") == [("broken", "viewer_seconds")]
    assert query(store, "SELECT day, row_count, is_known FROM ops.days") == [(DAY, 2, True)]


def test_other_days_apps_and_tables_are_left_alone(store: Warehouse) -> None:
    swap(store, [session("a"), session("b", DAY + A_DAY), BROKEN], [DAY, DAY + A_DAY])
    swap(store, [session("a"), BROKEN], [DAY], app_id="other")
    swap(store, [], [DAY])
    assert query(store, SESSIONS) == [("app", "b", DAY + A_DAY), ("other", "a", DAY)]
    assert query(store, "SELECT app_id FROM ops.quarantine") == [("other",)]


def test_a_record_that_arrives_whole_leaves_quarantine(store: Warehouse) -> None:
    swap(store, [BROKEN], [DAY])
    swap(store, [session("broken")], [DAY])
    assert query(store, "SELECT * FROM ops.quarantine") == []
    assert query(store, SESSIONS) == [("app", "broken", DAY)]


def test_records_without_a_day(store: Warehouse) -> None:
    swap(store, [{"id": "x"}, None], [None, DAY])
    assert query(store, "SELECT record_id, day FROM ops.quarantine ORDER BY ALL") == [("x", None), (None, None)]
    swap(store, [], [DAY])
    assert len(query(store, "FROM ops.quarantine")) == 2
    swap(store, [], [None])
    assert query(store, "FROM ops.quarantine") == []


def test_a_swap_that_fails_in_the_middle_changes_nothing(store: Warehouse) -> None:
    swap(store, [session("a"), BROKEN], [DAY], run_id="first")
    tables = ("core.livestream_sessions", "ops.quarantine", "ops.shrinks", "ops.days")
    before = [query(store, f"FROM {table}") for table in tables]
    # The last INSERT fails, after the day was deleted and filled again.
    torn = pl.DataFrame({name: ["no day"] for name in SHRINKS.column_names})
    with pytest.raises(duckdb.Error):
        swap(store, [session("b"), session("c")], [DAY], shrinks=torn, run_id="second")
    assert [query(store, f"FROM {table}") for table in tables] == before


def test_rows_of_other_days_are_refused_before_anything_is_deleted(store: Warehouse) -> None:
    swap(store, [session("a")], [DAY])
    made = made_of([session("b", DAY + A_DAY)], [DAY + A_DAY])
    with pytest.raises(AssertionError), store.open_working() as connection:
        replace_days(
            connection, LIVESTREAM_SESSIONS, "app", [DAY], rows=made.rows, rejects=made.rejects, shrinks=made.shrinks,
            run_id="run", now=NOW, retention_days=180, arrival=1,
        )  # fmt: skip
    assert query(store, SESSIONS) == [("app", "a", DAY)]


def test_two_writers_of_a_new_day_do_not_double_it(warehouse: FileWarehouse) -> None:
    made = made_of([session("a")], [DAY])
    with warehouse.keep_open(), warehouse.open_working() as connection:
        other = connection.cursor()
        other.execute("USE pipeline")
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM ops.days").fetchall()
        arguments: dict[str, Any] = {
            "rows": made.rows, "rejects": made.rejects, "shrinks": made.shrinks,
            "run_id": "run", "now": NOW, "retention_days": 180, "arrival": 1,
        }  # fmt: skip
        replace_days(connection, LIVESTREAM_SESSIONS, "app", [DAY], **arguments)
        # what the second one does inside of a transaction that began before the first one's end
        with pytest.raises(duckdb.Error):
            other.execute(
                "INSERT INTO core.livestream_sessions (app_id, day, session_id) VALUES ('app', '2025-03-10', 'a')"
            )
            other.execute(
                "INSERT INTO ops.days (table_name, app_id, day) VALUES ('core.livestream_sessions', 'app', '2025-03-10')"
            )
            other.execute("COMMIT")
        other.close()
    assert query(warehouse, SESSIONS) == [("app", "a", DAY)]


@pytest.mark.parametrize(
    ("age", "is_known"), [(timedelta(days=0), True), (timedelta(days=180), True), (timedelta(days=181), False)]
)
def test_a_day_without_rows_is_zero_only_within_the_retention_of_the_source(
    age: timedelta,
    is_known: bool,  # noqa: FBT001 - a parameter of the test
    store: Warehouse,
) -> None:
    day = NOW.date() - age
    swap(store, [], [day])
    assert query(store, "SELECT row_count, is_known FROM ops.days") == [(0, is_known)]


def test_what_was_known_stays_known(store: Warehouse) -> None:
    swap(store, [], [DAY])
    swap(store, [], [DAY], now=NOW + 400 * A_DAY)
    assert query(store, "SELECT is_known FROM ops.days") == [(True,)]


def test_days_are_sorted(store: Warehouse) -> None:
    swap(store, [session(f"s{n}", DAY + (n * 7 % 5) * A_DAY) for n in range(50)], [DAY + n * A_DAY for n in range(5)])
    days = [day for (day,) in query(store, "SELECT day FROM core.livestream_sessions")]
    assert days == sorted(days)


def test_loaded_days_and_unfinished_livestreams(store: Warehouse) -> None:
    records = [
        session("over"),
        session("on air", livestream_id="m", stopped_time=None),
        session("failed", livestream_id="n", stopped_time=None, err_message="x"),
        session("waiting", livestream_id="o", stopped_time="", started_time=None, err_message=""),
    ]
    swap(store, records, [DAY, None])
    with store.open_working() as connection:
        assert read_loaded_days(connection, LIVESTREAM_SESSIONS, "app") == {DAY}
        assert read_loaded_days(connection, LIVESTREAM_SESSIONS, "other") == set()
        found = unfinished_sessions(connection, ["app", "other"])
    assert (sorted(found["app"]), found["other"]) == ([("m", DAY), ("o", DAY)], [])


def test_livestreams_are_replaced_some_at_a_time(store: Warehouse) -> None:
    def replace(records: list[Any], app_id: str, ids: list[str | None]) -> None:
        raw = raw_livestreams([read_record(record) for record in records], app_id=app_id, fetched_at=NOW, run_id="run")
        made = normalize(LIVESTREAMS, raw, now=NOW, retention_days=180)
        with store.open_working() as connection:
            replace_livestreams(connection, app_id, ids, rows=made.rows, rejects=made.rejects)

    replace([{"id": "a"}, {"id": "b"}, {"id": "c", "name": []}, None], "app", [None, "a", "b", "c"])
    replace([{"id": "a"}, None], "other", [None, "a"])
    swap(store, [BROKEN], [DAY])
    replace([{"id": "a", "name": "new"}], "app", [None, "a"])
    assert query(store, "SELECT app_id, livestream_id, name FROM core.livestreams ORDER BY ALL") == [
        ("app", "a", "new"),
        ("app", "b", None),
        ("other", "a", None),
    ]
    replace([{"id": "c"}], "app", ["c"])
    aside = query(store, "SELECT app_id, table_name FROM ops.quarantine ORDER BY ALL")
    assert aside == [("app", "core.livestream_sessions"), ("other", "core.livestreams")]


def test_the_ledger(store: Warehouse) -> None:
    row = dict.fromkeys(LOADS.column_names) | {"run_id": "r", "rows_received": 3, "started_at": NOW, "note": "a'b"}
    with store.open_working() as connection:
        note_loads(connection, [row])
        note_loads(connection, [row])
    assert query(store, "SELECT run_id, rows_received, started_at, note FROM ops.loads") == [("r", 3, NOW, "a'b")] * 2


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["a\0b", "'", '"', "\u202e", ""]
)


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(texts, st.none() | texts, st.none() | st.floats(0, 1e300), st.none() | st.integers(0, 2**63 - 1)),
        max_size=20,
    )
)
def test_what_landed_reads_back_as_sent(
    store: Warehouse, sent: list[tuple[str, str | None, float | None, int | None]]
) -> None:
    records = [
        session(f"s{n}", livestream_id=name or "l", err_message=message, viewer_seconds=viewed, ingest_seconds=fed)
        for n, (name, message, viewed, fed) in enumerate(sent)
    ]
    made = swap(store, records, [DAY])
    columns = "session_id, livestream_id, err_message, viewer_seconds, ingest_seconds"
    rows = {row[0]: row[1:] for row in query(store, f"SELECT {columns} FROM core.livestream_sessions")}
    rejected = {
        id_: json.loads(payload) for id_, payload in query(store, "SELECT record_id, payload FROM ops.quarantine")
    }
    assert len(rows) + len(rejected) == len(records) == made.received
    for record in records:
        if record["id"] in rejected:
            assert rejected[record["id"]] == record
        else:
            fed = record["ingest_seconds"]
            assert rows[record["id"]] == (
                record["livestream_id"],
                record["err_message"],
                record["viewer_seconds"],
                None if fed is None else float(fed),
            )
