"""Once a week: fewer files, the same rows; nobody who reads is cut off; what dead runs left is gone."""

import os
from datetime import timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from pipelines.clock import machine_now
from pipelines.definitions import build_definitions
from pipelines.settings.settings import Settings
from pipelines.steps.maintenance import keep_up
from pipelines.storage.partitions import BUCKETS, MANY_APPS
from pipelines.storage.warehouse import open_warehouse

DEFINITIONS = build_definitions()

ROWS = "SELECT count(*), sum(recording_count) FROM core.recordings_daily"


@pytest.fixture
def worn(lake: str, tmp_path: Path) -> Settings:
    """A lakehouse of which one day was replaced many times, beside a file that a run left when it was killed."""
    settings = Settings(LIVEHOUSE_HOME=tmp_path, LIVEHOUSE_WAREHOUSE=lake)  # type: ignore[call-arg]  # read by alias
    insert = "INSERT INTO core.recordings_daily (app_id, day, recording_count) SELECT 'a', '2026-01-01', i FROM range(50) t(i)"
    with open_warehouse(settings).open_working() as connection:
        for _ in range(4):
            connection.execute("BEGIN; DELETE FROM core.recordings_daily; " + insert + "; COMMIT")
        for _ in range(3):
            connection.execute(insert)
    orphan = tmp_path / "lake" / "core" / "recordings_daily" / "orphan.parquet"
    orphan.write_bytes(b"half a file")
    long_ago = (machine_now() - timedelta(days=3)).timestamp()
    os.utime(orphan, (long_ago, long_ago))
    return settings


def files(settings: Settings) -> list[str]:
    return [file.name for file in (settings.home / "lake").rglob("*.parquet")]


@pytest.mark.long
def test_small_files_become_one_and_the_rows_stay(worn: Settings) -> None:
    before = len(files(worn))
    sizes = {size.name: size for size in keep_up(worn, keep_days=0)}
    left = files(worn)
    assert len(left) < before
    assert "orphan.parquet" not in left
    keep_up(worn, keep_days=0)
    assert files(worn) == left, "the first one has removed everything that it replaced"
    assert sizes["core.recordings_daily"].files == 1
    assert sizes["core.recordings_daily"].bytes > 0
    with open_warehouse(worn).open_published() as connection:
        assert connection.execute(ROWS).fetchall() == [(200, 4 * sum(range(50)))]


@pytest.mark.long
def test_a_file_with_many_replaced_rows_is_rewritten(worn: Settings) -> None:
    keep_up(worn)
    deletes = "SELECT delete_file_count FROM ducklake_table_info('lake') WHERE table_name = 'recordings_daily'"
    with open_warehouse(worn).open_working() as connection:
        connection.execute("DELETE FROM core.recordings_daily WHERE recording_count < 20")
        connection.execute("CALL ducklake_flush_inlined_data('lake')")
        assert connection.execute(deletes).fetchall() == [(1,)]
    keep_up(worn)
    with open_warehouse(worn).open_working() as connection:
        assert connection.execute(deletes).fetchall() == [(0,)]
        assert connection.execute(ROWS).fetchall() == [(120, 4 * sum(range(20, 50)))]


@pytest.mark.long
def test_who_reads_is_not_cut_off(worn: Settings) -> None:
    with open_warehouse(worn).open_published() as reader:
        before = reader.execute(ROWS).fetchall()
        with open_warehouse(worn).open_working() as connection:
            connection.execute("DELETE FROM core.recordings_daily")
        keep_up(worn)
        assert reader.execute(ROWS).fetchall() == before
    with open_warehouse(worn).open_published() as connection:
        assert connection.execute(ROWS).fetchall() == [(0, None)]
        earlier = "FROM (SELECT count(*) AS rows FROM core.recordings_daily AT (VERSION => 5))"
        assert connection.execute(earlier).fetchall()[0][0] > 0, "the last week can be read as it was"


@pytest.mark.long
@pytest.mark.timeout(300)
def test_with_many_apps_new_files_are_merged_across_apps(lake: str, tmp_path: Path) -> None:
    """A file per app and day would be 365,000 a year for a thousand apps."""
    settings = Settings(LIVEHOUSE_HOME=tmp_path, LIVEHOUSE_WAREHOUSE=lake)  # type: ignore[call-arg]  # read by alias
    listed = "SELECT count(*) FROM ducklake_list_files('lake', 'livestream_sessions', schema => 'core')"
    totals = "SELECT app_id, day, count(*) FROM core.livestream_sessions GROUP BY ALL ORDER BY ALL"

    def load(connection: duckdb.DuckDBPyConnection, month: int) -> None:
        for app in range(MANY_APPS):
            of_app = f"'app{app}' AS app_id, DATE '2026-0{month}-01' + i::INTEGER % 3 AS day"
            connection.execute(
                f"BEGIN; INSERT INTO core.livestream_sessions (session_id, app_id, day) SELECT i, {of_app} FROM range(60) t(i);"
                f" INSERT INTO ops.days (table_name, app_id, day) VALUES ('core.livestream_sessions', 'app{app}', '2026-01-01');"
                " COMMIT"
            )

    with open_warehouse(settings).open_working() as connection:
        load(connection, 1)
    keep_up(settings)
    with open_warehouse(settings).open_working() as connection:
        [(before,)] = connection.execute(listed).fetchall()
        assert before == 3 * MANY_APPS, "existing files stay"
        load(connection, 2)
        rows = connection.execute(totals).fetchall()
    keep_up(settings)
    with open_warehouse(settings).open_working() as connection:
        [(after,)] = connection.execute(listed).fetchall()
        assert after - before <= BUCKETS
        assert connection.execute(totals).fetchall() == rows
        assert len(rows) == 6 * MANY_APPS


@pytest.mark.long
def test_of_a_file_it_shows_the_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEHOUSE_HOME", str(tmp_path))
    store = open_warehouse(Settings())
    store.prepare()
    with store.open_raw(), store.open_working():
        pass
    with dg.instance_for_test() as instance:
        assert DEFINITIONS.resolve_job_def("upkeep").execute_in_process(instance=instance).success
    assert [size.name for size in keep_up(Settings())] == ["pipeline.duckdb", "pipeline_raw.duckdb"]
