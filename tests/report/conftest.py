"""Small warehouses made by hand: whole days go in as the load puts them, marts come out."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from itertools import chain, groupby
from pathlib import Path
from shutil import copyfile
from typing import Any

import duckdb
import polars as pl
import pytest

from pipelines.catalog.core import LIVESTREAM_SESSIONS
from pipelines.catalog.files import WAREHOUSE_FILE
from pipelines.catalog.ops import DAYS
from pipelines.catalog.streams import FACTS
from pipelines.marts.build import Mart, MartBuild, build_mart, build_marts, find_builds, find_marts, split_builds
from pipelines.normalize.derived import add_session_facts
from pipelines.settings.settings import Settings
from pipelines.storage.warehouse import open_warehouse

Row = dict[str, Any]
SESSIONS = "core.livestream_sessions"
NOON = datetime(2026, 1, 1, 12)
DAY = date(2025, 12, 10)
NEXT = DAY + timedelta(days=1)
_COLUMNS = {table.full_name: set(table.column_names) for table in WAREHOUSE_FILE}


class FileWarehouse:
    """A warehouse, in memory or in a file, with a clock that moves on with every load and build."""

    def __init__(
        self,
        path: str | Path = ":memory:",
        now: datetime = NOON,
        *,
        connection: duckdb.DuckDBPyConnection | None = None,
    ) -> None:
        self.connection = connection or duckdb.connect(path, config={"threads": 1})
        self.now = now
        self.marts = {mart.name: mart for mart in find_marts()}
        for schema in ("core", "ops", "marts"):
            self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        if connection is None:
            self.connection.execute(";".join(table.create_sql for table in WAREHOUSE_FILE))
        self.connection.execute("DELETE FROM ops.rates")
        self.insert("ops.rates", *(app_rates(app_id) for app_id in "ab"))

    def tick(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now

    def insert(self, table: str, *rows: Row) -> None:
        for names, alike in groupby(rows, tuple):
            assert set(names) <= _COLUMNS[table]
            values = [list(row.values()) for row in alike]
            marks = ", ".join([f"({', '.join('?' * len(names))})"] * len(values))
            self.connection.execute(
                f"INSERT INTO {table} ({', '.join(names)}) VALUES {marks}", [*chain.from_iterable(values)]
            )

    def load(
        self,
        table: str,
        day: date,
        *rows: Row,
        app_id: str = "a",
        is_known: bool = True,
        unread_livestreams: int | None = None,
        loaded_at: datetime | None = None,
        run_id: str = "run",
    ) -> None:
        """Replace one day of an app, as `load/days.py` does."""
        self.connection.execute(f"DELETE FROM {table} WHERE app_id = ? AND day = ?", [app_id, day])
        if table == SESSIONS:
            rows = add_facts(rows)
        self.insert(table, *({"app_id": app_id, "day": day, "fetched_at": self.now, **row} for row in rows))
        self.connection.execute(
            DAYS.merge_sql(
                "(SELECT $table_name AS table_name, $app_id AS app_id, $day AS day, $rows AS row_count,"
                " $is_known AS is_known, $loaded_at AS loaded_at, $run_id AS run_id, NULL::BIGINT AS arrival,"
                " NULL AS inputs_digest, NULL::BIGINT AS rows_digest)",
                unread_livestreams="$unread_livestreams",
            ),
            {
                "table_name": table,
                "app_id": app_id,
                "day": day,
                "rows": len(rows),
                "is_known": is_known,
                "unread_livestreams": unread_livestreams,
                "loaded_at": loaded_at or self.tick(),
                "run_id": run_id,
            },
        )

    def build(self, mart: str | Mart) -> MartBuild:
        """Build a mart, and before it those it builds on."""
        mart = self.marts[mart] if isinstance(mart, str) else mart
        for other in mart.builds_on:
            self.build(other)
        return build_mart(self.connection, mart, self.tick())

    def build_all(self) -> None:
        """Build every mart, as a run does."""
        for some in split_builds(self.marts.values(), find_builds(self.connection)):
            build_marts(self.connection, some, self.tick())

    def query(self, sql: str) -> list[Row]:
        cursor = self.connection.execute(sql)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def mart(self, name: str) -> list[Row]:
        """Build a mart and read it whole."""
        self.build(name)
        return self.query(f"FROM marts.{name} ORDER BY {', '.join(self.marts[name].grain)}")


def app_rates(app_id: str) -> Row:
    return {"app_id": app_id, "media": "video", "export_rate": 0.010, "participant_rate": 0.002}


def only(rows: list[Row]) -> Row:
    [row] = rows
    return row


def part(row: Row, *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


def session(session_id: str, started: str | None = None, stopped: str | None = None, **more: object) -> Row:
    """A session as the load writes it: invoked ten seconds before it started, fetched when the clock says."""
    started_at, stopped_at = (datetime.fromisoformat(text) if text else None for text in (started, stopped))
    row: Row = {
        "session_id": session_id,
        "livestream_id": "l1",
        "started_at": started_at,
        "stopped_at": stopped_at,
        "invoked_at": started_at and started_at - timedelta(seconds=10),
        "ingest_seconds": (stopped_at - started_at).total_seconds() if started_at and stopped_at else None,
        "viewer_seconds": (stopped_at - started_at).total_seconds() * 2 if started_at and stopped_at else None,
        "is_live": bool(started_at and not stopped_at and not more.get("err_message")),
    }
    return row | more


def add_facts(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Add the facts that the load derives from sessions; what a row says itself stays."""
    types = LIVESTREAM_SESSIONS.polars_schema
    names = ("invoked_at", "started_at", "stopped_at", "updated_at", "err_message")
    read = {name: [row.get(name) for row in rows] for name in names}
    derived = add_session_facts(pl.DataFrame(read, schema={name: types[name] for name in names}))
    return tuple(facts | row for facts, row in zip(derived.rows(named=True), rows, strict=True))


@pytest.fixture(params=["file", pytest.param("lake", marks=pytest.mark.long)])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileWarehouse]:
    if request.param == "file":
        run = FileWarehouse()
        yield run
        run.connection.close()
        return
    lake = Settings(LIVEHOUSE_HOME=tmp_path, LIVEHOUSE_WAREHOUSE=request.getfixturevalue("lake"))  # type: ignore[call-arg]
    with open_warehouse(lake).open_working() as connection:
        yield FileWarehouse(connection=connection)


@pytest.fixture(scope="session")
def made_busy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, datetime]:
    """Two apps over four weeks, in a file: failed, unwatched sessions, some over midnight; marts built."""
    path = tmp_path_factory.mktemp("busy") / "busy.duckdb"
    warehouse = FileWarehouse(path)
    warehouse.connection.begin()
    start = date(2025, 11, 3)
    for number in range(28):
        day = start + timedelta(days=number)
        for app_id in ("a", "b"):
            for table in FACTS:
                if table.full_name == SESSIONS:
                    rows = [
                        session(f"{app_id}{number}-1", f"{day}T10:00:00", f"{day}T11:30:00"),
                        session(f"{app_id}{number}-2", f"{day}T23:00:00", f"{day + timedelta(days=1)}T01:00:00"),
                        session(f"{app_id}{number}-3", err_message="encoder lost"),
                        session(f"{app_id}{number}-4", f"{day}T12:00:00", f"{day}T12:05:00", livestream_id="l2")
                        | {"viewer_seconds": 0.0, "err_message": "network" if number % 5 == 0 else None},
                    ]
                else:
                    figures = [name for name in table.column_names if name not in ("app_id", "day", "fetched_at")]
                    rows = [dict.fromkeys(figures, number)]
                warehouse.load(table.full_name, day, *rows, app_id=app_id)
    for app_id in ("a", "b"):
        for name in ("l1", "l2"):
            warehouse.insert("core.livestreams", {"app_id": app_id, "livestream_id": name, "name": f"Stream {name}"})
    allowance = {"holder_type": "app", "holder": "a", "measure": "viewer_minutes", "included_minutes": 60.0}
    warehouse.insert("ops.allowances", allowance | {"overage_rate": 0.5})
    warehouse.connection.commit()
    warehouse.build_all()
    warehouse.connection.close()
    return path, warehouse.now


@pytest.fixture
def busy(made_busy: tuple[Path, datetime], tmp_path: Path) -> Iterator[FileWarehouse]:
    """That warehouse, to be written to."""
    path, now = made_busy
    copyfile(path, tmp_path / "busy.duckdb")
    run = FileWarehouse(tmp_path / "busy.duckdb", now)
    yield run
    run.connection.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium for all tests of a module."""
    from tests.report.open_page import launched

    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def shown(browser: Any, report: Path) -> Iterator[Any]:
    """The module's report, open for all of its tests."""
    from tests.report.open_page import opened

    with opened(browser, report) as seen:
        yield seen
