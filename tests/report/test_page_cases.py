"""Warehouses to render: empty, one day, a year, hostile names; and a page of each is small and quick to write."""

import gzip
import json
import re
import time
from collections.abc import Iterable
from datetime import date, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from duckdb import DuckDBPyConnection

from pipelines.catalog.streams import FACTS
from pipelines.marts.build import build_mart, find_marts
from pipelines.normalize.derived import add_session_facts
from pipelines.report.page import write_report
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.frames import read_frame, temporary_view
from tests.parameters import long_except

HOSTILE = (
    "<img src=x onerror=document.title='broken'>",
    "</script><script>document.title='broken'</script>",
    "<!--<script>",
    "line\u2028separator & \"quotes\" 'too'",
    "${document.title='broken'} {{ 7 * 7 }}",
    "\u202egnp.exe",
)
NOW = datetime(2026, 3, 1, 6, 0)
LAST = date(2026, 2, 28)


def make_warehouse(
    directory: Path,
    apps: Iterable[str] = ("main-app", "side-app"),
    *,
    days: int = 60,
    sessions: int = 6,
    streams: int = 20,
    changes: Iterable[str] = (),
) -> Path:
    """Make a warehouse of generated days up to LAST, with `sessions` per day and app; `changes` is SQL run before the marts.

    Every figure is a function of the app, day and session number: the same arguments give the same warehouse.
    """
    target = directory / "warehouse.duckdb"
    target.write_bytes(_made(tuple(apps), days, sessions, streams, tuple(changes)))
    return target


@cache
def _made(apps: tuple[str, ...], days: int, sessions: int, streams: int, changes: tuple[str, ...]) -> bytes:
    with TemporaryDirectory() as directory:
        warehouse = FileWarehouse(Path(directory) / "warehouse.duckdb")
        with warehouse.open_working() as connection:
            for number, app_id in enumerate(apps):
                _fill(connection, {"app": number, "app_id": app_id, "last": LAST, "now": NOW}, days, sessions, streams)
            for change in changes:
                connection.execute(change)
            derive_facts(connection)
            for mart in find_marts():
                build_mart(connection, mart, NOW)
        return warehouse.working.read_bytes()


def write_page_of(published: Path, target: Path) -> Path:
    """Write the page of a published warehouse and return its path."""
    with duckdb.connect(published, read_only=True) as connection:
        return write_report(connection, target)


def derive_facts(connection: DuckDBPyConnection) -> None:
    """Add to every session the columns that the load derives."""
    rows = add_session_facts(read_frame(connection, "FROM core.livestream_sessions"))
    connection.execute("DELETE FROM core.livestream_sessions")
    with temporary_view(connection, "derived_rows", rows):
        connection.execute(
            "INSERT INTO core.livestream_sessions BY NAME SELECT * FROM derived_rows ORDER BY day, session_id"
        )


def _fill(connection: DuckDBPyConnection, bound: dict[str, Any], days: int, sessions: int, streams: int) -> None:
    def run(sql: str) -> None:
        connection.execute(sql, {name: bound[name] for name in re.findall(r"\$(\w+)", sql)})

    run("INSERT INTO ops.rates VALUES ($app_id, 'video', 0.010, 0.002)")
    run(f"""INSERT INTO core.livestreams BY NAME
        SELECT $app_id AS app_id, 'stream-' || n AS livestream_id, CASE WHEN n % 5 > 0 THEN 'Show ' || n END AS name,
            CASE WHEN n % 3 = 0 THEN 'meeting-' || n END AS meeting_id FROM range({streams}) AS numbers(n)""")
    # some sessions run over midnight, some never start, some fail
    run(f"""INSERT INTO core.livestream_sessions BY NAME
        SELECT * EXCLUDE (d, n), day + INTERVAL 23 HOUR * ((n * 37 + d * 11) % 23) / 23 AS created_at,
            created_at AS invoked_at,
            CASE WHEN (n + d) % 11 > 0 THEN created_at + to_milliseconds((7919 * (n + d + 1)) % 40000) END
                AS started_at,
            started_at + to_seconds(ingest_seconds) AS stopped_at,
            CASE WHEN (n + d) % 11 = 0 THEN 'handshake failed' WHEN (n * d) % 17 = 5 THEN 'encoder gone' END
                AS err_message,
            false AS is_live, stopped_at AS updated_at, $now AS fetched_at
        FROM (
            SELECT $app_id AS app_id, 'session-' || d || '-' || n AS session_id, $last - d::INTEGER AS day, d, n,
                'stream-' || ((n * 7 + d * 3) % {streams}) AS livestream_id,
                (600 + (n * 997 + d * 131 + $app * 77) % 9000 + 0.37)::DOUBLE AS ingest_seconds,
                ingest_seconds * ((n * 13 + d * 7) % 40) / (CASE WHEN dayofweek(day) IN (0, 6) THEN 3 ELSE 1 END)
                    AS viewer_seconds
            FROM range({days}) AS day_numbers(d), range({sessions}) AS session_numbers(n)
        )""")
    run("""INSERT INTO core.livestream_analytics_daily BY NAME
        SELECT app_id, day, count(DISTINCT livestream_id) AS livestream_count, sum(ingest_seconds) AS ingest_seconds,
            sum(viewer_seconds) AS viewer_seconds, $now AS fetched_at
        FROM core.livestream_sessions WHERE app_id = $app_id GROUP BY app_id, day""")
    run(f"""INSERT INTO core.meeting_sessions_daily BY NAME
        SELECT $app_id AS app_id, $last - d::INTEGER AS day, d % 9 AS session_count, d % 9 * 31.3 AS session_minutes,
            $now AS fetched_at FROM range({days}) AS numbers(d)""")
    run(f"""INSERT INTO core.recordings_daily BY NAME
        SELECT $app_id AS app_id, $last - d::INTEGER AS day, d % 4 AS recording_count,
            d % 4 * 20.5 AS recording_minutes, $now AS fetched_at FROM range({days}) AS numbers(d)""")
    for table in FACTS:
        run(f"""INSERT INTO ops.days BY NAME
            SELECT '{table.full_name}' AS table_name, app_id, day, count(*) AS row_count, true AS is_known,
                $now AS loaded_at, 'run-1' AS run_id
            FROM {table.full_name} WHERE app_id = $app_id GROUP BY app_id, day""")
        run(f"""INSERT INTO ops.loads BY NAME
            SELECT 'run-1' AS run_id, '{table.full_name}' AS table_name, $app_id AS app_id, min(day) AS first_day,
                $last AS last_day, count(*) AS rows_received, count(*) AS rows_landed, 0 AS rows_quarantined,
                0 AS rows_duplicate, 3 AS api_requests, 0 AS api_retries, $now AS started_at, $now AS finished_at
            FROM {table.full_name} WHERE app_id = $app_id""")


def embedded(page: str, name: str = "figures") -> dict[str, Any]:
    """Return the JSON that a page carries."""
    [text] = re.findall(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)
    found: dict[str, Any] = json.loads(text)
    return found


def escaped(text: str) -> str:
    """Return text as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def named(names: Iterable[str]) -> list[str]:
    """Return changes that give the first livestreams these names, and the first messages too."""
    changes = []
    for number, name in enumerate(names):
        changes.append(f"UPDATE core.livestreams SET name = {escaped(name)} WHERE livestream_id = 'stream-{number}'")
        changes.append(
            f"UPDATE core.livestream_sessions SET err_message = {escaped(name)}"
            f" WHERE err_message <> '' AND livestream_id = 'stream-{number}'"
        )
    return changes


CASES: dict[str, dict[str, Any]] = {
    "nothing": {"apps": ()},
    "one day": {"apps": ("main-app",), "days": 1},
    "two months of two apps": {},
    "hostile names": {"apps": (HOSTILE[0], HOSTILE[1]), "changes": named(HOSTILE)},
    "a year of two apps": {"days": 365, "sessions": 40, "streams": 300},
    "no session ever": {"sessions": 0},
    "twenty apps": {"apps": [f"app-{n}" for n in range(20)], "days": 30, "sessions": 3},
}


@pytest.mark.parametrize("case", long_except(CASES, "hostile names"))
def test_every_case_gives_a_small_page_quickly(case: str, tmp_path: Path) -> None:
    published = make_warehouse(tmp_path, **CASES[case])
    begun = time.process_time()  # CPU time: other processes on this machine do not count
    page = write_page_of(published, tmp_path / "report.html")
    assert time.process_time() - begun < 5
    assert len(gzip.compress(page.read_bytes(), 6)) < 1_000_000, "what a server transfers"
